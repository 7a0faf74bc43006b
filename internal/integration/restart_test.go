package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
)

// The server is killed under load, and later stopped in good order. While it is
// away every page is an error; as soon as it is back the same nodes serve
// everything again, and what was acknowledged is there.
func TestRestart(t *testing.T) {
	t.Parallel()
	long(t)
	for _, b := range backends {
		if b.alone == nil {
			continue
		}
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			place, srv := b.alone(t)
			// Goroutines inherit the label, so that those of this test can be told
			// from those of tests that run beside it.
			pprof.Do(t.Context(), pprof.Labels(restartLabel, t.Name()), func(context.Context) {
				t.Run("load", func(t *testing.T) { restart(t, place, srv) })
			})
			var left []restartGoroutines
			require.Eventually(t, func() bool {
				left = goroutinesOf(t.Name(), "")
				return len(left) == 0
			}, 20*time.Second, 20*time.Millisecond, "goroutines are left: %v", &left)
		})
	}
}

func restart(t *testing.T, place *site, srv *servers.Server) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	label := strings.TrimSuffix(t.Name(), "/load")
	h := &restartLoad{t: t, nodes: newNodes(t, place, 2)}
	h.share()
	quiet := h.quiet(label)

	stop := h.start(seed)
	h.await("the load", 30, time.Minute)
	for _, way := range []struct {
		name string
		down func() error
	}{{"killed", srv.Kill}, {"stopped", srv.Stop}} {
		for i := range h.errors {
			h.errors[i].Store(0)
		}
		held := h.hold()
		h.away.Store(true)
		require.NoError(t, way.down())
		eventually(t, func() bool { return h.errors[0].Load() >= 20 && h.errors[1].Load() >= 20 })
		held.away()
		besides(func() { require.NoError(t, srv.Start()) })
		back := time.Now()
		h.await("service after it was "+way.name, 20, 15*time.Second)
		t.Logf("%s: %d and %d errors, full service after %v", way.name, h.errors[0].Load(), h.errors[1].Load(), time.Since(back))
		// A connection that was in use in the last second is not checked by pgx.
		<-time.After(time.Until(back.Add(1500 * time.Millisecond)))
		h.await("connections that are checked", 20, 15*time.Second)
		h.away.Store(false)
		held.back()
		h.await("service without an error", 20, 15*time.Second)
	}
	stop()
	h.verify()

	most := quiet
	if place.connections != nil {
		var c connections
		besides(func() {
			deadline := time.Now().Add(20 * time.Second)
			for c = place.connections(t); c.open != c.served && time.Now().Before(deadline); c = place.connections(t) {
				<-time.After(20 * time.Millisecond) // the server has still to notice
			}
		})
		t.Logf("%+v", c)
		require.Equal(t, c.open, c.served, "connections of the pools, and of the server")
		require.Zero(t, c.inUse)
		require.LessOrEqual(t, c.open, c.most)
		most += c.open // a driver may have one for each
	}
	h.quiet(label)
	require.Eventually(t, func() bool { return countGoroutines(goroutinesOf(label, "")) <= most },
		20*time.Second, 20*time.Millisecond, "more goroutines than before")
}

const restartLabel = "restart"

// besides runs what is not of the load: its goroutines are not counted.
func besides(f func()) {
	pprof.Do(context.Background(), pprof.Labels(restartLabel, "besides"), func(context.Context) { f() })
}

// restartGoroutines are some with the same stack.
type restartGoroutines struct {
	count int
	stack string
}

// goroutinesOf returns those with a label in whose stack is a text.
func goroutinesOf(label, in string) (all []restartGoroutines) {
	var profile bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
		return []restartGoroutines{{1, err.Error()}}
	}
	for stack := range strings.SplitSeq(profile.String(), "\n\n") {
		if !strings.Contains(stack, fmt.Sprintf("%q:%q", restartLabel, label)) || !strings.Contains(stack, in) {
			continue
		}
		for line := range strings.SplitSeq(stack, "\n") { // the first stack has the title of the profile before it
			number, _, _ := strings.Cut(line, " @")
			if n, err := strconv.Atoi(number); err == nil {
				all = append(all, restartGoroutines{n, stack})
			}
		}
	}
	return all
}

func countGoroutines(all []restartGoroutines) (n int) {
	for _, g := range all {
		n += g.count
	}
	return n
}

// quiet ends what browsers keep open, waits until no goroutine is in this library,
// and returns how many there are.
func (h *restartLoad) quiet(label string) int {
	h.t.Helper()
	for _, b := range h.browsers {
		b.client.CloseIdleConnections()
	}
	// The nodes notice a moment later.
	eventually(h.t, func() bool {
		return len(goroutinesOf(label, "net/http.(*conn).serve")) == 0 &&
			len(goroutinesOf(label, "github.com/typedsession/session.")) == 0 &&
			len(goroutinesOf(label, "github.com/typedsession/session/store")) == 0
	})
	return countGoroutines(goroutinesOf(label, ""))
}
