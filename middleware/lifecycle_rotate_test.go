package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// bubble runs f with a clock of its own and a site over memory.
func bubble(t *testing.T, f func(t *testing.T, site *visitSite, sp *spy.Store), change ...func(*session.Config)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site, sp := newSpySite(t, change...)
		f(t, site, sp)
	})
}

// elapse lets time pass in a bubble.
func elapse(d time.Duration) { time.Sleep(d) }

const pastMinRotate = session.DefaultMinRotate + time.Second

func TestPromise3_Rotation(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(login("ada"), setTo(vCount, 1))
		elapse(pastMinRotate)
		was := v.info()
		old := v.tab()
		sp.Calls()
		v.do(rotate, increment(vCount)).requirePage(t)
		require.Equal(t, calls(spy.Load, spy.Swap), sp.Calls(), "the data and the secret are one swap")
		require.Equal(t, old.key(), v.key())
		require.NotEqual(t, old.credential(), v.credential())
		is := v.info()
		is.Expires = was.Expires // moved by activity
		require.Equal(t, was, is)

		// Within the grace the old secret is as good.
		elapse(session.DefaultGrace - time.Millisecond)
		for _, step := range []visitStep{
			load(vCount), increment(vCount), setTo(vName, "old"), take(vName), orSet(vOther, 5), rotate, save,
			setExpiry(session.OnInactivity(time.Minute)), // the server's end only
		} {
			a := old.do(step)
			a.requirePage(t)
			require.Zero(t, a.cookies, "an old request must not send a cookie")
		}
		requireStored(v, vCount, 3)
		requireStored(v, vOther, 5)
		require.Equal(t, session.OnInactivity(time.Minute), v.info().Expiry)

		// Afterwards it is an unknown cookie.
		elapse(time.Millisecond)
		require.True(t, old.info().New)
		a := old.do(setTo(vCount, 100))
		a.requirePage(t)
		require.NotEqual(t, v.key(), old.key())
		requireStored(v, vCount, 3)
	})
}

// A request with the old secret may log out: it is the same visitor.
func TestDestroyWithRotatedSecret(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		elapse(pastMinRotate)
		old := v.tab()
		v.do(rotate).requirePage(t)
		old.do(destroy).requirePage(t)
		require.Empty(t, old.credential())
		require.True(t, v.info().New)
	})
}

// Only one generation is kept. While a newer cookie is on its way, an older one
// opens an empty session that cannot replace it.
func TestTwoRotationsAgo(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		first := v.tab()
		elapse(pastMinRotate)
		v.do(rotate).requirePage(t)
		second := v.tab()
		elapse(pastMinRotate)
		v.do(rotate).requirePage(t)

		requireAbsent(first, vCount)
		for name, change := range changing {
			if name == "Login" || name == "Save" || name == "Reload" {
				continue
			}
			a := first.do(change)
			require.ErrorIs(t, a.err, session.ErrSuperseded, name)
			require.Zero(t, a.cookies, name)
		}
		requireStored(second, vCount, 1)
		elapse(session.DefaultGrace)
		requireAbsent(second, vCount)
		requireStored(v, vCount, 1)
	})
}

// Of parallel rotations one takes effect, whichever way they interleave.
func TestParallelRotations(t *testing.T) {
	const n = 10
	for name, together := range map[string]bool{"loaded before any": true, "one by one": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
				v := site.known(setTo(vCount, 0))
				elapse(pastMinRotate)
				second := site.twin()
				var answers []*visitAnswer
				if together {
					answers = holdAll(v, second, n, load(vCount), func(int) visitStep {
						return func(ctx context.Context) error { return errors.Join(increment(vCount)(ctx), rotate(ctx)) }
					})
				} else {
					answers = make([]*visitAnswer, n)
					var wg sync.WaitGroup
					for i := range n {
						wg.Go(func() { answers[i] = v.tab().do(increment(vCount), rotate) })
					}
					wg.Wait()
				}
				sent := 0
				for _, a := range answers {
					a.requirePage(t)
					if sent += a.cookies; a.cookies > 0 {
						require.Equal(t, http.StatusOK, a.code)
						fresh := v.tab()
						fresh.receive(a.cookie)
						requireStored(fresh, vCount, n)
					}
				}
				require.Equal(t, 1, sent)
				requireStored(v, vCount, n)
			})
		})
	}
}

func TestMinRotate(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		for _, c := range []struct {
			after   time.Duration
			cookies int
		}{
			{5*time.Minute - time.Millisecond, 0},
			{time.Millisecond, 1},
			{time.Minute, 0},
			{4*time.Minute - time.Millisecond, 0},
			{time.Millisecond, 1},
		} {
			elapse(c.after)
			a := v.do(increment(vCount), rotate)
			a.requirePage(t)
			require.Equal(t, c.cookies, a.cookies)
		}
		requireStored(v, vCount, 6)
	}, func(c *session.Config) { c.Grace, c.MinRotate = 30*time.Second, 5*time.Minute })
}

// A request under way during a rotation neither forks the session nor undoes it.
func TestRotationInFlight(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		elapse(pastMinRotate)
		slow := v.tab().hold(load(vName), increment(vCount))
		v.do(rotate).requirePage(t)
		elapse(session.DefaultGrace) // it may take longer than the grace
		a := slow.finish()
		a.requirePage(t)
		require.Zero(t, a.cookies)
		requireStored(v, vCount, 2)
		require.True(t, slow.tab.info().New)
	})
}

func TestSetExpiryReissuesCookie(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		began := time.Now()
		v := site.known(setTo(vCount, 1))
		set := func(e session.Expiry) *visitAnswer {
			t.Helper()
			old := v.tab()
			a := v.do(setExpiry(e))
			a.requirePage(t)
			if a.cookies > 0 {
				require.Equal(t, old.key(), v.key())
				requireStored(old, vCount, 1) // for the grace
			}
			elapse(session.DefaultGrace)
			require.Equal(t, e, v.info().Expiry)
			v.do(setTo(vOther, int(time.Since(began)))).requirePage(t)
			require.Equal(t, e, v.info().Expiry, "kept by the next write")
			return a
		}
		day := int((24 * time.Hour).Seconds())
		a := set(session.OnInactivity(2 * time.Hour))
		require.Equal(t, 1, a.cookies)
		require.Equal(t, day, a.cookie.MaxAge)
		require.Zero(t, set(session.OnInactivity(time.Hour)).cookies, "the cookie does not change")
		a = set(session.AtTime(began.Add(12 * time.Hour)))
		require.Equal(t, 1, a.cookies)
		require.Equal(t, day/2-60, a.cookie.MaxAge)
		a = set(session.AtTime(began.Add(18 * time.Hour)))
		require.Equal(t, 1, a.cookies)
		require.Equal(t, 3*day/4-90, a.cookie.MaxAge)
		a = set(session.OnSessionEnd())
		require.Equal(t, 1, a.cookies)
		require.Zero(t, a.cookie.MaxAge)
		require.Zero(t, set(session.OnSessionEnd().WithIdle(3*time.Hour)).cookies)

		v.do(setExpiry(session.Expiry{})).requirePage(t)
		require.Equal(t, session.OnSessionEnd(), v.info().Expiry, "the zero Expiry is that of the Config")
	})
}

func TestSetExpiryRefused(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1))
		was := v.info().Expiry
		elapse(30 * time.Minute)
		now := time.Now()
		for _, e := range []session.Expiry{
			session.AtTime(now),
			session.AtTime(now.Add(-time.Hour)),
			session.AtTime(now.Add(23*time.Hour + 30*time.Minute + time.Millisecond)), // the session began before
			session.OnInactivity(0),
			session.OnInactivity(-time.Hour),
			session.OnInactivity(24*time.Hour + time.Millisecond),
			session.OnSessionEnd().WithIdle(25 * time.Hour),
			session.AtTime(now.Add(time.Hour)).WithIdle(0),
		} {
			sp.Calls()
			a := v.do(setExpiry(e))
			var config *session.ConfigError
			require.ErrorAs(t, a.err, &config, e.String())
			require.NotContains(t, sp.Calls(), spy.Swap)
			require.Zero(t, a.cookies)
			require.Equal(t, was, v.info().Expiry)
		}
		v.do(setExpiry(session.AtTime(now.Add(23*time.Hour + 30*time.Minute)))).requirePage(t)
		// A login in the same request begins a new lifetime.
		v.do(login("ada"), setExpiry(session.AtTime(time.Now().Add(24*time.Hour)))).requirePage(t)
	})
}
