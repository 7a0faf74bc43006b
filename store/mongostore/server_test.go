package mongostore_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// A server that is killed and started again: errors meanwhile, none of which says
// anything about a record, then service, with all that was acknowledged.
func TestServerIsKilled(t *testing.T) {
	t.Parallel()
	server := servers.StartMongoDB(t)
	c := collection(t, server.Database(t), func(o *options.ClientOptions) { o.SetServerSelectionTimeout(100 * time.Millisecond) })
	s := mongostore.New(c)
	kept, r := newKey(), newRecord("ada")
	require.NoError(t, s.Insert(t.Context(), kept, r))

	const workers = 8
	var acknowledged, failed, after atomic.Int64
	var up, stop atomic.Bool
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			key, cur := newKey(), newRecord("")
			inserted := false
			for !stop.Load() {
				var err error
				if inserted {
					next := newRecord("")
					if _, err = s.Swap(t.Context(), key, cur.Version, next); err == nil {
						cur = next
					}
				} else if err = s.Insert(t.Context(), key, cur); err == nil || errors.Is(err, store.ErrExists) {
					inserted, err = true, nil
				}
				switch {
				case err == nil && up.Load():
					after.Add(1)
				case err == nil:
					acknowledged.Add(1)
				case errors.Is(err, store.ErrNotFound):
					t.Errorf("an acknowledged record is gone: %v", err)
					return
				case errors.Is(err, store.ErrConflict):
					// An answer was lost, of a swap that was done.
					if cur, err = s.Load(t.Context(), key); err != nil {
						cur.Version = 0
					}
				default:
					failed.Add(1)
				}
			}
		})
	}
	await(t, func() bool { return acknowledged.Load() > 50 })
	require.NoError(t, server.Kill())
	before := failed.Load()
	await(t, func() bool { return failed.Load() > before+2*workers })
	err := s.Insert(t.Context(), newKey(), newRecord(""))
	require.ErrorIs(t, err, store.ErrRefused, "there is no server")
	require.NoError(t, server.Start())
	up.Store(true)
	await(t, func() bool { return after.Load() > 50 })
	stop.Store(true)
	wg.Wait()
	got, err := s.Load(t.Context(), kept)
	require.NoError(t, err)
	require.Equal(t, r.Version, got.Version)
}

// await waits for something that happens by itself.
func await(t *testing.T, done func() bool) {
	t.Helper()
	require.Eventually(t, done, patience, 5*time.Millisecond)
}
