package session_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/spy"
)

// rigReturns calls f on a goroutine of its own, from which f need not come back.
func rigReturns(f func()) (returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { _ = recover() }()
		f()
		returned = true
	}()
	<-done
	return returned
}

// rigStormer is one goroutine of a request in the storm.
func rigStormer(q *rigRequest, rnd *rand.Rand, counted *atomic.Int64) {
	ctx := q.ctx
	if rnd.IntN(4) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(500))*time.Microsecond)
		defer cancel()
	}
	leave := func(how func()) {
		runs, last := 0, 1
		if rnd.IntN(16) == 0 {
			last = 2 // in whatever verb or commit runs it again
		}
		rigReturns(func() {
			_, _ = rigThird.Update(ctx, func(n *int) error {
				if runs++; runs == last {
					how()
				}
				*n++
				return nil
			})
		})
	}
	for range 4 {
		switch rnd.IntN(10) {
		case 0, 1, 2:
			if _, err := rigCount.Update(ctx, func(n *int) error { *n++; return nil }); err == nil {
				counted.Add(1)
			}
		case 3:
			_, _ = rigOther.GetOrSet(ctx, func() (int, error) { return rnd.Int(), nil })
		case 4:
			_, _, _ = rigOther.Take(ctx)
		case 5:
			_ = rigThird.Set(ctx, rnd.Int())
		case 6:
			_, _ = q.s.Keys(ctx)
			_, _ = q.s.Info(ctx)
		case 7:
			_ = q.s.Save(ctx)
		case 8:
			leave(runtime.Goexit)
		case 9:
			leave(func() { panic(errRig) })
		}
	}
}

// Twelve requests of one session with four goroutines each, contexts that end,
// functions that panic or end their goroutine, answers that are lost, and a
// transport that does not wait for all that. The count is right, nobody waits for
// ever, and no goroutine is left: the bubble would not end. The order of the
// goroutines is not in the seed.
func TestPromise10_HistoriesOfAStorm(t *testing.T) {
	rigHistories(t, 12, 4, func(h *rigHistory) {
		r := newRig(h)
		cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 0); q.set(rigOther, 0) })
		var mu sync.Mutex
		once := func(n int) bool {
			mu.Lock()
			defer mu.Unlock()
			return h.once(n)
		}
		if h.seed%2 == 0 {
			r.store.Hook(rigDelaying(once, func(_ context.Context, c *spy.Call) { c.Next() }))
		} else {
			r.store.Hook(rigDelaying(once, rigLosing(once, 20, 50)))
		}
		var acked, unknown atomic.Int64
		var storm sync.WaitGroup
		for i := range uint64(12) {
			storm.Go(func() {
				q := r.open(cookie)
				var counted atomic.Int64
				var handlers sync.WaitGroup
				for g := range uint64(4) {
					handlers.Go(func() {
						rigReturns(func() { rigStormer(q, rand.New(rand.NewPCG(h.seed, 1+4*i+g)), &counted) })
					})
				}
				if i%2 == 0 {
					handlers.Wait()
				}
				err, late := errRig, errRig
				if !rigReturns(func() { _, err = q.commit() }) {
					_, _ = q.m.Discard(q.ctx, q.s)
				}
				handlers.Wait()
				rigReturns(func() { late = q.m.Finish(q.ctx, q.s) })
				if err == nil && late == nil {
					acked.Add(counted.Load())
				} else {
					unknown.Add(counted.Load())
				}
			})
		}
		storm.Wait()
		r.store.Hook(nil)
		n := int64(r.open(cookie).get(rigCount))
		require.GreaterOrEqual(h, n, acked.Load(), "increments were lost")
		require.LessOrEqual(h, n, acked.Load()+unknown.Load(), "increments that nobody was told of")
	})
}
