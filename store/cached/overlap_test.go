package cached_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// Two answers that overlap and differ cannot be put in order: after LoadFresh has
// returned one, Load returns neither from memory.
func TestAnswersThatDiffer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		early, late bool // whether that one has read version 2, which replaced 1
	}{
		"the first question was read last": {early: true},
		"the last question was read last":  {late: true},
		"both read the same":               {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st := newPair(t, cached.WithTTL(time.Hour))
				swap := func(n int) bool { return n == 1 && c.early || n == 2 && c.late }
				// The first is sent at 0 and answered at 4; the second is sent at 1 and
				// answered at 2, or at 3 if it reads last.
				st.before = func(ctx context.Context, op string, n int) error {
					if op == "Load" && n <= 2 && swap(n) {
						return pause(ctx, 2*time.Second)
					}
					return nil
				}
				st.after = func(ctx context.Context, op string, n int) error {
					if op != "Load" || n > 2 {
						return nil
					}
					if n == 1 && swap(n) {
						return pause(ctx, 2*time.Second)
					}
					if n == 1 {
						return pause(ctx, 4*time.Second)
					}
					if swap(n) {
						return nil
					}
					return pause(ctx, time.Second/2)
				}
				var wg sync.WaitGroup
				defer wg.Wait()
				results := make([]int64, 2)
				for i := range 2 {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * time.Second)
						r, err := s.LoadFresh(t.Context(), aKey)
						require.NoError(t, err)
						results[i] = r.Version
					})
				}
				if c.early || c.late {
					time.Sleep(1800 * time.Millisecond)
					st.swap(t, 1, 2)
				}
				wg.Wait()
				differ := c.early || c.late
				require.Equal(t, differ, results[0] != results[1])
				version, age, ok := s.Copy(aKey)
				require.Equal(t, !differ, ok)
				if !differ {
					require.EqualValues(t, 1, version)
					require.Equal(t, 3*time.Second, age, "that of the one that was sent last")
				}
				require.Zero(t, s.Flights())
			})
		})
	}
}

// Three answers overlap. That two of them agree does not make them the newer ones.
func TestThreeAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t, cached.WithTTL(time.Hour))
		st.after = func(ctx context.Context, op string, n int) error {
			if op == "Load" && n <= 2 {
				return pause(ctx, time.Duration(n)*time.Second) // they have read version 1
			}
			return nil
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		for range 2 {
			wg.Go(func() { fresh(t, s, 1) })
			synctest.Wait()
		}
		st.swap(t, 1, 2)
		fresh(t, s, 2)
		loads(t, s, 2)
		wg.Wait()
		loads(t, s, 2)
		require.Zero(t, s.Flights())
	})
}

// Nobody waits for an answer that may be older than what LoadFresh has returned.
func TestNobodyJoinsWhatMayBeOlder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t, cached.WithTTL(time.Hour))
		st.before = nth("Load", 1, time.Second) // it is sent first and read last
		st.after = nth("Load", 2, time.Minute)  // it has read version 1
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			_, err := s.LoadFresh(t.Context(), aKey)
			require.ErrorIs(t, err, store.ErrNotFound)
		})
		synctest.Wait()
		wg.Go(func() { fresh(t, s, 1) })
		synctest.Wait()
		require.NoError(t, st.Store.Delete(t.Context(), aKey))
		time.Sleep(2 * time.Second)
		loads(t, s, 0)
		require.Equal(t, 3, st.asked())
		wg.Wait()
		loads(t, s, 0)
	})
}
