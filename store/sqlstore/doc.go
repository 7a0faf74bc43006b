// Package sqlstore keeps sessions in an SQL database, through database/sql and
// a driver that the program chooses: this package imports none. It speaks the
// dialects of [SQLite], [PostgreSQL] and [MySQL], which is that of MariaDB too.
//
//	db, err := sql.Open("pgx", "postgres://web@db.example/shop")
//	...
//	st, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	...
//	err = st.Migrate(ctx) // at every start: it creates what is not there yet
//	...
//	m, err := session.NewManager(session.Config{Store: st})
//	...
//	go m.RunSweeper(ctx, 10*time.Minute) // removes what has expired
//
// Reading a record is one statement, and so is each change. Each takes effect on
// its own, without a transaction around it, so that it works at any isolation
// level and through proxies that give each statement another connection. Only a
// swap that changes the owner or shortens the life takes three.
//
// # When the database is busy
//
// A statement that the database has taken back as a whole, because it conflicted
// with another one, has done nothing. The store runs it again, after random pauses
// of up to 32 ms, until the context ends, or for ten seconds where the context has
// no deadline; then the error of a write wraps [store.ErrRefused]. That concerns
// SQLite's locks; 40001, 40P01 and 55P03 of PostgreSQL, which the higher isolation
// levels bring about; 1205, 1213, 1020 and 1615 of MySQL.
//
// Other errors of a server, a table that is missing for example, are an
// ErrRefused where they certainly changed nothing, and so is a server that cannot
// be reached. When a connection breaks after something was sent on it, nobody
// knows whether it was done, and the error says nothing about it.
//
// # SQLite
//
// For modernc.org/sqlite, the driver "sqlite", append to the name of the file
//
//	file:sessions.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)
//
// and for github.com/mattn/go-sqlite3, the driver "sqlite3",
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
// # PostgreSQL
//
// Both github.com/jackc/pgx/v5/stdlib and github.com/lib/pq will do. Any
// isolation level works; read committed, which is the default, conflicts least.
//
// The store prepares nothing. pgx does so on its own, which saves time: leave it
// on for a direct connection. Behind PgBouncer in transaction mode, tell pgx not
// to:
//
//	postgres://web@pool.example/shop?default_query_exec_mode=exec
//
// simple_protocol and cache_describe do as well. Never use describe_exec there: it
// may run the statement of another connection. lib/pq is told with
// binary_parameters=yes. Do not point a store at a
// replica: what it shows may have been deleted.
//
// synchronous_commit=off loses the last writes when the server crashes, a logout
// that has been acknowledged perhaps among them.
//
// # Change notification
//
// With [WithNotify], and with PostgreSQL alone, a store tells of changes at once:
// [Store.Watch] is a [store.Watcher]. database/sql cannot listen, so it needs a
// [Listener], which package github.com/typedsession/session/store/pgxlisten has:
//
//	listen, err := pgxlisten.New("postgres://web@db.example/shop")
//	...
//	st, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
//
// LISTEN does not work through PgBouncer in transaction mode: give the listener a
// direct connection, to the same database on the primary server, which each Watch
// keeps to itself. The store may go through the pooler all the same. A listener that
// does not hear what the store notifies of is found out before Watch is ready.
//
// What it costs is said at [WithNotify]. Migrate creates what it needs in a table
// that is there already, too: that waits for the statements under way and holds up
// those that come, for a moment. The triggers notify whichever node writes, with
// the option or without.
//
// # MySQL and MariaDB
//
// The driver is github.com/go-sql-driver/mysql. None of its parameters is needed,
// and none is in the way: neither parseTime and loc, for the store uses numbers
// alone, nor clientFoundRows, interpolateParams, charset or time_zone.
//
//	web@tcp(db.example)/shop
//
// The store keeps its statements prepared on each connection, twelve at most, so
// that each use is one round trip. That needs max_prepared_stmt_count of the
// server to be twelve times the number of connections of all programs.
//
// The server takes data up to its max_allowed_packet, 16 MiB with MariaDB and 64
// MiB with MySQL unless configured otherwise. What is larger is refused; with
// maxAllowedPacket=0 in the data source name the driver finds out before it sends
// anything.
//
// Any isolation level works. At READ UNCOMMITTED, which nobody needs, a request
// may see what is taken back when the server crashes in that moment. autocommit
// must be on. With a binary log, binlog_format is ROW or MIXED, as it is by
// default. With Galera or replicas, all programs use one node.
//
// # What is in the database
//
// Migrate creates one table and two indexes, here with the default name. In SQLite:
//
//	CREATE TABLE sessions (
//		id BLOB NOT NULL PRIMARY KEY, version BIGINT NOT NULL, expires BIGINT NOT NULL,
//		due BIGINT NOT NULL, owner TEXT NOT NULL, data BLOB NOT NULL)
//	CREATE INDEX sessions_due ON sessions (due)
//	CREATE INDEX sessions_owner ON sessions (owner, id) WHERE owner <> ''
//
// In PostgreSQL:
//
//	CREATE TABLE sessions (
//		id bytea NOT NULL PRIMARY KEY, version bigint NOT NULL, expires bigint NOT NULL,
//		due bigint NOT NULL, owner text COLLATE "C" NOT NULL, data bytea NOT NULL)
//		WITH (fillfactor = 70)
//	CREATE INDEX sessions_due ON sessions (due)
//	CREATE INDEX sessions_owner ON sessions (owner, id) WHERE owner <> ''
//
// And with [WithNotify], where the name of the channel ends with the schema and the
// table:
//
//	CREATE FUNCTION sessions_notify() RETURNS trigger LANGUAGE plpgsql AS $body$
//	BEGIN
//		IF TG_OP = 'DELETE' THEN
//			PERFORM pg_catalog.pg_notify('typedsession.public.sessions', pg_catalog.concat(pg_catalog.encode(OLD.id, 'hex'), ':0'));
//		ELSE
//			PERFORM pg_catalog.pg_notify('typedsession.public.sessions', pg_catalog.concat(pg_catalog.encode(OLD.id, 'hex'), ':', NEW.version));
//		END IF;
//		RETURN NULL;
//	END
//	$body$
//	CREATE TRIGGER sessions_swapped AFTER UPDATE OF version ON sessions FOR EACH ROW
//		WHEN (OLD.version <> NEW.version) EXECUTE PROCEDURE sessions_notify()
//	CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions FOR EACH ROW
//		WHEN (OLD.expires > floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) EXECUTE PROCEDURE sessions_notify()
//
// In MySQL and MariaDB:
//
//	CREATE TABLE sessions (
//		id VARBINARY(32) NOT NULL PRIMARY KEY, version BIGINT NOT NULL, expires BIGINT NOT NULL,
//		due BIGINT NOT NULL, owner VARBINARY(512) NOT NULL, data LONGBLOB NOT NULL,
//		INDEX sessions_due (due), INDEX sessions_owner (owner, id)) ENGINE = InnoDB
//
// Whoever makes them by hand, with a migration tool for example, need not call
// Migrate; called all the same, it checks the columns and needs no right to create
// anything. The rights that the store needs are SELECT, INSERT, UPDATE and DELETE.
//
// expires is when the record ends, in milliseconds since 1970. due is when the
// sweep has to look at the record: never after expires, but possibly before,
// because a record whose life is lengthened stays where it is in that index until
// the sweep comes by. So a request that writes changes the row and no index: with
// PostgreSQL such an update is heap-only (HOT).
//
// # Clock
//
// The clock of the database decides what has expired, to the millisecond, rounded
// down; that of SQLite is this machine's, which all processes on one file share.
// Nobody's time zone matters, nor does an hour that comes twice. A read judges by
// the time at which it began, a write by the time at which it has got the locks it
// needs. A clock that is set back gives records a longer life, and what had
// expired but was not swept yet may appear again.
//
// Expires comes from the clock of the program: an hour of life is longer or
// shorter by as much as both clocks differ.
package sqlstore
