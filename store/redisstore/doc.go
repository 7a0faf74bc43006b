// Package redisstore keeps sessions in Redis 7.0 or later, or in a Valkey: one
// server, one behind Sentinel, or a cluster.
//
//	client := redis.NewUniversalClient(&redis.UniversalOptions{
//		Addrs:                 []string{"redis.example:6379"},
//		ContextTimeoutEnabled: true,
//		ReadTimeout:           2 * time.Second,
//	})
//	m, err := session.NewManager(session.Config{Store: redisstore.New(client)})
//
// Redis removes what has expired: there is nothing to sweep.
//
// # Cost
//
// In round trips; the time is nearly all the network's.
//
//	Load, Touch, Delete               1
//	Insert                            1, with an owner 2
//	Swap                              1, with a new owner 3
//	ListOwner                         2 for each hundred records or so
//	DeleteOwner                       2 for each hundred records or so
//
// Swap and Touch of a record with an owner take 3 when they lengthen its life
// beyond what its owner's list knows of: once in half a life, in an hour at the
// least and a week at the most. A server that has forgotten the scripts is told
// their text, which takes one more. Each command and each script concerns one key, so
// that on a cluster none needs a hash tag.
//
// With [WithNotify] one server takes as many round trips as without, and a cluster
// takes more:
//
//	Swap, Delete                      1 more, also where nothing was there to delete
//	DeleteOwner                       1 more for each hundred records or so
//	Watch                             1 a second, on a cluster 4
//
// # What the client must be
//
// The driver is github.com/redis/go-redis/v9, and sends each write once,
// whatever MaxRetries says: a write whose answer is lost would be done twice
// otherwise. The driver repeats reads; Delete repeats itself once.
//
//   - ContextTimeoutEnabled should be on. With it a call ends at the deadline of its
//     context. Without it, and when a context is cancelled, a call that waits for an
//     answer goes on until ReadTimeout, 5 seconds by default, is over; what waits for
//     a connection ends with the context in any case. So leave the one on and make
//     the other short.
//   - ClusterOptions.ClusterStateReloadInterval is a minute by default. When a master
//     cannot be reached, the store lets the client ask at once who took its place.
//   - The driver sees that an idle connection is broken before it uses it, but not
//     with TLS: then a write may fail once, its outcome being unknown.
//   - Reading from replicas, client-side caching and redis.Ring are refused by New,
//     for they show what has been deleted. New cannot see all: do not give it the
//     address of a replica, FailoverOptions.ReplicaOnly, or a wrapper around such a client.
//
// # Change notification
//
// [Store.Watch] tells of what other programs change, if all of them use [WithNotify].
// It takes the time of a message, on a cluster of two.
//
//   - One server, or one behind Sentinel: the script that makes a change publishes it
//     in the same step. There is one channel, the prefix and "changes".
//   - A cluster: publishing is sharded, for each node would have to hear of
//     everything otherwise. A script cannot reach the slot of a channel, so that the
//     program publishes a change after it has made it. That fails no call, and holds it up
//     for a second at most, when the node of the channel does not answer. There are
//     four channels, the prefix and "changes:{0}" to "changes:{3}"; the prefix comes
//     last if "{}" is the first brace in it.
//
// Once a second a Watch publishes something to itself, in the slot of each channel.
// What has not come back after four seconds ends it.
//
// On a cluster a change is not told when the program ends before it has published it,
// when the node of the channel is away for more than a second, and when the two
// programs disagree for a moment about which node that is: while the slot of the
// channel moves, or while a master has been replaced and is still there. A change whose
// outcome is not known is told too, perhaps before it is made. So whatever depends
// on a change has to look at the record now and then all the same.
//
// The rights that this needs beyond those below are publish and subscribe, on a cluster
// spublish, ssubscribe and cluster, and those to the channels, and to what begins with
// their names: &session:changes* for the default prefix. Redis 7 gives a new user no
// channels. Without the right to publish, changes are made and not told, and each of
// them is an entry in the ACL LOG of the server.
//
// # What the server must be
//
// What Redis loses, sessions lose. A logout that is lost is a session that comes
// back.
//
//   - maxmemory-policy must be noeviction, the default. Under any other one Redis
//     removes sessions, and with the list of an owner the means to revoke them. With
//     noeviction and the memory full, writes are refused, and deletions still work.
//   - Without appendonly a restart ends every session, or brings back those of the
//     last snapshot, logged out or not. With appendonly and appendfsync everysec, the
//     default, a crash of the machine loses the last second; with always nothing.
//   - Replicas come after. A failover loses what the new master did not have yet:
//     logouts, and what the list of an owner knows of a new session. With [WithWait] a
//     deletion, or an entry in that list, is not over before replicas have it.
//     min-replicas-to-write keeps a master that has lost its replicas from taking
//     writes.
//   - The rights that the store needs are those to its prefix and to get, set, del,
//     eval, evalsha, getrange, setrange, pexpireat, pexpiretime, zadd, zrem,
//     zrangebylex, zrandmember and time; to wait with WithWait, and to asking and cluster on a cluster.
//
// # Clock
//
// The clock of the server decides what has expired, to the millisecond: a record
// is there until the millisecond before its Expires. Nodes of a cluster may differ
// by up to an hour before the list of an owner misses anything.
//
// Expires comes from the clock of the program: an hour of life is longer or
// shorter by as much as both clocks differ.
//
// # What is in the database
//
// A record is a string under the prefix and the ID of the session, in base64url:
// a byte 1, then version, expires, and the time of its entry in the owner's list,
// each as 8 bytes; the length of the owner as 2 bytes; owner; data. Numbers
// are big-endian, times in milliseconds since 1970. Redis forgets it one
// millisecond before expires has passed.
//
// The list of an owner is a sorted set under the prefix, "owner:" and the SHA-256
// of the owner in base64url. Its members are hints: 32 bytes of a key, 8 of a time
// after which the hint is void. A hint comes before its record and stays when the
// record goes; whoever reads the list looks at the records. So each session that an
// owner has begun leaves some 100 bytes, for its life, half as much, and an hour:
// two to three hours for sessions that end after an hour without use. Redis
// forgets the set with its last hint.
//
// # Limits
//
// Data up to proto-max-bulk-len of the server, 512 MiB; a megabyte is a matter of
// milliseconds, during which nobody else is served. A script that Redis runs is
// never interrupted.
package redisstore
