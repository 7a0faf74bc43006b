// Package mongostore keeps sessions in a collection of MongoDB, through the
// official driver, version 2.
//
//	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://db.example/?replicaSet=rs0"))
//	...
//	st := mongostore.New(client.Database("shop").Collection("sessions"))
//	err = st.EnsureIndexes(ctx) // at every start: it creates what is not there yet
//	...
//	m, err := session.NewManager(session.Config{Store: st})
//
// The server removes what has expired, once a minute, by one of the indexes.
// Without it, run [github.com/typedsession/session.Manager.RunSweeper].
//
// # Cost
//
// Each operation is one command on one document, atomic by itself; there are no
// transactions, so a replica set is not required. No command creates a document
// but an insert, and no update is an upsert.
//
//	Load                    find
//	Insert                  insert
//	Swap                    update; and find, if the version is another one
//	Touch, Delete           update, delete
//	ListOwner               find; one more if it meets expired records
//	DeleteOwner             find and delete, for each batch of 500 records; one more delete
//	                        for a batch with expired ones
//	DeleteExpired           find and delete, for each batch
//	EnsureIndexes           createIndexes, twice
//
// # What is in the database
//
//	{_id: Binary, v: Long, x: Date, d: Binary, o: Binary}
//
// _id is the key, 32 bytes; v is the version; x is when the record ends, to the
// millisecond, rounded down; d is the data; o is the owner, and missing where
// there is none. The owner is no string, so that a collation of the collection
// does not make two owners of "ada" and "ADA" one. Documents of other programs do
// not belong into the collection: DeleteExpired and the server remove those that
// have a date x in the past.
//
// EnsureIndexes creates these, here for the shell:
//
//	db.sessions.createIndex({x: 1}, {expireAfterSeconds: 0})
//	db.sessions.createIndex({o: 1, _id: 1}, {partialFilterExpression: {o: {$exists: true}}})
//
// Whoever makes them by hand need not call it. The rights that the store needs on
// the collection are find, insert, update and remove, and createIndex for
// EnsureIndexes. A sharded collection has _id, or a hash of it, as its shard key;
// what concerns an owner then goes to all shards.
//
// MongoDB stores documents of up to 16 MiB. The store refuses a record that does
// not fit, before it is sent.
//
// # Replica sets
//
// The store writes with write concern majority and reads from the primary,
// whatever the client is configured to do. So a write that was acknowledged
// survives an election; during one, writes and reads wait for the new primary
// until the context ends, or for serverSelectionTimeoutMS, 30 seconds by default.
// Do not connect directly to a secondary (directConnection=true): there the
// driver reads from it.
//
// Leave retryWrites on, as it is by default. After a broken connection or an
// election the driver sends a write again, with a number by which the server knows
// whether it has done it before. Without that, and with a server that is in no
// replica set, such a write fails, and its outcome is not known.
//
// When the server has done a write but cannot confirm that a majority has it, the
// error is a [*ServerError] with WriteConcern set. The outcome is not known: the
// write can be undone by an election.
//
// The read concern is that of the collection:
//
//   - local, the default, shows the newest data of the primary, even what an
//     election can still undo. A primary that was cut off from the others does not
//     know so for some seconds. Meanwhile it may show a session that has been
//     deleted or changed at the new primary. It cannot change one.
//   - majority shows only what stays, and may show less than that primary has. It
//     has the same gap.
//   - linearizable closes the gap: the primary asks the others before it answers.
//     That takes time, and without a majority it takes until the context ends. It
//     is for Load and Swap: lists do not profit from it.
//
// To have it, hand New a collection with it:
//
//	c := client.Database("shop").Collection("sessions", options.Collection().SetReadConcern(readconcern.Linearizable()))
//
// Others, available among them, are not for sessions.
//
// # Clock
//
// This node's clock decides what has expired, to the millisecond: each command
// carries the time. So the clocks of all nodes and of the servers have to agree;
// an hour of life is longer or shorter by as much as they differ. A node that is
// behind by a second goes on using a session for a second after others were told
// that it had expired; it may change and lengthen it, and then they see it again.
// A node that is ahead ends sessions early, and its sweep removes them. So does the
// server, by its own clock.
//
// # Errors
//
// Where it is certain that a write has changed nothing, its error wraps
// [store.ErrRefused]: no server could be reached, no connection was free, logging
// in failed, or the write says what no server takes. Other errors of the server
// leave the outcome open, even Unauthorized, and those with the label
// NoWritesPerformed: they are of the last attempt, and the driver does not tell
// whether an earlier one was sent. MongoDB quotes commands, keys and documents in messages, so
// errors give the server's code and name and leave the message out.
//
// # What was not tried
//
// The tests ran against FerretDB 1.24, in front of which a proxy made updates
// atomic, and against a server made up for the errors. Not against a MongoDB: its
// removal of expired documents, its conflicts between writes, its recognition of
// writes that were sent twice, elections, the concerns and the limit of 16 MiB are
// as documented by MongoDB, not as seen. SESSION_TEST_MONGO_URI names a server to
// run the tests against.
package mongostore
