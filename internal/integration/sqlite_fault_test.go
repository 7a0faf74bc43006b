package integration_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// write is one of the operations that change something, on the record of key(1),
// whose version is 1.
type write struct {
	name string
	do   func(ctx context.Context, s *sqlstore.Store) error
}

func writes() []write {
	return []write{
		{"Insert", func(ctx context.Context, s *sqlstore.Store) error { return s.Insert(ctx, key(2), big()) }},
		{"Swap", func(ctx context.Context, s *sqlstore.Store) error {
			r := big()
			r.Version = 2
			_, err := s.Swap(ctx, key(1), 1, r)
			return err
		}},
		{"Touch", func(ctx context.Context, s *sqlstore.Store) error {
			return s.Touch(ctx, key(1), 1, time.Now().Add(2*time.Hour))
		}},
		{"Delete", func(ctx context.Context, s *sqlstore.Store) error { return s.Delete(ctx, key(1)) }},
		{"DeleteOwner", func(ctx context.Context, s *sqlstore.Store) error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
		{"DeleteExpired", func(ctx context.Context, s *sqlstore.Store) error { _, err := s.DeleteExpired(ctx, 5); return err }},
	}
}

func big() store.Record {
	r := owned(1, "ada")
	r.Data = bytes.Repeat([]byte("big "), 50_000)
	return r
}

// prepare stores what writes can change.
func prepare(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
	require.NoError(t, s.Insert(t.Context(), key(5), record(1, -time.Second)))
}

// requireRefused checks the class of an error that certainly changed nothing.
func requireRefused(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, store.ErrRefused)
	requireNoAnswer(t, err)
	var driverErr *sqlite.Error
	require.ErrorAs(t, err, &driverErr, "what the driver said is still there")
}

// requireNoAnswer checks that an error does not pass for an answer about the
// record.
func requireNoAnswer(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for _, answer := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
		require.NotErrorIs(t, err, answer)
	}
}

func requireUnchanged(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	r, err := s.Load(t.Context(), key(1))
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Version)
	require.Equal(t, []byte("data"), r.Data)
	require.True(t, time.Until(r.Expires) < 90*time.Minute)
	_, err = s.Load(t.Context(), key(2))
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestReadOnlyFile(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"file": "?mode=ro", "connection": "?_pragma=query_only(1)"} {
		path := newPath(t)
		s := migrated(t, openSQLite(t, dsn(path, recommended)))
		prepare(t, s)
		readOnly := newStore(t, openSQLite(t, dsn(path, options)))
		requireRefused(t, readOnly.Migrate(t.Context()))
		for _, w := range writes() {
			t.Run(name+" "+w.name, func(t *testing.T) {
				requireRefused(t, w.do(t.Context(), readOnly))
				requireUnchanged(t, s)
				requireUnchanged(t, readOnly)
			})
		}
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, dsn(newPath(t), recommended))
	db.SetMaxOpenConns(1) // the bound is the connection's
	s := migrated(t, db)
	require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
	_, err := db.ExecContext(t.Context(), "PRAGMA max_page_count = 10")
	require.NoError(t, err)
	for _, w := range writes()[:2] {
		requireRefused(t, w.do(t.Context(), s))
		requireUnchanged(t, s)
	}
	// What needs no room works, and makes some.
	require.NoError(t, s.Touch(t.Context(), key(1), 1, time.Now().Add(time.Hour)))
	require.NoError(t, s.Insert(t.Context(), key(3), owned(1, "ada")))
	require.NoError(t, s.Delete(t.Context(), key(3)))
	requireUnchanged(t, s)
	_, err = db.ExecContext(t.Context(), "PRAGMA max_page_count = 10000")
	require.NoError(t, err)
	for _, w := range writes()[:2] {
		require.NoError(t, w.do(t.Context(), s), w.name)
	}
}

func TestTooBig(t *testing.T) {
	t.Parallel()
	db := openSQLite(t, dsn(newPath(t), recommended))
	db.SetMaxOpenConns(1) // the limit is the connection's
	s := migrated(t, db)
	require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	const limitLength = 0
	_, err = sqlite.Limit(conn, limitLength, 10_000)
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	for _, w := range writes()[:2] {
		requireRefused(t, w.do(t.Context(), s))
		requireUnchanged(t, s)
	}
}

func TestClosedDatabase(t *testing.T) {
	t.Parallel()
	for name, used := range map[string]bool{"used before": true, "never used": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			other := migrated(t, openSQLite(t, dsn(path, recommended)))
			require.NoError(t, other.Insert(t.Context(), key(1), owned(1, "ada")))
			db, err := sql.Open("sqlite", dsn(path, recommended))
			require.NoError(t, err)
			s := newStore(t, db)
			if used {
				exerciseAway(t, s)
			}
			require.NoError(t, db.Close())
			for _, w := range writes() {
				err := w.do(t.Context(), s)
				requireNoAnswer(t, err)
				if w.name != "DeleteOwner" && w.name != "DeleteExpired" { // which read first
					require.ErrorIs(t, err, store.ErrRefused, w.name)
				}
			}
			_, err = s.Load(t.Context(), key(1))
			requireNoAnswer(t, err)
			require.NotErrorIs(t, err, store.ErrRefused, "only a write is refused")
			_, err = s.ListOwner(t.Context(), "ada", store.Key{}, 5)
			requireNoAnswer(t, err)
			require.Error(t, s.Migrate(t.Context()))
			requireUnchanged(t, other)
		})
	}
}

// exerciseAway uses every statement, and leaves the record of key(1) alone.
func exerciseAway(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.Insert(ctx, key(9), owned(1, "eve")))
	_, err := s.Swap(ctx, key(9), 1, owned(2, "mallory"))
	require.NoError(t, err)
	require.NoError(t, s.Touch(ctx, key(9), 2, time.Now().Add(2*time.Hour)))
	_, err = s.ListOwner(ctx, "mallory", store.Key{}, 5)
	require.NoError(t, err)
	_, err = s.DeleteOwner(ctx, "mallory")
	require.NoError(t, err)
	require.NoError(t, s.Delete(ctx, key(9)))
	_, err = s.DeleteExpired(ctx, 5)
	require.NoError(t, err)
}

// A store that is used before Migrate says so, and works afterwards.
func TestBeforeMigrate(t *testing.T) {
	t.Parallel()
	s := newStore(t, openSQLite(t, dsn(newPath(t), recommended)))
	for _, w := range writes() {
		err := w.do(t.Context(), s)
		requireNoAnswer(t, err)
		require.ErrorContains(t, err, "no such table: sessions", w.name)
	}
	_, err := s.Load(t.Context(), key(1))
	requireNoAnswer(t, err)
	require.NoError(t, s.Migrate(t.Context()))
	require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
}

func TestNoDatabase(t *testing.T) {
	t.Parallel()
	text := newPath(t)
	require.NoError(t, os.WriteFile(text, bytes.Repeat([]byte("no database "), 1000), 0o600))
	for name, path := range map[string]string{"a text": text, "a folder": t.TempDir(), "no folder": newPath(t) + "/missing/sessions.db"} {
		s := newStore(t, openSQLite(t, dsn(path, bare)))
		require.Error(t, s.Migrate(t.Context()), name)
		requireRefused(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
		_, err := s.Load(t.Context(), key(1))
		requireNoAnswer(t, err)
	}
}

// Somebody else has the lock for longer than the caller wants to wait.
func TestContextEndsDuringAWrite(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"waiting in SQLite": recommended, "waiting in the store": bare} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := migrated(t, openSQLite(t, dsn(path, options)))
			prepare(t, s)
			unlock := lock(t, path)
			for _, w := range writes() {
				// The second one waits for the first to leave the gate.
				canceled, cancel := context.WithCancel(t.Context())
				late, cancelLate := context.WithTimeout(t.Context(), 50*time.Millisecond)
				first, second := make(chan error, 1), make(chan error, 1)
				go func() { first <- w.do(canceled, s) }()
				go func() { second <- w.do(late, s) }()
				requireEnded(t, <-second, context.DeadlineExceeded)
				cancel()
				requireEnded(t, <-first, context.Canceled)
				cancelLate()
			}
			unlock()
			requireUnchanged(t, s)
			for _, w := range writes()[2:] {
				require.NoError(t, w.do(t.Context(), s), "the store goes on")
			}
		})
	}
}

func requireEnded(t *testing.T, err, want error) {
	t.Helper()
	require.ErrorIs(t, err, want)
	requireNoAnswer(t, err)
	require.NotErrorIs(t, err, store.ErrRefused)
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	s := onFile(t, recommended)
	require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range writes() {
		requireEnded(t, w.do(canceled, s), context.Canceled)
	}
	_, err := s.Load(canceled, key(1))
	requireEnded(t, err, context.Canceled)
	_, err = s.ListOwner(canceled, "ada", store.Key{}, 1)
	requireEnded(t, err, context.Canceled)
	require.ErrorIs(t, newStore(t, openSQLite(t, dsn(newPath(t), bare))).Migrate(canceled), context.Canceled)
	requireUnchanged(t, s)
}

// A lock that is released in time is nobody's error, whatever the DSN says.
func TestLockIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"waiting in SQLite": recommended, "waiting in the store": bare} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			s := migrated(t, openSQLite(t, dsn(path, options)))
			unlock := lock(t, path)
			done := make(chan error, 1)
			go func() { done <- s.Insert(context.Background(), key(1), record(1, time.Hour)) }()
			select {
			case err := <-done:
				t.Fatalf("did not wait: %v", err)
			case <-time.After(100 * time.Millisecond):
			}
			unlock()
			require.NoError(t, <-done)
		})
	}
}

func TestBytesComeBack(t *testing.T) {
	t.Parallel()
	s := onFile(t, recommended)
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for i, data := range [][]byte{nil, {}, {0}, all, []byte("a\x00b\x00"), []byte("\xff\xfe it's \"quoted\"; -- "), bytes.Repeat(all, 1000)} {
		r := owned(math.MaxInt64-int64(i), "ada's \"ü\" %_ \x01")
		r.Data = data
		require.NoError(t, s.Insert(t.Context(), key(i), r))
		got, err := s.Load(t.Context(), key(i))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, got.Data))
		require.Equal(t, r.Version, got.Version)
		require.Equal(t, r.Owner, got.Owner)
		_, err = s.Swap(t.Context(), key(i), r.Version-1, r)
		require.NoError(t, err, "it has happened before")
		next := r
		next.Version = 1
		cur, err := s.Swap(t.Context(), key(i), r.Version-1, next)
		require.ErrorIs(t, err, store.ErrConflict)
		require.Equal(t, r.Version, cur.Version)
		_, err = s.Swap(t.Context(), key(i), r.Version, next)
		require.NoError(t, err)
	}
}

// An error names neither the record nor what is in it, and keeps the driver's.
func TestErrorsSayWhatFailed(t *testing.T) {
	t.Parallel()
	s := newStore(t, openSQLite(t, dsn(newPath(t), bare)))
	r := owned(1, "ada")
	r.Data = []byte("secret")
	err := s.Insert(t.Context(), key(1), r)
	require.ErrorContains(t, err, "sqlstore: insert: ")
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, err.Error(), "ada")
	var driverErr *sqlite.Error
	require.True(t, errors.As(err, &driverErr))
}
