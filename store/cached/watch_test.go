package cached_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// running runs s until the test ends.
func running(t *testing.T, s *cached.Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
		if s.Stats().Listening {
			t.Error("listens after Run has returned")
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	synctest.Wait()
}

func TestRunDropsWhatOthersChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, st := newPair(t, cached.WithTTL(time.Hour))
		b := cached.New(st.Store, cached.WithTTL(time.Hour))
		require.False(t, a.Stats().Listening)
		running(t, a)
		require.True(t, a.Stats().Listening)
		loads(t, a, 1)
		_, err := b.Swap(t.Context(), aKey, 1, record(2))
		require.NoError(t, err)
		synctest.Wait()
		loads(t, a, 2)
		require.Equal(t, 2, st.asked())

		// What comes back of an own write drops nothing.
		_, err = a.Swap(t.Context(), aKey, 2, record(3))
		require.NoError(t, err)
		synctest.Wait()
		loads(t, a, 3)
		require.Equal(t, 2, st.asked())

		require.NoError(t, b.Delete(t.Context(), aKey))
		synctest.Wait()
		loads(t, a, 0)
	})
}

// Whoever listens still uses no copy that is too old.
func TestBoundHoldsWhileListening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		st.watch = func(ctx context.Context, ready func(), _ func(store.Change)) error {
			ready()
			<-ctx.Done()
			return ctx.Err()
		}
		running(t, s)
		loads(t, s, 1)
		st.swap(t, 1, 2) // and nobody tells
		time.Sleep(ttl)
		loads(t, s, 1)
		time.Sleep(time.Nanosecond)
		loads(t, s, 2)
	})
}

// notebook is a log that can be read while it is written.
type notebook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.Write(p)
}

func (n *notebook) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.buf.String()
}

// flaky is a subscription that stands when it may, and until it is cut.
type flaky struct {
	stands   atomic.Bool
	cut      chan struct{}
	mu       sync.Mutex
	attempts []time.Time
}

func (f *flaky) watch(ctx context.Context, ready func(), _ func(store.Change)) error {
	f.mu.Lock()
	f.attempts = append(f.attempts, time.Now())
	f.mu.Unlock()
	if !f.stands.Load() {
		return errBroken
	}
	ready()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-f.cut:
		return errBroken
	}
}

func (f *flaky) tried() []time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.attempts)
}

func TestRunTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log notebook
		lines := func(level string, want int) {
			t.Helper()
			require.Equal(t, want, strings.Count(log.String(), "level="+level), "%s", log.String())
		}
		s, st := newPair(t, cached.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
		f := flaky{cut: make(chan struct{})}
		st.watch = f.watch
		running(t, s)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.False(t, s.Stats().Listening)
		lines("WARN", 1)
		require.Contains(t, log.String(), "ttl=100ms")
		require.Contains(t, log.String(), errBroken.Error())
		want, attempts := 200*time.Millisecond, f.tried()
		for i := 1; i < len(attempts); i++ {
			got := attempts[i].Sub(attempts[i-1])
			require.LessOrEqual(t, got, want)
			require.Greater(t, got, want/2)
			want = min(2*want, 10*time.Second)
		}
		require.Equal(t, 10*time.Second, want)
		require.Greater(t, len(attempts), 8)

		f.stands.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.True(t, s.Stats().Listening)
		lines("INFO", 1)

		// One that has stood for long is soon tried again, and lost with a warning.
		time.Sleep(time.Minute)
		before := time.Now()
		f.cut <- struct{}{}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		require.True(t, s.Stats().Listening)
		attempts = f.tried()
		require.LessOrEqual(t, attempts[len(attempts)-1].Sub(before), 200*time.Millisecond)
		lines("WARN", 2)
		lines("INFO", 2)

		// One that breaks at once is tried less and less often.
		before = time.Now()
		for range 5 {
			f.cut <- struct{}{}
		}
		require.Greater(t, time.Since(before), 2*time.Second)
	})
}

func TestRunReturns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t, cached.WithLogger(silent))
		unsupported := fmt.Errorf("not set up: %w", errors.ErrUnsupported)
		st.watch = func(context.Context, func(), func(store.Change)) error { return unsupported }
		start := time.Now()
		require.Equal(t, unsupported, s.Run(t.Context()))
		require.Equal(t, unsupported, s.Watch(t.Context(), func() {}, func(store.Change) {}))
		require.Zero(t, time.Since(start))

		// The context ends while it waits, too.
		st.watch = func(context.Context, func(), func(store.Change)) error { return errBroken }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.Equal(t, context.DeadlineExceeded, s.Run(ctx))
		require.Equal(t, time.Minute, time.Since(start))

		st.watch = func(_ context.Context, ready func(), _ func(store.Change)) error { ready(); panic("a bug") }
		require.Panics(t, func() { _ = s.Run(t.Context()) })
		require.False(t, s.Stats().Listening)
	})
}

// Whoever is told of a change does not find what it replaced.
func TestWatchDropsFirst(t *testing.T) {
	t.Parallel()
	s, st := newPair(t, cached.WithTTL(time.Hour))
	loads(t, s, 1)
	st.swap(t, 1, 2)
	st.watch = func(_ context.Context, ready func(), changed func(store.Change)) error {
		ready()
		changed(store.Change{Key: aKey, Version: 2})
		return errBroken
	}
	var told []string
	err := s.Watch(t.Context(), func() { told = append(told, "ready") }, func(c store.Change) {
		_, _, ok := s.Copy(c.Key)
		told = append(told, fmt.Sprintf("changed to %d, copy %t", c.Version, ok))
	})
	require.Equal(t, errBroken, err)
	require.Equal(t, []string{"ready", "changed to 2, copy false"}, told)
}
