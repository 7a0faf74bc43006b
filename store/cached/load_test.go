package cached_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

func TestOneLoadAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.before = nth("Load", 1, ttl/2)
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := range 10 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				loads(t, s, 1)
			})
		}
		wg.Wait()
		require.Equal(t, 1, st.asked())
		stats := s.Stats()
		require.EqualValues(t, 1, stats.Misses)
		require.EqualValues(t, 9, stats.Joined)
		require.Zero(t, s.Flights())
	})
}

// Whoever comes too late for a load that hangs does not wait for it, and is not given
// what it brings.
func TestStalledLoad(t *testing.T) {
	t.Parallel()
	const long = time.Minute
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.after = nth("Load", 1, long) // it has read version 1
		start := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			loads(t, s, 1)
			require.Equal(t, long, time.Since(start))
		})
		wg.Go(func() { // just in time: what the other one brings was sent ttl ago
			time.Sleep(ttl)
			loads(t, s, 1)
			require.Equal(t, long, time.Since(start))
		})
		synctest.Wait()
		st.swap(t, 1, 2)
		time.Sleep(ttl + time.Nanosecond)
		loads(t, s, 2)
		require.Equal(t, ttl+time.Nanosecond, time.Since(start), "it waited for the stalled one")
		loads(t, s, 2)
		require.Equal(t, 2, st.asked())
		wg.Wait()
		loads(t, s, 2, "the stalled one is not kept")
		require.EqualValues(t, 1, s.Stats().DroppedFills)
		require.Zero(t, s.Flights())
	})
}

// A load whose own context ends fails nobody else: one of those who wait takes over.
func TestLeaderGivesUp(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(ctx context.Context) (context.Context, context.CancelFunc){
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(ttl/2, cancel)
			return ctx, cancel
		},
		"timed out": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, ttl/2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st := newPair(t)
				st.before = func(ctx context.Context, op string, n int) error {
					if op == "Load" && n <= 2 {
						return pause(ctx, ttl)
					}
					return nil
				}
				ctx, cancel := end(t.Context())
				defer cancel()
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					_, err := s.Load(ctx, aKey)
					require.ErrorIs(t, err, ctx.Err())
				})
				synctest.Wait()
				for range 5 {
					wg.Go(func() { loads(t, s, 1) })
				}
				wg.Wait()
				require.Equal(t, 2, st.asked(), "one takes over, the others wait for that one")
				require.Zero(t, s.Flights())
			})
		})
	}
}

// A connection may report the deadline of the context before the context does.
func TestLeaderTimesOutEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.before = func(ctx context.Context, op string, n int) error {
			if op != "Load" || n > 1 {
				return nil
			}
			if err := pause(context.WithoutCancel(ctx), ttl/2); err != nil {
				return err
			}
			return errBroken
		}
		ctx := lateContext{t.Context(), time.Now().Add(ttl / 2)}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			_, err := s.Load(ctx, aKey)
			require.ErrorIs(t, err, errBroken)
		})
		synctest.Wait()
		wg.Go(func() { loads(t, s, 1) })
		wg.Wait()
	})
}

// lateContext is past its deadline and does not say so yet.
type lateContext struct {
	context.Context
	deadline time.Time
}

func (c lateContext) Deadline() (time.Time, bool) { return c.deadline, true }

func TestWaiterGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.before = nth("Load", 1, ttl)
		start := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { loads(t, s, 1) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), ttl/4)
		defer cancel()
		_, err := s.Load(ctx, aKey)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, ttl/4, time.Since(start))
		wg.Wait()
		require.Equal(t, 1, st.asked())
	})
}

// A failure is the answer of all who wait, and is not remembered.
func TestFailureIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		loads(t, s, 1)
		time.Sleep(ttl + time.Nanosecond)
		st.before = nth("Load", 2, ttl/2)
		st.after = failing("Load")
		var failed atomic.Int32
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 4 {
			wg.Go(func() {
				_, err := s.Load(t.Context(), aKey)
				require.Equal(t, errBroken, err, "unchanged")
				failed.Add(1)
			})
		}
		wg.Wait()
		require.EqualValues(t, 4, failed.Load())
		require.Equal(t, 2, st.asked())
		st.after = nil
		loads(t, s, 1)
	})
}

// A store that panics, or ends the goroutine, leaves nobody waiting.
func TestPanicWakesThoseWhoWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.before = func(ctx context.Context, op string, n int) error {
			if op != "Load" || n > 1 {
				return nil
			}
			if err := pause(ctx, ttl/2); err != nil {
				return err
			}
			panic("a bug of the store")
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			require.PanicsWithValue(t, "a bug of the store", func() { _, _ = s.Load(t.Context(), aKey) })
		})
		synctest.Wait()
		for range 3 {
			wg.Go(func() { loads(t, s, 1) })
		}
		wg.Wait()
		require.Zero(t, s.Flights())

		st.before = func(context.Context, string, int) error { panic("again") }
		require.Panics(t, func() { _, _ = s.Swap(t.Context(), aKey, 1, record(2)) })
		require.Panics(t, func() { _ = s.Insert(t.Context(), aKey, record(2)) })
		require.Panics(t, func() { _ = s.Delete(t.Context(), aKey) })
		require.Panics(t, func() { _, _ = s.LoadFresh(t.Context(), aKey) })
		require.Zero(t, s.Flights())
		_, _, ok := s.Copy(aKey)
		require.False(t, ok)
	})
}

// That there is no record is not taken from a load that was sent before: it may have
// been inserted since.
func TestAbsenceIsNotJoined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage()
		s := cached.New(st, cached.WithTTL(ttl))
		st.after = nth("Load", 1, ttl/2)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { loads(t, s, 0) })
		synctest.Wait()
		time.Sleep(time.Nanosecond)
		require.NoError(t, st.Store.Insert(t.Context(), aKey, record(1))) // by another node
		for range 3 {
			wg.Go(func() { loads(t, s, 1) })
		}
		wg.Wait()
		require.Equal(t, 2, st.asked())
	})
}

// LoadFresh asks anew, past every cache, and refreshes the copy.
func TestLoadFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		loads(t, s, 1)
		st.swap(t, 1, 2)
		loads(t, s, 1)
		fresh(t, s, 2)
		loads(t, s, 2)
		require.Equal(t, 2, st.asked())
		require.NoError(t, st.Store.Delete(t.Context(), aKey))
		_, err := s.LoadFresh(t.Context(), aKey)
		require.ErrorIs(t, err, store.ErrNotFound)
		loads(t, s, 0)
	})
}

func TestLoadFreshJoinsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.after = nth("Load", 1, ttl/2)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { loads(t, s, 1) })
		synctest.Wait()
		st.swap(t, 1, 2)
		start := time.Now()
		fresh(t, s, 2)
		require.Zero(t, time.Since(start))
		loads(t, s, 2)
		wg.Wait()
		// The first answer differs, and may be the newer one for all that is known.
		loads(t, s, 2)
		require.Zero(t, s.Flights())
	})
}

// A cache beneath is passed, too.
func TestLoadFreshPassesCaches(t *testing.T) {
	t.Parallel()
	beneath, st := newPair(t, cached.WithTTL(time.Hour))
	s := cached.New(beneath)
	fresh(t, s, 1)
	st.swap(t, 1, 2)
	fresh(t, s, 2)
	fresh(t, beneath, 2)
}
