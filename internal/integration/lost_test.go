package integration_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Of one answer in ten that a server gives, neither the store nor its driver, as
// it is configured by default, gets to know. What was acknowledged is stored
// once, and nothing else is, but for what was reported as unknown.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		const workers, each = 8, 30
		place := b.site(t)
		if place.addr == "" {
			t.Skip("there is no server, or its address is not known")
		}
		w := newWire(t, place.addr)
		nodes := []*node{newNode(t, place.at(t, w.Addr().String())), newNode(t, place.at(t, w.Addr().String()))}
		sober := newNode(t, place.node(t))
		visitors := make([]*browser, 3)
		for i := range visitors {
			visitors[i] = newBrowser(t)
			visitors[i].must(sober, writeNote("kept"))
		}
		var lost, acknowledged, unknown, refused atomic.Int64
		lose := func() bool {
			if rand.N(10) > 0 {
				return false
			}
			lost.Add(1)
			return true
		}
		w.lose.Store(&lose)
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for range each {
					a, err := visitors[i%len(visitors)].do(nodes[i%len(nodes)], countUp)
					switch {
					case err != nil:
						t.Error(err)
					case a.status == http.StatusOK:
						acknowledged.Add(1)
					case errors.Is(a.failed, session.ErrUnknown):
						unknown.Add(1)
					case a.status == http.StatusServiceUnavailable:
						refused.Add(1)
					default:
						t.Errorf("%d %s: %v", a.status, a.text, a.failed)
					}
				}
			})
		}
		wg.Wait()
		w.lose.Store(nil)
		var stored int64
		for _, v := range visitors {
			require.Equal(t, "kept", v.must(sober, readNote))
			n, err := strconv.ParseInt(v.must(sober, readCount), 10, 64)
			require.NoError(t, err)
			stored += n
		}
		t.Logf("%d answers lost: %d acknowledged, %d unknown, %d refused, %d stored",
			lost.Load(), acknowledged.Load(), unknown.Load(), refused.Load(), stored)
		require.Positive(t, lost.Load())
		require.Positive(t, acknowledged.Load())
		require.GreaterOrEqual(t, stored, acknowledged.Load(), "an acknowledged change is lost")
		require.LessOrEqual(t, stored, acknowledged.Load()+unknown.Load(), "a change was applied twice, or in secret")
	})
}
