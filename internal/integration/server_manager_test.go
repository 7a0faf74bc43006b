package integration_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

func addOne(ctx context.Context) error {
	_, err := counter.Update(ctx, func(n *int) error { *n++; return nil })
	return err
}

// nodes returns managers on one table, each with connections of its own.
func nodes(t *testing.T, sub *subject, n int) (all []*session.Manager) {
	t.Helper()
	for range n {
		m, err := session.NewManager(session.Config{Store: sub.another(t)})
		require.NoError(t, err)
		all = append(all, m)
	}
	return all
}

// Two nodes count in one session, at each level of isolation: nothing is lost.
func TestServerNodesCountInOneSession(t *testing.T) {
	t.Parallel()
	long(t)
	for name, srv := range map[string]server{
		"PostgreSQL":               postgres,
		"PostgreSQL, serializable": postgres.with("default_transaction_isolation=serializable"),
		"MariaDB":                  maria,
		"MariaDB, serializable":    maria.with("tx_isolation=%27SERIALIZABLE%27"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const workers, each = 16, 200
			sub := srv.newSubject(t)
			managers := nodes(t, sub, 2)
			credential, err := visit(t.Context(), managers[0], "", func(ctx context.Context) error { return counter.Set(ctx, 0) })
			require.NoError(t, err)
			var contended atomic.Int64
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for range each {
						_, err := visit(t.Context(), managers[w%2], credential, addOne)
						for errors.Is(err, session.ErrContention) {
							contended.Add(1)
							_, err = visit(t.Context(), managers[w%2], credential, addOne)
						}
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			_, err = visit(t.Context(), managers[1], credential, func(ctx context.Context) error {
				n, err := counter.Get(ctx)
				if err == nil && n != workers*each {
					err = fmt.Errorf("%d increments ended at %d", workers*each, n)
				}
				return err
			})
			require.NoError(t, err)
			t.Logf("%d of %d were contended", contended.Load(), workers*each)
			require.LessOrEqual(t, contended.Load(), int64(workers*each/100))
		})
	}
}

// A session that is destroyed while requests are in flight stays gone.
func TestServerDestroyWins(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		const rounds, workers = 10, 6
		sub := srv.newSubject(t)
		managers := nodes(t, sub, 2)
		for range rounds {
			credential, err := visit(t.Context(), managers[0], "", func(ctx context.Context) error { return counter.Set(ctx, 0) })
			require.NoError(t, err)
			var id []byte
			require.NoError(t, sub.db.QueryRowContext(t.Context(), "SELECT id FROM "+sub.table).Scan(&id))
			var flying, wg sync.WaitGroup
			flying.Add(workers)
			for w := range workers {
				started := sync.OnceFunc(flying.Done)
				wg.Go(func() {
					defer started()
					for {
						next, err := visit(t.Context(), managers[w%2], credential, func(ctx context.Context) error {
							started()
							return addOne(ctx)
						})
						switch {
						case errors.Is(err, session.ErrDestroyed) || err == nil && next != credential:
							return // its own session, a new one
						case err != nil && !errors.Is(err, session.ErrContention):
							t.Error(err)
							return
						}
					}
				})
			}
			flying.Wait()
			_, err = visit(t.Context(), managers[1], credential, func(ctx context.Context) error {
				return session.FromContext(ctx).Destroy(ctx)
			})
			require.NoError(t, err)
			_, err = sub.Load(t.Context(), store.Key(id))
			require.ErrorIs(t, err, store.ErrNotFound)
			wg.Wait()
			_, err = sub.Load(t.Context(), store.Key(id))
			require.ErrorIs(t, err, store.ErrNotFound)
			placeholder := map[sqlstore.Dialect]string{sqlstore.PostgreSQL: "$1", sqlstore.MySQL: "?"}[srv.dialect]
			var n int
			require.NoError(t, sub.db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+sub.table+" WHERE id = "+placeholder, id).Scan(&n))
			require.Zero(t, n)
			_, err = sub.db.ExecContext(t.Context(), "DELETE FROM "+sub.table)
			require.NoError(t, err)
		}
	})
}
