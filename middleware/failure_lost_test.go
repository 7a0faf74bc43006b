package middleware_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// flaky returns two nodes over one store; only the first has a spy.
func flaky(t *testing.T) (a, b *visitSite, sp *spy.Store) {
	t.Helper()
	st := memory.New()
	sp = spy.Wrap(st)
	return newVisitSite(t, sp), newVisitSite(t, st), sp
}

// A swap that happened is recognized although its answer was lost and others
// have committed since: the function is not run on top of its own result.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		happens bool
		later   int // commits of others before the store can be asked again
		code    int
	}{
		{true, 0, 200},
		{true, 1, 200},
		{true, 15, 200},
		{true, 20, 500}, // nobody remembers
		{false, 0, 200},
		{false, 1, 200},
		{false, 15, 200},
		{false, 20, 500},
	} {
		a, b, sp := flaky(t)
		v := a.known(setTo(vCount, 0))
		sp.Hook(func(_ context.Context, call *spy.Call) {
			if call.Op != spy.Swap {
				call.Next()
				return
			}
			sp.Hook(nil)
			if c.happens {
				call.Next()
			}
			call.Record, call.Err = store.Record{}, errDown
			for range c.later {
				if got := v.at(b).do(increment(vCount)); got.code != http.StatusOK {
					t.Errorf("another commit: %v", got.failed)
				}
			}
		})
		answer := v.do(increment(vCount))
		n, _ := stored(v, vCount)
		require.Equal(t, c.code, answer.code, "%+v: %v", c, answer.failed)
		switch {
		case c.code == http.StatusOK || c.happens:
			require.Equal(t, c.later+1, n, "%+v", c)
		default:
			require.Equal(t, c.later, n, "%+v", c)
		}
		if c.code != http.StatusOK {
			answer.requireRefused(t, http.StatusInternalServerError, session.ErrUnknown)
		}
	}
}

// What Save shows after a lost answer is what its own commit stored.
func TestSaveAfterLostAnswer(t *testing.T) {
	t.Parallel()
	a, b, sp := flaky(t)
	v := a.known(setTo(vCount, 0))
	sp.Hook(func(_ context.Context, c *spy.Call) {
		if c.Next(); c.Op == spy.Swap {
			sp.Hook(nil)
			c.Err = errDown
			v.at(b).do(increment(vCount))
		}
	})
	var committed int
	v.do(increment(vCount), save, read(vCount, &committed), increment(vOther)).requirePage(t)
	require.Equal(t, 1, committed)
	requireStored(v, vCount, 2)
	requireStored(v, vOther, 1)
}

// A driver may send a write again, also when others have written in between.
func TestDriverRepeats(t *testing.T) {
	t.Parallel()
	for _, between := range []bool{false, true} {
		a, b, sp := flaky(t)
		v := a.known(setTo(vCount, 0))
		others := 0
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Next(); c.Op == spy.Swap {
				if between && others < 5 {
					others++
					v.at(b).do(increment(vCount))
				}
				c.Next()
			}
		})
		v.do(increment(vCount)).requirePage(t)
		v.do(increment(vCount), rotate, save, increment(vCount)).requirePage(t)
		requireStored(v, vCount, others+3)

		sp.Hook(func(_ context.Context, c *spy.Call) { c.Next(); c.Next() })
		w := a.visitor()
		answer := w.do(increment(vCount))
		answer.requirePage(t)
		require.Equal(t, 1, answer.cookies)
		requireStored(w, vCount, 1)
		w.do(destroy).requirePage(t)
	}
}

// Under random faults nothing is counted twice, and nothing that was
// acknowledged is missing.
func TestPromise6_RandomFaults(t *testing.T) {
	t.Parallel()
	var unknowns, acks atomic.Int64
	for range 200 {
		synctest.Test(t, func(t *testing.T) { // pauses take no time
			acked, unknown, n := randomFaults(t)
			acks.Add(int64(acked))
			unknowns.Add(int64(unknown))
			require.LessOrEqual(t, acked, n)
			require.LessOrEqual(t, n, acked+unknown)
		})
	}
	require.Positive(t, acks.Load())
	require.Less(t, unknowns.Load(), acks.Load()/2, "most answers are found again")
}

func randomFaults(t *testing.T) (acked, unknown, n int) {
	a, b, sp := flaky(t)
	nodes := [2]*visitSite{a, b}
	nodes[1] = newVisitSite(t, sp)
	v := a.known(setTo(vCount, 0))
	sp.Hook(func(_ context.Context, c *spy.Call) {
		p := rand.N(100)
		switch {
		case c.Op == spy.Touch || p >= 35:
			c.Next()
		case p < 10: // refused
			c.Err = errDown
		case p < 15: // repeated by the driver
			c.Next()
			c.Next()
		default: // done, and the answer lost
			c.Next()
			c.Record, c.Err = store.Record{}, errDown
		}
	})
	var wg sync.WaitGroup
	answers := make([][3]*visitAnswer, 6)
	for i := range answers {
		wg.Go(func() {
			for j := range answers[i] {
				answers[i][j] = v.at(nodes[i%2]).do(increment(vCount))
			}
		})
	}
	wg.Wait()
	sp.Hook(nil)
	for i := range answers {
		for _, answer := range answers[i] {
			switch {
			case answer.code == http.StatusOK:
				acked++
			case errors.Is(answer.failed, session.ErrUnknown):
				unknown++
			default: // nothing was written
				require.Equal(t, http.StatusServiceUnavailable, answer.code, "%v", answer.failed)
			}
		}
	}
	n, _ = stored(v.at(b), vCount)
	return acked, unknown, n
}

// When it cannot be known what happened, the request can do nothing more but
// log out.
func TestUnknownFreezes(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		for name, verb := range verbs() {
			v := site.known(setTo(vCount, 1))
			lost := false
			sp.Hook(func(_ context.Context, c *spy.Call) {
				switch {
				case lost && c.Op != spy.Delete:
					c.Err = errDown
				case c.Op == spy.Swap:
					c.Next()
					lost, c.Err = true, errDown
				default:
					c.Next()
				}
			})
			a := v.do(increment(vCount), ignoring(save), verb)
			sp.Hook(nil)
			if name == "Destroy" {
				a.requirePage(t)
				require.Empty(t, v.credential())
				continue
			}
			require.ErrorIs(t, a.err, session.ErrUnknown, name)
			a.requireRefused(t, http.StatusInternalServerError, session.ErrUnknown)
			requireStored(v, vCount, 2)
		}
	})
}

// Retries are bounded, and end in a typed error.
func TestPromise10_Contention(t *testing.T) {
	t.Parallel()
	for name, conflict := range map[string]func(v *visitor, b *visitSite, c *spy.Call){
		"always refused": func(_ *visitor, _ *visitSite, c *spy.Call) { c.Err = store.ErrConflict },
		"always slower": func(v *visitor, b *visitSite, c *spy.Call) {
			v.at(b).do(increment(vOther))
			c.Next()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b, sp := flaky(t)
				v := a.known(setTo(vCount, 1))
				sp.Hook(func(_ context.Context, c *spy.Call) {
					if c.Op != spy.Swap {
						c.Next()
						return
					}
					conflict(v, b, c)
				})
				sp.Calls()
				runs := 0
				answer := v.do(func(ctx context.Context) error {
					_, err := vCount.Update(ctx, func(n *int) error { runs++; *n++; return nil })
					return err
				})
				answer.requireRefused(t, http.StatusServiceUnavailable, session.ErrContention)
				require.NotErrorIs(t, answer.failed, session.ErrUnknown)
				swaps := countOps(sp.Calls(), spy.Swap)
				require.Greater(t, swaps, 10)
				require.LessOrEqual(t, swaps, 100)
				require.LessOrEqual(t, runs, swaps+1)

				// After a Save the handler may try again itself.
				answer = v.do(increment(vCount), func(ctx context.Context) error {
					require.ErrorIs(t, save(ctx), session.ErrContention)
					sp.Hook(nil)
					return save(ctx)
				})
				answer.requirePage(t)
				requireStored(v, vCount, 2)
			})
		})
	}
}
