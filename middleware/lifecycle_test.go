package middleware_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// ends lists what ends a session while a request of it is under way. The
// sessions they are for belong to ada, and end by time after an hour.
var ends = map[string]func(t *testing.T, v *visitor){
	"destroy": func(t *testing.T, v *visitor) { v.tab().do(destroy).requirePage(t) },
	"revoke":  func(t *testing.T, v *visitor) { require.NoError(t, v.site.m.Revoke(t.Context(), v.info().ID)) },
	"revoke owner": func(t *testing.T, v *visitor) {
		require.NoError(t, v.site.m.RevokeOwner(t.Context(), "ada"))
	},
	"inactivity": func(*testing.T, *visitor) { time.Sleep(time.Hour) },
	"swept": func(t *testing.T, v *visitor) {
		time.Sleep(time.Hour)
		n, err := v.site.m.DeleteExpired(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(1), n)
	},
}

// changesOf lists the verbs that change a session with a count, and no other.
func changesOf() map[string]visitStep {
	all := maps.Clone(changing)
	delete(all, "Destroy")
	delete(all, "Reload")
	all["Get and Set"] = func(ctx context.Context) error { return errors.Join(load(vCount)(ctx), setTo(vCount, 2)(ctx)) }
	all["Delete"] = remove(vCount)
	all["Take"] = take(vCount)
	all["Save"] = func(ctx context.Context) error { return errors.Join(setTo(vOther, 1)(ctx), save(ctx)) }
	return all
}

// A request that is under way when its session ends does not bring it back.
func TestPromise2_NoResurrection(t *testing.T) {
	t.Parallel()
	for how, end := range ends {
		for name, change := range changesOf() {
			t.Run(how+","+name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					st := memory.New()
					site := newVisitSite(t, st)
					v := site.known(login("ada"), setTo(vCount, 1))
					time.Sleep(2 * time.Minute) // past MinRotate
					slow := v.tab().hold(load(vName), change)
					end(t, v)
					a := slow.finish()
					a.requireRefused(t, http.StatusConflict, session.ErrDestroyed)
					if name == "Take" || name == "GetOrSet" || name == "Save" { // done at once
						require.ErrorIs(t, a.err, session.ErrDestroyed)
					}
					live := 0
					for _, err := range site.m.Sessions(t.Context(), "ada") {
						require.NoError(t, err)
						live++
					}
					require.Zero(t, live)
					old := slow.tab.info()
					require.True(t, old.New)
					require.Empty(t, old.Owner)
					requireAbsent(slow.tab, vCount)
				})
			})
		}
	}
}

// A request that only reads ends well, and keeps nothing alive that is gone.
func TestPromise2_ReaderInFlight(t *testing.T) {
	t.Parallel()
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := memory.New()
				site := newVisitSite(t, st)
				v := site.known(login("ada"), setTo(vCount, 1))
				time.Sleep(2 * time.Minute) // a touch is due
				var n int
				slow := v.tab().hold(load(vCount), read(vCount, &n))
				end(t, v)
				a := slow.finish()
				a.requirePage(t)
				require.Zero(t, a.cookies)
				require.Equal(t, 1, n, "a request sees one state")
				require.True(t, slow.tab.info().New)
			})
		})
	}
}

func TestFarewell(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(login("ada"), setTo(vCount, 1))
	old := v.tab()
	a := v.do(destroy, setTo(vName, "bye"))
	a.requirePage(t)
	require.Equal(t, 1, a.cookies)
	require.NotEqual(t, old.key(), v.key())
	requireStored(v, vName, "bye")
	requireAbsent(v, vCount)
	require.Empty(t, v.info().Owner)
	require.True(t, old.info().New)
}

// In a request that has destroyed its session nothing of it can be seen.
func TestDestroyedInRequest(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(login("ada"), setTo(vCount, 1))
	n, info := -1, session.Info{}
	v.do(load(vCount), setTo(vName, "x"), destroy, read(vCount, &n), func(ctx context.Context) (err error) {
		info, err = session.FromContext(ctx).Info(ctx)
		return err
	}).requirePage(t)
	require.Zero(t, n)
	require.True(t, info.New)
	require.Empty(t, info.Owner)
	require.Empty(t, info.ID)
}

func TestDestroyTwiceAtOnce(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	slow := v.tab().hold(load(vCount), destroy)
	v.do(destroy).requirePage(t)
	a := slow.finish()
	a.requirePage(t)
	require.Empty(t, slow.tab.credential())
}

var errDown = errors.New("the store is down")

// failing returns a hook that refuses a method before it happens.
func failing(op spy.Op) spy.Hook {
	return func(_ context.Context, c *spy.Call) {
		if c.Op == op {
			c.Err = errDown
			return
		}
		c.Next()
	}
}

func TestDestroyFails(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	before := v.credential()
	ignored := func(ctx context.Context) error {
		_ = session.FromContext(ctx).Destroy(ctx)
		return nil
	}

	sp.Hook(failing(spy.Delete))
	a := v.do(destroy)
	var failure *session.StoreError
	require.ErrorAs(t, a.err, &failure)
	require.Equal(t, "delete", failure.Op)
	a.requireRefused(t, http.StatusServiceUnavailable, errDown)

	a = v.do(setTo(vCount, 2), ignored, func(ctx context.Context) error {
		require.ErrorIs(t, setTo(vCount, 3)(ctx), errDown)
		return load(vCount)(ctx)
	})
	require.ErrorIs(t, a.err, errDown)
	a.requireRefused(t, http.StatusServiceUnavailable, errDown)

	a = v.doStatus(http.StatusInternalServerError, destroy)
	require.Equal(t, http.StatusInternalServerError, a.code)
	require.Zero(t, a.cookies)

	sp.Hook(nil)
	require.Equal(t, before, v.credential())
	requireStored(v, vCount, 1)

	// A second call in the same request makes up for the first.
	sp.Hook(failing(spy.Delete))
	old := v.tab()
	a = v.do(ignored, func(ctx context.Context) error {
		sp.Hook(nil)
		return destroy(ctx)
	}, setTo(vName, "bye"))
	a.requirePage(t)
	require.NotEqual(t, old.key(), v.key())
	requireStored(v, vName, "bye")
	require.True(t, old.info().New)
}

// A logout whose answer was lost did happen; the browser keeps its cookie, which
// opens nothing.
func TestDestroyAnswerLost(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	sp.Hook(func(_ context.Context, c *spy.Call) {
		if c.Next(); c.Op == spy.Delete {
			c.Err = errDown
		}
	})
	v.do(destroy).requireRefused(t, http.StatusServiceUnavailable, errDown)
	sp.Hook(nil)
	require.True(t, v.info().New)
}
