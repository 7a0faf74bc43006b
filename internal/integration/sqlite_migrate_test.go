package integration_test

import (
	"bufio"
	"context"
	"database/sql"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// schema lists everything in the database.
func schema(t *testing.T, db *sql.DB) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), `SELECT type || ' ' || name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY 1`)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	var all []string
	for rows.Next() {
		var s string
		require.NoError(t, rows.Scan(&s))
		all = append(all, s)
	}
	require.NoError(t, rows.Err())
	return all
}

var defaultSchema = []string{"index sessions_due", "index sessions_owner", "table sessions"}

func TestMigrateTwice(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	db := openSQLite(t, dsn(path, bare))
	s := migrated(t, db)
	r := owned(7, "ada")
	require.NoError(t, s.Insert(t.Context(), key(1), r))
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, migrated(t, openSQLite(t, dsn(path, bare))).Migrate(t.Context()))
	require.Equal(t, defaultSchema, schema(t, db))
	got, err := s.Load(t.Context(), key(1))
	require.NoError(t, err)
	require.Equal(t, r.Data, got.Data)
	var mode string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "wal", mode, "without a word of it in the DSN")
}

// What a Migrate that was cut off has left is completed.
func TestMigrateCompletes(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, dsn(newPath(t), bare))
	migrated(t, db)
	for _, drop := range []string{"DROP INDEX sessions_owner", "DROP INDEX sessions_due"} {
		_, err := db.ExecContext(t.Context(), drop)
		require.NoError(t, err)
	}
	migrated(t, db)
	require.Equal(t, defaultSchema, schema(t, db))
}

func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"bare": bare, "recommended": recommended} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			var wg sync.WaitGroup
			for range 8 {
				db := openSQLite(t, dsn(path, options))
				s := newStore(t, db)
				for range 2 {
					wg.Go(func() {
						if err := s.Migrate(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
			}
			wg.Wait()
			require.Equal(t, defaultSchema, schema(t, openSQLite(t, dsn(path, options))))
		})
	}
}

func TestMigrateFromProcesses(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	together(t, 4, "migrate", func(int) []string { return []string{dsn(path, bare)} })
	db := openSQLite(t, dsn(path, bare))
	require.Equal(t, defaultSchema, schema(t, db))
	require.Equal(t, 4, count(t, db))
}

// migrateRole migrates and writes at once.
func migrateRole(ctx context.Context, args []string, in *bufio.Reader, out io.Writer) error {
	s, err := storeOfRole(args[0])
	if err != nil {
		return err
	}
	if err := ready(in, out); err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return s.Insert(ctx, key(os.Getpid()), record(1, time.Hour))
}

func TestMigrateOnAnotherTable(t *testing.T) {
	t.Parallel()
	const ours = "id BLOB NOT NULL PRIMARY KEY, version BIGINT NOT NULL, expires BIGINT NOT NULL, due BIGINT NOT NULL, owner TEXT NOT NULL, "
	for name, create := range map[string]string{
		"scs":                  "CREATE TABLE sessions (token TEXT PRIMARY KEY, data BLOB NOT NULL, expiry REAL NOT NULL)",
		"a column is missing":  "CREATE TABLE sessions (" + strings.TrimSuffix(ours, ", ") + ")",
		"another type":         "CREATE TABLE sessions (" + ours + "data TEXT NOT NULL)",
		"may be null":          "CREATE TABLE sessions (" + ours + "data BLOB)",
		"no primary key":       "CREATE TABLE sessions (" + strings.Replace(ours, "PRIMARY KEY", "", 1) + "data BLOB NOT NULL)",
		"another primary key":  "CREATE TABLE sessions (" + strings.Replace(ours, " PRIMARY KEY", "", 1) + "data BLOB NOT NULL, PRIMARY KEY (id, owner))",
		"a column needs value": "CREATE TABLE sessions (" + ours + "data BLOB NOT NULL, site TEXT NOT NULL)",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openSQLite(t, dsn(newPath(t), bare))
			_, err := db.ExecContext(t.Context(), create)
			require.NoError(t, err)
			err = newStore(t, db).Migrate(t.Context())
			require.ErrorIs(t, err, sqlstore.ErrTable)
			require.ErrorContains(t, err, "sessions")
			require.Equal(t, []string{"table sessions"}, schema(t, db), "nothing was added")
			require.NoError(t, newStore(t, db, sqlstore.WithTable("others")).Migrate(t.Context()), "another name helps")
		})
	}
	t.Run("more columns that need no value", func(t *testing.T) {
		t.Parallel()
		db := openSQLite(t, dsn(newPath(t), bare))
		_, err := db.ExecContext(t.Context(), "CREATE TABLE sessions ("+ours+"data BLOB NOT NULL, note TEXT, site TEXT NOT NULL DEFAULT 'a')")
		require.NoError(t, err)
		require.NoError(t, migrated(t, db).Insert(t.Context(), key(1), record(1, time.Hour)))
	})
}

func TestMigrateMemory(t *testing.T) {
	t.Parallel()
	for _, name := range []string{":memory:", "file::memory:?cache=shared", ""} {
		db := openSQLite(t, name)
		err := newStore(t, db).Migrate(t.Context())
		require.ErrorIs(t, err, sqlstore.ErrMemoryPool, name)
		require.ErrorContains(t, err, "SetMaxOpenConns(1)")
		db.SetMaxOpenConns(1)
		s := migrated(t, db)
		require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
		_, err = s.Load(t.Context(), key(1))
		require.NoError(t, err)
	}
}

func TestMigrateWithoutWAL(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, dsn(newPath(t), bare))
	migrated(t, db, sqlstore.WithoutWAL())
	var mode string
	require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode))
	require.Equal(t, "delete", mode)
}

func TestTwoTables(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, dsn(newPath(t), recommended))
	a, b := migrated(t, db), migrated(t, db, sqlstore.WithTable("main.Order"))
	require.NoError(t, a.Insert(t.Context(), key(1), record(1, time.Hour)))
	_, err := b.Load(t.Context(), key(1))
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, b.Insert(t.Context(), key(1), record(2, time.Hour)))
	want := slices.Concat([]string{"index Order_due", "index Order_owner"}, defaultSchema[:2], []string{"table Order"}, defaultSchema[2:])
	require.Equal(t, want, schema(t, db))
}

func TestDataSurvivesReopening(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	want := map[store.Key]store.Record{}
	for round := range 3 {
		db, err := sql.Open("sqlite", dsn(path, recommended))
		require.NoError(t, err)
		s := migrated(t, db)
		for k, r := range want {
			got, err := s.Load(t.Context(), k)
			require.NoError(t, err)
			require.Equal(t, r.Data, got.Data)
			require.True(t, r.Expires.Equal(got.Expires))
			require.Equal(t, r.Owner, got.Owner)
		}
		for i := range 20 {
			k, r := key(round*100+i), owned(int64(1+i), "ada")
			require.NoError(t, s.Insert(t.Context(), k, r))
			want[k] = r
		}
		require.NoError(t, db.Close())
	}
}
