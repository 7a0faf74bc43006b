package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// ignoring runs a step as a handler does that looks at no error.
func ignoring(step visitStep) visitStep {
	return func(ctx context.Context) error {
		_ = step(ctx)
		return nil
	}
}

// getThenSet is the commonest way to overwrite what could not be read.
func getThenSet(ctx context.Context) error {
	n, _ := vCount.Get(ctx)
	return vCount.Set(ctx, n+1)
}

// What was done at once needs its cookie also when the commit then fails.
func TestCookieBesideError(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1))
		time.Sleep(pastMinRotate)
		var old *visitor
		for name, first := range map[string]visitStep{"rotate": rotate, "login": login("ada")} {
			old = v.tab()
			a := v.do(first, save, load(vCount), setTo(vCount, 5), func(context.Context) error {
				sp.Hook(func(_ context.Context, c *spy.Call) {
					c.Err = store.ErrConflict
					if c.Op != spy.Swap {
						c.Next()
					}
				})
				return nil
			})
			sp.Hook(nil)
			require.ErrorIs(t, a.failed, session.ErrContention, name)
			require.Equal(t, http.StatusServiceUnavailable, a.code)
			require.Equal(t, errorBody, a.body)
			require.Equal(t, 1, a.cookies)
			require.NotEqual(t, old.credential(), v.credential())
			require.Equal(t, old.key(), v.key())
			requireStored(v, vCount, 1)
			time.Sleep(pastMinRotate)
		}

		// A logout whose farewell cannot be stored.
		sp.Hook(failing(spy.Insert))
		a := v.do(destroy, setTo(vName, "bye"))
		sp.Hook(nil)
		require.Equal(t, http.StatusServiceUnavailable, a.code)
		require.Empty(t, v.credential(), "the removal is sent")
		require.True(t, old.info().New)
	})
}

// A store that cannot be read never looks like an empty session, whatever the
// handler ignores.
func TestPromise6_LoadFails(t *testing.T) {
	t.Parallel()
	all := verbs()
	all["Get then Set"] = getThenSet
	for name, verb := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, sp := newSpySite(t)
			v := site.known(login("ada"), setTo(vCount, 41), setTo(vOther, 7))
			before := v.credential()
			sp.Calls()

			sp.Hook(failing(spy.Load))
			a := v.do(verb)
			var failure *session.StoreError
			require.ErrorAs(t, a.err, &failure)
			require.Equal(t, "load", failure.Op)
			a.requireRefused(t, http.StatusServiceUnavailable, errDown)

			// The failure is remembered for the request, though the store is back.
			sp.Hook(failing(spy.Load))
			a = v.do(ignoring(verb), func(context.Context) error { sp.Hook(nil); return nil }, ignoring(load(vCount)), verb)
			require.ErrorIs(t, a.err, errDown)
			a.requireRefused(t, http.StatusServiceUnavailable, errDown)
			require.Equal(t, calls(spy.Load, spy.Load), sp.Calls())

			require.Equal(t, before, v.credential())
			require.Equal(t, []string{"count", "other"}, keysOf(v))
			requireStored(v, vCount, 41)
		})
	}
}

// A logout that only its caller gave up may be tried again. Until then the session
// is of no other use.
func TestDestroyRepeated(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	canceled := func(ctx context.Context) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		return destroy(gone)
	}
	a := v.do(ignoring(canceled), setTo(vCount, 2))
	require.ErrorIs(t, a.err, context.Canceled)
	require.ErrorIs(t, a.failed, context.Canceled)
	requireStored(v, vCount, 1)

	old := v.tab()
	v.do(ignoring(canceled), ignoring(load(vCount)), destroy, setTo(vName, "bye")).requirePage(t)
	require.NotEqual(t, old.key(), v.key())
	require.True(t, old.info().New)
}

// An end of the caller's own context says nothing about the store.
func TestCanceledLoadIsNotRemembered(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	for name, verb := range verbs() {
		if name == "Destroy" {
			continue
		}
		a := v.do(func(ctx context.Context) error {
			gone, cancel := context.WithCancel(ctx)
			cancel()
			require.ErrorIs(t, verb(gone), context.Canceled, name)
			return nil
		}, increment(vCount))
		require.NoError(t, a.err, name)
		a.requirePage(t)
		require.Equal(t, []string{"count"}, keysOf(v), name)
	}
}

// Nor does it let the handler overwrite what it has not seen.
func TestCanceledGetThenSet(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 41))
	get := func(ctx context.Context) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		_, err := vCount.Get(gone)
		return err
	}
	a := v.do(ignoring(get), setTo(vOther, 1), setTo(vCount, 1))
	require.ErrorIs(t, a.err, context.Canceled)
	require.Equal(t, http.StatusOK, a.code)
	requireStored(v, vCount, 41)
	requireStored(v, vOther, 1)
	v.do(ignoring(get), increment(vCount)).requirePage(t)
	v.do(ignoring(get), load(vCount), setTo(vCount, 50)).requirePage(t)
	requireStored(v, vCount, 50)
	v.do(ignoring(get), remove(vCount), setTo(vCount, 60)).requirePage(t)
	requireStored(v, vCount, 60)
}

// What the visitor sees when one method of the store fails, before it happens
// or after, until the end.
func TestPromise6_StoreFails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		op    spy.Op
		new   bool // a visitor without a session
		do    visitStep
		code  int
		is    error
		after int // count that is stored when the method had happened
	}{
		{name: "insert", op: spy.Insert, new: true, do: setTo(vCount, 5), code: 503, is: errDown},
		{name: "login of a new visitor", op: spy.Insert, new: true, do: login("ada"), code: 503, is: errDown},
		{name: "swap", op: spy.Swap, do: increment(vCount), code: 500, is: session.ErrUnknown, after: 2},
		{name: "login", op: spy.Swap, do: login("ada"), code: 500, is: session.ErrUnknown, after: 1},
		{name: "rotate", op: spy.Swap, do: rotate, code: 500, is: session.ErrUnknown, after: 1},
		{name: "touch", op: spy.Touch, do: load(vCount), code: 503, is: errDown, after: 1},
		{name: "delete", op: spy.Delete, do: ignoring(destroy), code: 503, is: errDown},
	} {
		for _, happens := range []bool{false, true} {
			name := c.name + " before it happens"
			if happens {
				name = c.name + " after it happened"
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
					v := site.visitor()
					if !c.new {
						v = site.known(setTo(vCount, 1))
						time.Sleep(pastMinRotate)
					}
					before := v.tab()
					broken := false // and nothing can be read any more
					sp.Hook(func(_ context.Context, call *spy.Call) {
						switch {
						case call.Op == c.op:
							broken = true
							if happens {
								call.Next()
							}
							call.Err = errDown
						case broken:
							call.Err = errDown
						default:
							call.Next()
						}
					})
					v.do(c.do).requireRefused(t, c.code, c.is)
					sp.Hook(nil)
					want := 0
					switch {
					case happens:
						want = c.after
					case !c.new:
						want = 1
					}
					if c.name != "login" || !happens { // the lost answer had the new secret
						got, _ := stored(before, vCount)
						require.Equal(t, want, got)
					}
				})
			})
		}
	}
}

// One failure in between is made up for.
func TestSwapFailsOnce(t *testing.T) {
	t.Parallel()
	for _, happens := range []bool{false, true} {
		site, sp := newSpySite(t)
		v := site.known(setTo(vCount, 1))
		failed := false
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op != spy.Swap || failed {
				c.Next()
				return
			}
			if failed = true; happens {
				c.Next()
			}
			c.Err = errDown
		})
		v.do(increment(vCount)).requirePage(t)
		requireStored(v, vCount, 2)
	}
}

// A Save that could not insert leaves everything to the commit.
func TestInsertFailsOnce(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.visitor()
	sp.Hook(failing(spy.Insert))
	a := v.do(setTo(vCount, 1), func(ctx context.Context) error {
		require.ErrorIs(t, save(ctx), errDown)
		_, err := vOther.GetOrSet(ctx, func() (int, error) { return 1, nil })
		require.ErrorIs(t, err, errDown)
		sp.Hook(nil)
		return nil
	})
	a.requirePage(t)
	require.Equal(t, 1, a.cookies)
	require.Equal(t, []string{"count"}, keysOf(v))
}

// A key that is taken is never shared: another one is drawn.
func TestInsertCollision(t *testing.T) {
	t.Parallel()
	for _, times := range []int{1, 2, 3} {
		site, sp := newSpySite(t)
		v := site.visitor()
		keys := map[store.Key]bool{}
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Insert {
				keys[c.Key] = true
				if len(keys) <= times {
					c.Err = store.ErrExists
					return
				}
			}
			c.Next()
		})
		a := v.do(setTo(vCount, 1))
		sp.Hook(nil)
		if times == 3 {
			a.requireRefused(t, http.StatusServiceUnavailable, store.ErrExists)
			continue
		}
		a.requirePage(t)
		require.Len(t, keys, times+1)
		requireStored(v, vCount, 1)
	}
}

// The commit does not end with the client.
func TestClientGone(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	for _, v := range []*visitor{site.visitor(), site.known(setTo(vCount, 0))} {
		ctx, cancel := context.WithCancel(t.Context())
		v.doIn(ctx, http.StatusOK, increment(vCount), func(context.Context) error { cancel(); return nil }).requirePage(t)
		requireStored(v, vCount, 1)
	}
}

// hanging returns a hook that blocks a method until its context ends.
func hanging(op spy.Op) spy.Hook {
	return func(ctx context.Context, c *spy.Call) {
		if c.Op == op {
			<-ctx.Done()
			c.Err = ctx.Err()
			return
		}
		c.Next()
	}
}

func TestPromise10_CommitTimeLimit(t *testing.T) {
	const limit = 3 * time.Second
	for _, c := range []struct {
		op   spy.Op
		do   visitStep
		code int
		is   error
	}{
		{spy.Swap, increment(vCount), 500, session.ErrUnknown},
		{spy.Touch, load(vCount), 503, context.DeadlineExceeded},
		{spy.Insert, increment(vCount), 503, context.DeadlineExceeded},
	} {
		t.Run(string(c.op), func(t *testing.T) {
			bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
				v := site.visitor()
				if c.op != spy.Insert {
					v = site.known(setTo(vCount, 1))
				}
				time.Sleep(10 * time.Minute)
				sp.Hook(hanging(c.op))
				began := time.Now()
				v.do(c.do).requireRefused(t, c.code, c.is)
				require.Equal(t, limit, time.Since(began))
			}, func(cfg *session.Config) { cfg.Timeout = limit })
		})
	}
}

// Waiting behind a commit that hangs ends too, and leaves the way free.
func TestPromise10_QueueTimeLimit(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1))
		stuck := make(chan struct{})
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Swap {
				sp.Hook(nil)
				<-stuck // not even its context helps
			}
			c.Next()
		})
		first := v.tab().hold(nothing, increment(vCount))
		first.release()
		synctest.Wait()
		began := time.Now()
		v.do(increment(vCount)).requireRefused(t, http.StatusServiceUnavailable, session.ErrContention)
		require.Equal(t, session.DefaultTimeout, time.Since(began))
		close(stuck)
		(<-first.answer).requireRefused(t, http.StatusInternalServerError, session.ErrUnknown)
		v.do(increment(vCount)).requirePage(t)
		requireStored(v, vCount, 2)
	})
}

// A verb that commits at once ends with its caller's context; the rest is still
// committed.
func TestCanceledSave(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1), setTo(vName, "x"))
	a := v.do(setTo(vOther, 5), func(ctx context.Context) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, save(gone), context.Canceled)
		require.ErrorIs(t, take(vName)(gone), context.Canceled)
		return nil
	})
	a.requirePage(t)
	requireStored(v, vOther, 5)
	requireStored(v, vName, "x")
}
