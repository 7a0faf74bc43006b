package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// A record is live one millisecond before its Expires and gone at it, for every
// method. The clock is Go's: that of the bubble.
func TestExpiryBoundary(t *testing.T) {
	t.Parallel()
	const life = time.Minute
	methods := map[string]func(ctx context.Context, s *sqlstore.Store) (live bool, err error){
		"Load": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			_, err := s.Load(ctx, key(1))
			return err == nil, err
		},
		"Swap": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			r := owned(2, "ada")
			_, err := s.Swap(ctx, key(1), 1, r)
			return err == nil, err
		},
		"Swap of everything": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			_, err := s.Swap(ctx, key(1), 1, owned(2, "bob"))
			return err == nil, err
		},
		"Touch": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			if err := s.Touch(ctx, key(1), 1, time.Now().Add(time.Hour)); err != nil {
				return false, err
			}
			_, err := s.Load(ctx, key(1))
			return err == nil, err
		},
		"ListOwner": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			list, err := s.ListOwner(ctx, "ada", store.Key{}, 10)
			return len(list) == 1, err
		},
		"DeleteOwner": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			n, err := s.DeleteOwner(ctx, "ada")
			return n == 1, err
		},
		"DeleteExpired": func(ctx context.Context, s *sqlstore.Store) (bool, error) {
			n, err := s.DeleteExpired(ctx, 10)
			return n == 0, err
		},
	}
	for name, method := range methods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct {
				at   time.Duration
				live bool
			}{
				{life - time.Millisecond, true},
				{life - time.Nanosecond, true}, // the clock still shows the millisecond before
				{life, false},
				{life + time.Millisecond, false},
			} {
				inBubble(t, func(t *testing.T, s *sqlstore.Store, _ *sql.DB) {
					r := owned(1, "ada")
					r.Expires = time.Now().Add(life)
					require.NoError(t, s.Insert(t.Context(), key(1), r))
					elapse(c.at)
					live, err := method(t.Context(), s)
					if !errors.Is(err, store.ErrNotFound) {
						require.NoError(t, err)
					}
					require.Equal(t, c.live, live, "after %v", c.at)
				})
			}
		})
	}
}

// inBubble gives f a store and a clock of its own. Nothing in memory: a
// connection that database/sql drops would take the records with it.
func inBubble(t *testing.T, f func(t *testing.T, s *sqlstore.Store, db *sql.DB)) {
	t.Helper()
	path := newPath(t)
	synctest.Test(t, func(t *testing.T) {
		db := openSQLite(t, dsn(path, recommended))
		f(t, migrated(t, db), db)
	})
}

// elapse lets time pass in a bubble.
func elapse(d time.Duration) { time.Sleep(d) }

func TestExpiryIsFlooredToTheMillisecond(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, s *sqlstore.Store, _ *sql.DB) {
		r := record(1, 0)
		r.Expires = time.Now().Add(time.Second + 999*time.Microsecond)
		require.NoError(t, s.Insert(t.Context(), key(1), r))
		elapse(time.Second - time.Nanosecond)
		_, err := s.Load(t.Context(), key(1))
		require.NoError(t, err)
		elapse(time.Nanosecond)
		_, err = s.Load(t.Context(), key(1))
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

// A write that waits for a lock must not bring back what expires meanwhile:
// others have been told by then that it is gone.
func TestExpiryWhileWaitingForTheLock(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"waiting in SQLite": recommended, "waiting in the store": bare} {
		for _, c := range []struct {
			name string
			op   func(s *sqlstore.Store) error
		}{
			{"Touch", func(s *sqlstore.Store) error {
				return s.Touch(context.Background(), key(1), 1, time.Now().Add(time.Hour))
			}},
			{"Swap", func(s *sqlstore.Store) error {
				_, err := s.Swap(context.Background(), key(1), 1, record(2, time.Hour))
				return err
			}},
			{"Swap of everything", func(s *sqlstore.Store) error {
				_, err := s.Swap(context.Background(), key(1), 1, owned(2, "ada"))
				return err
			}},
		} {
			t.Run(c.name+" "+name, func(t *testing.T) {
				t.Parallel()
				path := newPath(t)
				s := migrated(t, openSQLite(t, dsn(path, options)))
				require.NoError(t, s.Insert(t.Context(), key(1), record(1, 300*time.Millisecond)))
				unlock := lock(t, path)
				done := make(chan error, 1)
				go func() { done <- c.op(s) }()
				eventually(t, func() bool {
					_, err := s.Load(t.Context(), key(1))
					return errors.Is(err, store.ErrNotFound)
				})
				unlock()
				if err := <-done; c.name == "Touch" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, store.ErrNotFound)
				}
				_, err := s.Load(t.Context(), key(1))
				require.ErrorIs(t, err, store.ErrNotFound)
			})
		}
	}
}

// lock keeps everybody else from writing to the file.
func lock(t *testing.T, path string) (unlock func()) {
	t.Helper()
	db := openSQLite(t, dsn(path, "?_txlock=immediate&_pragma=busy_timeout(5000)"))
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	return func() { require.NoError(t, tx.Rollback()) }
}

// eventually waits until something has happened.
func eventually(t *testing.T, happened func() bool) {
	t.Helper()
	require.Eventually(t, happened, 20*time.Second, 5*time.Millisecond)
}
