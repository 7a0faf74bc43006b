package integration_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// insertOnMany inserts n records on several connections, and then does more to each.
func insertOnMany(t *testing.T, s *sqlstore.Store, first, n int, d time.Duration, more func(i int) error) {
	t.Helper()
	const workers = 8
	r := record(1, d)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := first + w; i < first+n; i += workers {
				err := s.Insert(t.Context(), key(i), r)
				if err == nil && more != nil {
					err = more(i)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestServerSweepIsExact(t *testing.T) {
	t.Parallel()
	long(t)
	onServers(t, func(t *testing.T, srv server) {
		const expired, live, limit = 5000, 4000, 730
		sub := srv.newSubject(t)
		insertOnMany(t, sub.Store, 0, expired, -time.Second, nil)
		insertOnMany(t, sub.Store, expired, live, time.Hour, nil)
		// These are due, and alive: their life was lengthened since they began.
		insertOnMany(t, sub.Store, expired+live, 500, 2*time.Second, func(i int) error {
			return sub.Touch(t.Context(), key(i), 1, time.Now().Add(time.Hour))
		})
		insertOnMany(t, sub.Store, expired+live+500, 500, 2*time.Second, func(i int) error {
			_, err := sub.Swap(t.Context(), key(i), 1, record(2, time.Hour))
			return err
		})
		sub.awaitDue(t, expired+1000)
		left := int64(expired + live + 1000)
		for {
			n, err := sub.DeleteExpired(t.Context(), limit)
			require.NoError(t, err)
			left -= n
			require.Equal(t, left, sub.rows(t))
			if n < limit {
				break
			}
			require.EqualValues(t, limit, n)
		}
		require.EqualValues(t, live+1000, left)
		sub.awaitDue(t, 0)
		for i := expired; i < expired+live+1000; i += 97 {
			_, err := sub.Load(t.Context(), key(i))
			require.NoError(t, err)
		}
	})
}

// awaitDue waits until the sweep has so many rows to look at.
func (sub *subject) awaitDue(t *testing.T, want int64) {
	t.Helper()
	eventually(t, func() bool {
		return want == sub.number(t, "SELECT count(*) FROM "+sub.table+" WHERE due <= ("+sub.server.clock+")")
	})
}

// Several nodes sweep at once, while others write: none removes what another has,
// and whoever says that none are left is right.
func TestServerSweepsTogether(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		const expired, live, limit = 2000, 300, 400
		for _, params := range map[sqlstore.Dialect][]string{
			sqlstore.PostgreSQL: {"", "default_transaction_isolation=serializable"},
			sqlstore.MySQL:      {"", "tx_isolation=%27READ-COMMITTED%27"},
		}[srv.dialect] {
			sub := srv.with(params).newSubject(t)
			insertOnMany(t, sub.Store, 0, live, 2*time.Second, func(i int) error {
				return sub.Touch(t.Context(), key(i), 1, time.Now().Add(time.Hour))
			})
			insertOnMany(t, sub.Store, live, expired, -time.Second, nil)
			sub.awaitDue(t, live+expired)
			alive := 0 // on a busy machine some were touched too late
			for i := range live {
				if _, err := sub.Load(t.Context(), key(i)); !errors.Is(err, store.ErrNotFound) {
					require.NoError(t, err)
					alive++
				}
			}
			require.Positive(t, alive)
			var total atomic.Int64
			ctx, stop := context.WithCancel(t.Context())
			var sweepers, writers sync.WaitGroup
			writers.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					if err := sub.Touch(t.Context(), key(n%live), 1, time.Now().Add(2*time.Hour)); err != nil {
						t.Error(err)
						return
					}
				}
			})
			for range 4 {
				node := sub.another(t)
				sweepers.Go(func() {
					for {
						n, err := node.DeleteExpired(t.Context(), limit)
						total.Add(n)
						if err != nil {
							t.Error(err)
							return
						}
						if n < limit {
							if left, err := node.DeleteExpired(t.Context(), 1); err != nil || left != 0 {
								t.Errorf("%d left, error %v", left, err)
							}
							return
						}
					}
				})
			}
			sweepers.Wait()
			stop()
			writers.Wait()
			require.EqualValues(t, expired+live-alive, total.Load())
			require.EqualValues(t, alive, sub.rows(t))
		}
	})
}

// What somebody has locked is passed over, and not called none.
func TestPostgreSQLSweepPassesOverLocks(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	insertMany(t, sub.Store, 0, 20, -time.Second)
	first := key(0)
	tx, err := sub.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(t.Context(), "SELECT 1 FROM "+sub.table+" WHERE id = $1 FOR UPDATE", first[:])
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	n, err := sub.DeleteExpired(ctx, 100)
	require.EqualValues(t, 19, n)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, tx.Rollback())
	// The server may hear late that nobody waits any more, and delete it for the first call.
	n, err = sub.DeleteExpired(t.Context(), 100)
	require.NoError(t, err)
	require.LessOrEqual(t, n, int64(1))
	require.Zero(t, sub.rows(t))
}
