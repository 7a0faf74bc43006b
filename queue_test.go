package session

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

// The queue is tested from inside: from outside one sees only that commits are
// fast, not that nothing is left behind.

func queueKey(n byte) store.Key { return store.Key{0: n} }

func requireIdle(t *testing.T, q *queue) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	require.Empty(t, q.slots)
	if q.free != nil {
		require.Equal(t, slot{}, *q.free, "an idle slot carries nothing over")
	}
}

func TestQueueLetsOneThrough(t *testing.T) {
	t.Parallel()
	var (
		q       queue
		inside  [3]int // plain: the race detector watches too
		holders [3]atomic.Int32
		wg      sync.WaitGroup
	)
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				k := (g + i) % len(inside)
				sl, err := q.acquire(t.Context(), queueKey(byte(k)))
				if err != nil {
					t.Error(err)
					return
				}
				if n := holders[k].Add(1); n != 1 {
					t.Errorf("%d hold one slot", n)
				}
				inside[k]++
				holders[k].Add(-1)
				q.release(sl)
			}
		})
	}
	wg.Wait()
	require.Equal(t, [3]int{800, 800, 800}, inside)
	requireIdle(t, &q)
}

func TestQueueIsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q queue
		first, err := q.acquire(t.Context(), queueKey(1))
		require.NoError(t, err)
		var order []int
		for i := range 20 {
			go func() {
				sl, err := q.acquire(t.Context(), queueKey(1))
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i)
				q.release(sl)
			}()
			synctest.Wait() // this one waits before the next one comes
		}
		require.Empty(t, order)
		other, err := q.acquire(t.Context(), queueKey(2))
		require.NoError(t, err, "another session does not wait")
		q.release(other)
		q.release(first)
		synctest.Wait()
		require.Len(t, order, 20)
		for i, n := range order {
			require.Equal(t, i, n)
		}
		requireIdle(t, &q)
	})
}

func TestQueueWaitEndsWithContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q queue
		held, err := q.acquire(t.Context(), queueKey(1))
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err = q.acquire(ctx, queueKey(1))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(begun))
		_, err = q.acquire(ctx, queueKey(1))
		require.ErrorIs(t, err, context.DeadlineExceeded, "a context that has ended does not wait at all")

		q.release(held) // nobody waits any more: no turn may be left over
		requireIdle(t, &q)
		for range 3 {
			sl, err := q.acquire(t.Context(), queueKey(1))
			require.NoError(t, err)
			q.release(sl)
		}
		requireIdle(t, &q)
	})
}

// TestQueueLosesNoTurn lets waiters give up at random, also in the moment that
// they are given their turn.
func TestQueueLosesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var (
			q              queue
			wg             sync.WaitGroup
			served, gaveUp atomic.Int64
			holders        [4]atomic.Int32
		)
		for g := range 60 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(17, uint64(g)))
				for range 50 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(r.IntN(40))*time.Millisecond)
					k := r.IntN(len(holders))
					sl, err := q.acquire(ctx, queueKey(byte(k)))
					if err == nil {
						if holders[k].Add(1) != 1 {
							t.Error("two hold one slot")
						}
						time.Sleep(time.Duration(r.IntN(4)) * time.Millisecond)
						holders[k].Add(-1)
						q.release(sl)
						served.Add(1)
					} else if gaveUp.Add(1); !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					cancel()
				}
			})
		}
		wg.Wait()
		require.Equal(t, int64(3000), served.Load()+gaveUp.Load())
		require.Greater(t, served.Load(), int64(300))
		require.Greater(t, gaveUp.Load(), int64(300))
		requireIdle(t, &q)
	})
}

func TestQueueHandsTheRecordOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var q queue
		held, err := q.acquire(t.Context(), queueKey(1))
		require.NoError(t, err)
		require.Zero(t, held.rec)
		got := make(chan store.Record, 1)
		go func() {
			sl, err := q.acquire(t.Context(), queueKey(1))
			if err == nil {
				got <- sl.rec
				q.release(sl)
			}
		}()
		synctest.Wait()
		held.rec = store.Record{Version: 7, Data: []byte("data"), Owner: "ann"}
		q.release(held)
		synctest.Wait()
		require.Equal(t, int64(7), (<-got).Version, "who comes next builds on it")

		for _, k := range []byte{1, 2} {
			sl, err := q.acquire(t.Context(), queueKey(k))
			require.NoError(t, err)
			require.Equal(t, slot{key: queueKey(k), refs: 1}, *sl, "the slot is used again, without what it held")
			q.release(sl)
		}
	})
}

func TestQueueReusesItsSlot(t *testing.T) { // not parallel: it counts allocations
	var q queue
	require.Zero(t, testing.AllocsPerRun(100, func() {
		sl, err := q.acquire(t.Context(), queueKey(1))
		if err != nil {
			panic(err)
		}
		q.release(sl)
	}))
}
