// Package sqlstore keeps sessions in an SQL database, through database/sql and
// a driver that the program chooses: this package imports none. Today it speaks
// the dialect of [SQLite].
//
//	db, err := sql.Open("sqlite", "file:sessions.db"+
//		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
//	...
//	st, err := sqlstore.New(db, sqlstore.SQLite)
//	...
//	err = st.Migrate(ctx) // at every start: it creates what is not there yet
//	...
//	m, err := session.NewManager(session.Config{Store: st})
//	...
//	go m.RunSweeper(ctx, 10*time.Minute) // removes what has expired
//
// # SQLite
//
// That data source name is for modernc.org/sqlite. For
// github.com/mattn/go-sqlite3 the same is
//
//	file:sessions.db?_busy_timeout=5000&_journal_mode=WAL&_synchronous=NORMAL
//
// Each part buys something:
//
//   - journal_mode(WAL): reading and writing do not wait for each other. Migrate
//     switches the file to it anyway, unless [WithoutWAL] is given, and the file
//     stays so.
//   - busy_timeout(5000): a writer waits inside SQLite while another process
//     writes. Without it the store waits instead, in its own way: that works as
//     well.
//   - synchronous(NORMAL): a write does not wait for the disk. The file stays
//     whole whatever happens, and a program that crashes or is killed loses
//     nothing. A power cut can take back the last writes, though: among them may
//     be a logout that has been acknowledged. Leave it away, and SQLite's default
//     of FULL waits for the disk each time.
//
// SQLite lets one connection write at a time, and whoever comes second is told
// that the database is locked. The store keeps that to itself: the writers of one
// Store queue up in the order in which they came, and what another process or
// another Store has locked is tried again until the context ends, or for ten
// seconds where the context has no deadline. Use one Store for all goroutines.
// Files on a network share are not for SQLite.
//
// Reading needs a connection for each reader; more of them than CPUs are of no
// use, and those that database/sql closes for want of room have to be opened
// again:
//
//	db.SetMaxOpenConns(8)
//	db.SetMaxIdleConns(8)
//
// A database in memory belongs to its connection. Give it exactly one, that is
// never closed: db.SetMaxOpenConns(1) without SetConnMaxLifetime and
// SetConnMaxIdleTime.
//
// # What is in the database
//
// Migrate creates one table and two indexes, here with the default name:
//
//	CREATE TABLE sessions (
//		id BLOB NOT NULL PRIMARY KEY, version BIGINT NOT NULL, expires BIGINT NOT NULL,
//		due BIGINT NOT NULL, owner TEXT NOT NULL, data BLOB NOT NULL)
//	CREATE INDEX sessions_due ON sessions (due)
//	CREATE INDEX sessions_owner ON sessions (owner, id) WHERE owner <> ''
//
// expires is when the record ends, in milliseconds since 1970. due is when the
// sweep has to look at the record: never after expires, but possibly before,
// because a record whose life is lengthened stays where it is in that index until
// the sweep comes by. So a request that writes changes the row and no index.
//
// # Clock
//
// The clock of SQLite is this machine's, which all processes on one file share.
// Time is judged to the millisecond, rounded down, when a statement has got the
// locks it needs. A clock that is set back gives records a longer life, and what
// had expired but was not swept yet may appear again.
package sqlstore
