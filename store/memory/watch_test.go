package memory_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

func nobody(store.Change) { panic("nothing has changed") }

// watch starts a Watch in the bubble of the test, which sees what it tells after
// synctest.Wait. stop ends it and returns its error.
func watch(t *testing.T, s *memory.Store, changed func(store.Change)) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := false, make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func() { ready = true }, changed) }()
	synctest.Wait()
	require.True(t, ready)
	return func() error {
		cancel()
		return <-ended
	}
}

func TestWatchTellsOfWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ctx := t.Context()
		var told []store.Change
		stop := watch(t, s, func(c store.Change) { told = append(told, c) })
		news := func() []store.Change {
			synctest.Wait()
			defer func() { told = nil }()
			return told
		}
		for i := range 4 {
			insert(t, s, key(i), owned(1, "ada"))
		}
		require.NoError(t, s.Touch(ctx, key(1), 1, time.Now().Add(2*time.Hour)))
		_, err := s.Swap(ctx, key(1), 9, owned(2, "ada"))
		require.ErrorIs(t, err, store.ErrConflict)
		require.NoError(t, s.Delete(ctx, key(9)))
		require.Empty(t, news(), "nothing that others have seen was replaced")

		_, err = s.Swap(ctx, key(1), 1, owned(2, "ada"))
		require.NoError(t, err)
		require.Equal(t, []store.Change{{Key: key(1), Version: 2}}, news())
		_, err = s.Swap(ctx, key(1), 1, owned(2, "ada"))
		require.NoError(t, err)
		require.Empty(t, news(), "it has happened before")
		require.NoError(t, s.Delete(ctx, key(1)))
		require.Equal(t, []store.Change{{Key: key(1)}}, news())
		n, err := s.DeleteOwner(ctx, "ada", key(3))
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
		require.ElementsMatch(t, []store.Change{{Key: key(0)}, {Key: key(2)}}, news())

		require.ErrorIs(t, stop(), context.Canceled)
		require.NoError(t, s.Delete(ctx, key(3)))
		require.Empty(t, news(), "it has ended")
		require.False(t, s.Watched())
	})
}

func TestWatchSaysNothingOfTheExpired(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		stop := watch(t, s, nobody)
		const all = 100
		for i := range all {
			k := key(i)
			k[0] = 7 // one shard, of which a write drops those first that expired first
			insert(t, s, k, record(1, time.Minute+time.Duration(i)*time.Millisecond))
		}
		time.Sleep(2 * time.Minute)
		last := key(all - 1)
		last[0] = 7
		require.NoError(t, s.Delete(t.Context(), last))
		insert(t, s, last, owned(1, "ada")) // in the place of what has expired
		n, err := s.DeleteExpired(t.Context(), all)
		require.NoError(t, err)
		require.Positive(t, n)
		synctest.Wait()
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

// What happens while a watcher is busy is told once for each key, as it is in the
// end, and nobody has waited.
func TestBusyWatcherHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ctx := t.Context()
		var told []store.Change
		gate := make(chan struct{})
		stop := watch(t, s, func(c store.Change) { <-gate; told = append(told, c) })
		for i := range 3 {
			insert(t, s, key(i), record(1, time.Hour))
		}
		for version := range int64(100) {
			for i := range 2 {
				_, err := s.Swap(ctx, key(i), version+1, record(version+2, time.Hour))
				require.NoError(t, err)
			}
			synctest.Wait() // the first of these is being told
		}
		require.NoError(t, s.Delete(ctx, key(1)))
		require.Empty(t, told)
		close(gate)
		synctest.Wait()
		require.LessOrEqual(t, len(told), 4)
		last := make(map[store.Key]int64)
		for _, c := range told {
			last[c.Key] = c.Version
		}
		require.Equal(t, map[store.Key]int64{key(0): 101, key(1): 0}, last)
		require.ErrorIs(t, stop(), context.Canceled)
	})
}

func TestWatcherThatFallsBehindIsToldSo(t *testing.T) {
	t.Parallel()
	for _, more := range []int{0, 1} {
		t.Run(fmt.Sprint(more), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				ctx := t.Context()
				told := 0
				gate := make(chan struct{})
				slow := watch(t, s, func(store.Change) { <-gate; told++ })
				quick := 0
				other := watch(t, s, func(store.Change) { quick++ })
				const waiting = memory.MaxPending
				remove := func(i int) {
					insert(t, s, key(i), record(1, time.Hour))
					require.NoError(t, s.Delete(ctx, key(i)))
				}
				remove(0)
				synctest.Wait() // it is being told, and the others wait
				for i := range waiting + more {
					remove(1 + i)
					if i%1000 == 0 {
						synctest.Wait()
					}
				}
				remove(1) // it waits already
				close(gate)
				synctest.Wait()
				if more == 0 {
					require.Equal(t, 1+waiting, told)
					require.ErrorIs(t, slow(), context.Canceled)
				} else {
					require.Equal(t, 1, told)
					require.ErrorIs(t, slow(), memory.ErrBehind)
				}
				require.GreaterOrEqual(t, quick, 1+waiting+more)
				require.ErrorIs(t, other(), context.Canceled)
				require.False(t, s.Watched())
			})
		})
	}
}

// changed may end the Watch, and the rest is not told.
func TestWatchEndsWhileItTells(t *testing.T) {
	t.Parallel()
	s := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	told := 0
	err := s.Watch(ctx, func() {
		for i := range 10 {
			insert(t, s, key(i), record(1, time.Hour))
			require.NoError(t, s.Delete(ctx, key(i)))
		}
	}, func(store.Change) {
		told++
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, told)

	err = s.Watch(ctx, func() { panic("it had ended before") }, nobody)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, s.Watched())
}

// A Watch whose changed panics is over like any other.
func TestWatchThatPanicsIsOver(t *testing.T) {
	t.Parallel()
	s := memory.New()
	require.PanicsWithValue(t, "nothing has changed", func() {
		_ = s.Watch(t.Context(), func() {
			insert(t, s, key(1), record(1, time.Hour))
			require.NoError(t, s.Delete(t.Context(), key(1)))
		}, nobody)
	})
	require.False(t, s.Watched())
	insert(t, s, key(1), record(1, time.Hour))
	require.NoError(t, s.Delete(t.Context(), key(1)))
}

// Who watches costs writes no allocation, and who has watched costs them nothing.
func TestWatchedAllocations(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := memory.New()
	ctx, cancel := context.WithCancel(t.Context())
	r := record(1, time.Hour)
	insert(t, s, key(1), r)
	var told atomic.Int64
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.Watch(ctx, func() { close(ready) }, func(store.Change) { told.Add(1) }) }()
	<-ready
	swap := func() {
		old := r.Version
		r.Version++
		if _, err := s.Swap(ctx, key(1), old, r); err != nil {
			panic(err)
		}
	}
	heard := func() { // each alone
		before := told.Load()
		swap()
		for told.Load() == before {
			runtime.Gosched()
		}
	}
	for range 1000 {
		heard()
	}
	require.LessOrEqual(t, testing.AllocsPerRun(500, heard), 0.0)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
	require.False(t, s.Watched())
}

func ExampleStore_Watch() {
	s := memory.New()
	ctx, cancel := context.WithCancel(context.Background())
	key := store.Key{1}
	r := store.Record{Data: []byte("one"), Version: 17, Expires: time.Now().Add(time.Hour)}
	if err := s.Insert(ctx, key, r); err != nil {
		fmt.Println(err)
	}

	err := s.Watch(ctx, func() {
		go func() { _ = s.Delete(ctx, key) }() // somebody logs out
	}, func(c store.Change) {
		fmt.Println("deleted:", c.Key == key && c.Version == 0)
		cancel()
	})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output:
	// deleted: true
	// true
}
