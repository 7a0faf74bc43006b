package cached_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

func TestNegative(t *testing.T) {
	t.Parallel()
	const remembered = ttl / 2
	synctest.Test(t, func(t *testing.T) {
		st := newStage()
		s := cached.New(st, cached.WithTTL(ttl), cached.WithNegative(remembered))
		st.after = nth("Load", 1, ttl/4)
		loads(t, s, 0)
		time.Sleep(remembered - ttl/4)
		loads(t, s, 0)
		require.Equal(t, 1, st.asked(), "remembered since it was asked")
		require.EqualValues(t, 1, s.Stats().NegativeHits)
		time.Sleep(time.Nanosecond)
		loads(t, s, 0)
		require.Equal(t, 2, st.asked())

		require.NoError(t, s.Insert(t.Context(), aKey, record(1)))
		loads(t, s, 1, "an own Insert is never hidden")
		require.NoError(t, s.Delete(t.Context(), aKey))
		loads(t, s, 0)
		require.Equal(t, 3, st.asked(), "only the store says that there is none")

		require.NoError(t, st.Store.Insert(t.Context(), aKey, record(2)))
		loads(t, s, 0)
		require.Equal(t, 3, st.asked())
		hear(t, s, st, store.Change{Key: aKey, Version: 2})
		loads(t, s, 2, "a change is heard of")
	})
}

func TestNothingIsRememberedByDefault(t *testing.T) {
	t.Parallel()
	st := newStage()
	s := cached.New(st)
	for range 3 {
		loads(t, s, 0)
	}
	require.Equal(t, 3, st.asked())
	require.Zero(t, s.Stats().Entries)
}

// A failure is not remembered as an absence.
func TestFailureIsNoAbsence(t *testing.T) {
	t.Parallel()
	s, st := newPair(t, cached.WithNegative(time.Hour))
	st.before = failing("Load")
	_, err := s.Load(t.Context(), aKey)
	require.Equal(t, errBroken, err)
	st.before = nil
	loads(t, s, 1)
}

// An own Insert is not hidden by who asked before or meanwhile.
func TestInsertIsNotHidden(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]struct{ load, insert time.Duration }{
		"asked before, answered after":     {load: time.Second},
		"asked before, answered meanwhile": {load: time.Second, insert: time.Minute},
		"asked and answered meanwhile":     {insert: time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := newStage()
				s := cached.New(st, cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
				st.after = nth("Load", 1, slow.load)
				st.before = nth("Insert", 1, slow.insert)
				var wg sync.WaitGroup
				defer wg.Wait()
				ask := func() { wg.Go(func() { loads(t, s, 0) }); synctest.Wait() }
				if slow.load > 0 {
					ask()
				}
				wg.Go(func() { require.NoError(t, s.Insert(t.Context(), aKey, record(1))) })
				synctest.Wait()
				if slow.load == 0 {
					ask()
					loads(t, s, 0)
				}
				time.Sleep(slow.insert)
				synctest.Wait()
				loads(t, s, 1)
				wg.Wait()
				loads(t, s, 1)
			})
		})
	}
}

// An absence that was asked for first and answered last leaves no absence.
func TestAbsenceOverRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		st := newStage()
		s := cached.New(st, cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
		st.after = nth("Load", 1, time.Second)
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { loads(t, s, 0) })
		synctest.Wait()
		require.NoError(t, st.Store.Insert(t.Context(), aKey, record(1)))
		fresh(t, s, 1)
		wg.Wait()
		loads(t, s, 1)
	})
}
