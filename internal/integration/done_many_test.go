package integration_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/store/memory"
)

// doneMore is how many goroutines there may be more, however many sessions are watched:
// one that listens, and 16 that look. For a moment there are more of them, for one that
// has nothing to look at any more is replaced before it has ended.
const doneMore = 20

// doneHeld is what a test keeps of a session.
type doneHeld struct {
	id, credential string
	request        *session.Session
	over           <-chan struct{}
	cancel         context.CancelFunc
}

// doneWays of holding on to a session. The first watches nothing: it is what an open
// request takes anyway.
var doneWays = []struct {
	name string
	hold func(m *session.Manager, s *session.Session, h *doneHeld) error
}{
	{"an open request", func(_ *session.Manager, s *session.Session, h *doneHeld) error {
		h.request = s
		return nil
	}},
	{"an open request with Done", func(_ *session.Manager, s *session.Session, h *doneHeld) error {
		h.request, h.over = s, s.Done()
		return nil
	}},
	{"WithDone, beyond the request", func(m *session.Manager, s *session.Session, h *doneHeld) error {
		ctx, cancel := s.WithDone(context.Background())
		h.over, h.cancel = ctx.Done(), cancel
		return m.Finish(context.Background(), s)
	}},
}

// Many sessions are watched, by as many goroutines as few, and the end of one is
// noticed as soon.
func TestDoneOfManySessions(t *testing.T) { // not parallel: it counts goroutines, and measures
	e := effort.Of(t)
	count := e.Count(2_000, 100_000)
	m, err := session.NewManager(session.Config{Store: memory.New(memory.WithMaxBytes(1 << 30))})
	require.NoError(t, err)
	held := make([]doneHeld, count)
	ctx := t.Context()
	for i := range held {
		h := &held[i]
		h.credential, err = visit(ctx, m, "", func(ctx context.Context) error { return counter.Set(ctx, i) })
		require.NoError(t, err)
		_, err = visit(ctx, m, h.credential, func(ctx context.Context) error { h.id, err = readID(ctx); return err })
		require.NoError(t, err)
	}
	plain := 0.0
	for _, way := range doneWays {
		goroutines, most, moment := running(), 0, 0
		before := heap()
		for i := range held {
			h := &held[i]
			s := m.Open(session.Opening{Credentials: []string{h.credential}})
			_, err := counter.Get(session.NewContext(ctx, s))
			require.NoError(t, err)
			_, err = m.Commit(ctx, s)
			require.NoError(t, err)
			require.NoError(t, way.hold(m, s, h))
			if i%50 == 0 {
				n := running()
				moment = max(moment, n)
				for tries := 0; n > goroutines+doneMore && tries < 50; tries++ {
					runtime.Gosched()
					n = running()
				}
				most = max(most, n)
			}
		}
		settle(t, goroutines+1) // each has been looked at
		each := float64(heap()-before) / float64(count)
		if plain == 0 {
			plain = each
		}
		t.Logf("%d sessions, %s: %.0f bytes each, %.0f without what the request takes; goroutines: %d more at most, %d for a moment, then %d",
			count, way.name, each, max(0, each-plain), most-goroutines, moment-goroutines, running()-goroutines)
		require.LessOrEqual(t, most, goroutines+doneMore)
		if held[0].over != nil {
			doneOfMany(t, m, held)
		}
		for i := range held {
			h := &held[i]
			switch {
			case h.cancel != nil:
				h.cancel()
			case h.request != nil:
				require.NoError(t, m.Finish(ctx, h.request))
			}
			h.request, h.over, h.cancel = nil, nil, nil
		}
		settle(t, goroutines)
	}
}

// running returns how many goroutines there are. While some begin and end,
// runtime.NumGoroutine may count dozens that are not there.
func running() int {
	stacks := make([]byte, 1<<20)
	return 1 + bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("\n\ngoroutine "))
}

// settle waits until there are no more goroutines than that.
func settle(t *testing.T, most int) {
	t.Helper()
	for deadline := time.Now().Add(patient); running() > most; {
		require.True(t, time.Now().Before(deadline), "%d goroutines", running())
		<-time.After(time.Millisecond)
	}
}

// doneOfMany ends some of them, and starts others in their place.
func doneOfMany(t *testing.T, m *session.Manager, held []doneHeld) {
	t.Helper()
	took := make([]time.Duration, 200)
	for i := range took {
		h := &held[rand.IntN(len(held))]
		for isClosed(h.over) {
			h = &held[rand.IntN(len(held))]
		}
		require.NoError(t, m.Revoke(t.Context(), h.id))
		ended := time.Now()
		select {
		case <-h.over:
		case <-time.After(patient):
			t.Fatal("the end is not noticed")
		}
		took[i] = time.Since(ended)
		var err error
		h.credential, err = visit(t.Context(), m, "", func(ctx context.Context) error { return counter.Set(ctx, i) })
		require.NoError(t, err)
		_, err = visit(t.Context(), m, h.credential, func(ctx context.Context) error { h.id, err = readID(ctx); return err })
		require.NoError(t, err)
	}
	slices.Sort(took)
	t.Logf("of %d watched sessions %d ended, noticed after %v in the median, %v at most", len(held), len(took), took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)-1], doneTold)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// heap returns how many bytes are in use.
func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first has finalized
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
