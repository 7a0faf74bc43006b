package session_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// sweptStore notes when it is swept, and answers as it is told to.
type sweptStore struct {
	*spy.Store
	mu      sync.Mutex
	at      []time.Time
	limits  []int
	answers []sweepAnswer // one after the other, then none
}

type sweepAnswer struct {
	n   int64
	err error
	do  func()
}

func newSweptStore(answers ...sweepAnswer) *sweptStore {
	return &sweptStore{Store: spy.Wrap(memory.New()), answers: answers}
}

func (s *sweptStore) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.limits = append(s.at, time.Now()), append(s.limits, limit)
	if len(s.answers) == 0 {
		return 0, ctx.Err()
	}
	a := s.answers[0]
	s.answers = s.answers[1:]
	if a.do != nil {
		a.do()
	}
	return a.n, a.err
}

// sweeps returns when it was swept.
func (s *sweptStore) sweeps() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

// TestDeleteExpiredInBatches: it asks for more until a batch is not full.
func TestDeleteExpiredInBatches(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	for name, test := range map[string]struct {
		answers []sweepAnswer
		total   int64
		err     error
		calls   int
	}{
		"nothing":     {nil, 0, nil, 1},
		"one batch":   {[]sweepAnswer{{n: 999}}, 999, nil, 1},
		"full":        {[]sweepAnswer{{n: 1000}}, 1000, nil, 2},
		"several":     {[]sweepAnswer{{n: 1000}, {n: 1000}, {n: 3}}, 2003, nil, 3},
		"an error":    {[]sweepAnswer{{n: 1000}, {n: 7, err: errTest}}, 1007, errTest, 2},
		"ended":       {[]sweepAnswer{{n: 1000}, {n: 1000, do: cancel}, {n: 1000}}, 2000, context.Canceled, 2},
		"ended, done": {[]sweepAnswer{{n: 10}}, 10, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSweptStore(test.answers...)
			c := t.Context()
			if name == "ended" {
				c = ctx
			}
			total, err := newManager(t, on(s)).DeleteExpired(c)
			require.Equal(t, test.total, total)
			require.Len(t, s.limits, test.calls)
			for _, limit := range s.limits {
				require.Equal(t, 1000, limit, "bounded")
			}
			if test.err == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, test.err)
			var failure *session.StoreError
			require.ErrorAs(t, err, &failure)
			require.Equal(t, "sweep", failure.Op)
		})
	}
	cancel()
}

func TestDeleteExpiredOfMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		m := newManager(t, on(s))
		for range 5 {
			newVisitor(t, m).request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
		}
		time.Sleep(30 * time.Minute)
		late := started(t, on(s))
		n, err := m.DeleteExpired(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		time.Sleep(30 * time.Minute)
		n, err = m.DeleteExpired(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(5), n)
		require.Equal(t, 1, s.Len())
		require.True(t, late.alive())
	})
}

func TestSweeper(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := newSweptStore(sweepAnswer{n: 3}, sweepAnswer{err: errTest}, sweepAnswer{n: 1000}, sweepAnswer{n: 1, err: errors.New("another failure")})
		m := newManager(t, on(s), func(cfg *session.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		ctx, stop := context.WithCancel(t.Context())
		begun := time.Now()
		done := make(chan error, 1)
		go func() { done <- m.RunSweeper(ctx, time.Minute) }()

		synctest.Wait()
		require.Empty(t, s.sweeps(), "it waits first")
		time.Sleep(54*time.Second - 1)
		synctest.Wait()
		require.Empty(t, s.sweeps())
		time.Sleep(time.Hour)
		stop()
		require.ErrorIs(t, <-done, context.Canceled)
		synctest.Wait()

		require.Greater(t, len(s.sweeps()), 54, "failures do not end it")
		require.Less(t, len(s.sweeps()), 70)
		distances := map[time.Duration]bool{}
		last := begun
		for i, at := range s.sweeps() {
			d := at.Sub(last)
			last = at
			if i == 3 {
				require.Zero(t, d, "the second batch of one sweep")
				continue
			}
			require.GreaterOrEqual(t, d, 54*time.Second)
			require.LessOrEqual(t, d, 66*time.Second)
			distances[d] = true
		}
		require.Greater(t, len(distances), 30, "nodes do not sweep in step")
		require.Equal(t, 2, strings.Count(log.String(), "sweeping expired sessions failed"), log.String())
		require.Contains(t, log.String(), errTest.Error())
		require.Contains(t, log.String(), "another failure")
	})
}

func TestSweeperThatEndsDuringASweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancelCause(t.Context())
		var log strings.Builder
		s := newSweptStore(sweepAnswer{n: 5, err: context.Canceled, do: func() { stop(errTest) }})
		m := newManager(t, on(s), func(cfg *session.Config) {
			cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
		})
		require.ErrorIs(t, m.RunSweeper(ctx, time.Second), context.Canceled)
		require.Len(t, s.sweeps(), 1)
		require.Empty(t, log.String(), "the end is no failure")
	})
}

func TestSweeperThatCannotStart(t *testing.T) {
	t.Parallel()
	s := newSweptStore()
	var log strings.Builder
	m := newManager(t, on(s), func(cfg *session.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	for _, every := range []time.Duration{0, -1, -time.Hour} {
		var config *session.ConfigError
		err := m.RunSweeper(t.Context(), every)
		require.Contains(t, log.String(), "not sweeping", "go m.RunSweeper(...) drops the error")
		log.Reset()
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, every.String())
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.RunSweeper(ended, time.Hour), context.Canceled)
	require.Empty(t, s.sweeps())
}
