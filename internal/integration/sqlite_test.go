package integration_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
	"github.com/typedsession/session/store/storetest"
)

const (
	// recommended is what the documentation of sqlstore tells to append.
	recommended = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"
	// bare leaves everything to SQLite's defaults: no wait for locks above all.
	bare = ""
)

// dsn names the file at path.
func dsn(path, options string) string {
	return "file:" + filepath.ToSlash(path) + options
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "sessions.db")
}

func openSQLite(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newStore(t testing.TB, db *sql.DB, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, sqlstore.SQLite, opts...)
	require.NoError(t, err)
	return s
}

// migrated returns a store whose table is there.
func migrated(t testing.TB, db *sql.DB, opts ...sqlstore.Option) *sqlstore.Store {
	t.Helper()
	s := newStore(t, db, opts...)
	require.NoError(t, s.Migrate(t.Context()))
	return s
}

// onFile returns a store in a file of its own.
func onFile(t testing.TB, options string) *sqlstore.Store {
	t.Helper()
	return migrated(t, openSQLite(t, dsn(newPath(t), options)))
}

func key(n int) store.Key {
	return store.Key{0: 1, 28: byte(n >> 24), 29: byte(n >> 16), 30: byte(n >> 8), 31: byte(n)}
}

// record returns a record that lives for d.
func record(version int64, d time.Duration) store.Record {
	return store.Record{Data: []byte("data"), Version: version, Expires: time.Now().Add(d).Truncate(time.Millisecond)}
}

func owned(version int64, owner string) store.Record {
	r := record(version, time.Hour)
	r.Owner = owner
	return r
}

func TestSQLiteKeepsTheLaws(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) *sqlstore.Store{
		"recommended": func(t *testing.T) *sqlstore.Store { return onFile(t, recommended) },
		"bare":        func(t *testing.T) *sqlstore.Store { return onFile(t, bare) },
		"journal": func(t *testing.T) *sqlstore.Store {
			return migrated(t, openSQLite(t, dsn(newPath(t), bare)), sqlstore.WithoutWAL())
		},
		"memory": func(t *testing.T) *sqlstore.Store {
			db := openSQLite(t, ":memory:")
			db.SetMaxOpenConns(1)
			return migrated(t, db)
		},
		"other table": func(t *testing.T) *sqlstore.Store {
			return migrated(t, openSQLite(t, dsn(newPath(t), recommended)), sqlstore.WithTable("main.select"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
		})
	}
}

// All laws on one store, while other processes of a site would use it too.
func TestSQLiteKeepsTheLawsTogether(t *testing.T) {
	t.Parallel()
	long(t)
	path := newPath(t)
	stores := []*sqlstore.Store{
		migrated(t, openSQLite(t, dsn(path, bare))),
		migrated(t, openSQLite(t, dsn(path, recommended))),
	}
	next := make(chan int, 1)
	next <- 0
	storetest.Run(t, func(*testing.T) store.Store {
		n := <-next
		next <- n + 1
		return stores[n%len(stores)]
	})
}

// count asks the database, not the store.
func count(t testing.TB, db *sql.DB) (n int) {
	t.Helper()
	require.NoError(t, db.QueryRowContext(context.WithoutCancel(t.Context()), "SELECT count(*) FROM sessions").Scan(&n))
	return n
}
