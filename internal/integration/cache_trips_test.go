package integration_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/cached"
)

// cacheSteps are requests of one visitor, one after the other, and what each takes: in
// round trips, or in what else a store is counted.
var cacheSteps = []struct {
	name  string
	send  func(b *browser, here, there *node) string
	trips int
}{
	{"a GET after a write by this node", func(b *browser, here, _ *node) string { return b.mustGet(here, readCount) }, 0},
	{"a write by the other node", func(b *browser, _, there *node) string { return b.must(there, countUp) }, 0},
	{"a GET that finds an old copy", func(b *browser, here, _ *node) string { return b.mustGet(here, readCount) }, 0},
	{"a POST that reads", func(b *browser, here, _ *node) string { return b.must(here, readCount) }, 1},
	{"a GET after it", func(b *browser, here, _ *node) string { return b.mustGet(here, readCount) }, 0},
	{"a POST that writes", func(b *browser, here, _ *node) string { return b.must(here, countUp) }, 2},
	{"a GET that writes, of what is cached", func(b *browser, here, _ *node) string { return b.mustGet(here, countUp) }, 2},
	{"a GET once more", func(b *browser, here, _ *node) string { return b.mustGet(here, both(readCount, readCount)) }, 0},
}

// A read that finds a copy takes no round trip; what asks for what is current takes what
// it takes without a cache.
func TestCacheRoundTrips(t *testing.T) {
	t.Parallel()
	for _, m := range tripMeters {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			counted, other, took := m.open(t)
			st := cached.New(counted, cached.WithTTL(cacheLong))
			here, there := newNode(t, st, tripConfig), newNode(t, other, tripConfig)
			var got []int
			want := make([]int, len(cacheSteps))
			for i, step := range cacheSteps {
				want[i] = step.trips
			}
			round := func() {
				got = nil
				b := newBrowser(t)
				b.must(here, func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 1) })
				for _, step := range cacheSteps {
					took()
					step.send(b, here, there)
					got = append(got, took())
				}
			}
			round() // statements are prepared when they are run first
			// pgx asks whether a connection lives that was not used for a second.
			slow := true
			for try := 0; slow && try < 20; try++ {
				begun := time.Now()
				round()
				slow = time.Since(begun) > 900*time.Millisecond
			}
			require.False(t, slow, "this machine is too slow")
			require.Equal(t, want, got, "of the steps in cacheSteps")

			// However many there are.
			b := newBrowser(t)
			b.must(here, func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 7) })
			took()
			const reads = 200
			before := st.Stats()
			for range reads {
				require.Equal(t, strconv.Itoa(7), b.mustGet(here, readCount))
			}
			require.Zero(t, took())
			require.EqualValues(t, reads, st.Stats().Hits-before.Hits)
		})
	}
}
