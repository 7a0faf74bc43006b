package middleware_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// verbs lists all of them.
func verbs() map[string]visitStep {
	all := changesOf()
	all["Destroy"] = destroy
	all["Reload"] = reload
	all["Get"] = load(vCount)
	all["Keys"] = func(ctx context.Context) error {
		_, err := session.FromContext(ctx).Keys(ctx)
		return err
	}
	all["Info"] = func(ctx context.Context) error {
		_, err := session.FromContext(ctx).Info(ctx)
		return err
	}
	return all
}

// A handler that outlives its request does not believe that it saved anything.
func TestClosed(t *testing.T) {
	t.Parallel()
	for _, used := range []visitStep{nothing, load(vCount), increment(vCount)} {
		site, sp := newSpySite(t)
		v := site.known(setTo(vCount, 1))
		contexts := make(chan context.Context, 1)
		v.do(used, func(ctx context.Context) error { contexts <- ctx; return nil }).requirePage(t)
		ctx := <-contexts
		sp.Calls()
		for name, verb := range verbs() {
			require.ErrorIs(t, verb(ctx), session.ErrClosed, name)
		}
		require.Zero(t, vCount.Value(ctx))
		require.Empty(t, sp.Calls())
	}
}

// A goroutine that is inside an Update function when the request ends learns
// that too.
func TestClosedDuringUpdate(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	inside, ended, result := make(chan struct{}), make(chan struct{}), make(chan error)
	v.do(func(ctx context.Context) error {
		go func() {
			_, err := vCount.Update(ctx, func(n *int) error {
				close(inside)
				<-ended
				*n = 100
				return nil
			})
			result <- err
		}()
		<-inside
		return nil
	}).requirePage(t)
	close(ended)
	require.ErrorIs(t, <-result, session.ErrClosed)
	requireStored(v, vCount, 1)
}

func TestTimeoutHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		site, _ := newSpySite(t)
		v := site.known(setTo(vCount, 1))
		errs := map[string]error{}
		finished := make(chan struct{})
		slow := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			defer close(finished)
			ctx := context.WithoutCancel(r.Context())
			errs["in time"] = increment(vCount)(ctx)
			_, errs["done at once"] = vOther.GetOrSet(ctx, func() (int, error) { return 5, nil })
			<-r.Context().Done()
			time.Sleep(time.Second)
			errs["too late"] = increment(vCount)(ctx)
			errs["save"] = session.FromContext(ctx).Save(ctx)
			errs["read"] = load(vCount)(ctx)
		})
		a := v.send(t.Context(), site.mw.Handler(http.TimeoutHandler(slow, time.Minute, "too slow")))
		require.Equal(t, http.StatusServiceUnavailable, a.code)
		require.Equal(t, "too slow", a.body)
		<-finished
		require.NoError(t, errs["in time"])
		require.NoError(t, errs["done at once"])
		for _, late := range []string{"too late", "save", "read"} {
			require.ErrorIs(t, errs[late], session.ErrClosed, late)
		}
		requireStored(v, vCount, 1)
		requireStored(v, vOther, 5)
	})
}

// late serves a handler that has sent its first byte when it runs the steps.
func (v *visitor) late(before, after visitStep) *visitAnswer {
	var err error
	a := v.serve(func(w http.ResponseWriter, r *http.Request) {
		if err = before(r.Context()); err == nil {
			_, _ = io.WriteString(w, "first byte")
			err = after(r.Context())
		}
	})
	a.err = err
	return a
}

func TestChangesAfterFirstByte(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1), setTo(vName, "x"))
	sp.Calls()
	a := v.late(increment(vCount), increment(vCount))
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.code)
	require.Empty(t, a.reported)
	require.Zero(t, a.cookies)
	require.Equal(t, calls(spy.Load, spy.Swap, spy.Swap), sp.Calls())
	requireStored(v, vCount, 3)

	a = v.late(load(vName), func(ctx context.Context) error {
		for _, step := range steps(setTo(vOther, 1), take(vName), orSet(vName, "y"), increment(vOther), save, remove(vCount)) {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, a.err)
	require.Empty(t, a.reported)
	requireStored(v, vName, "y")
	requireStored(v, vOther, 2)
	requireAbsent(v, vCount)
}

// What would need a cookie is refused where it is done.
func TestCookieAfterFirstByte(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	for name, change := range map[string]visitStep{
		"Login": login("eve"), "Elevate": elevate, "Rotate": rotate, "SetExpiry": setExpiry(session.OnInactivity(time.Minute)),
	} {
		v := site.known(login("ada"), setTo(vCount, 1))
		was := v.info()
		a := v.late(load(vCount), change)
		require.ErrorIs(t, a.err, session.ErrHeadersSent, name)
		require.Empty(t, a.reported, name)
		require.Zero(t, a.cookies, name)
		require.Equal(t, was, v.info(), name)
		requireStored(v, vCount, 1)
	}
	v := site.known(setTo(vCount, 1))
	idle := session.OnSessionEnd().WithIdle(time.Minute) // the same cookie
	require.NoError(t, v.late(load(vCount), setExpiry(idle)).err)
	require.Equal(t, idle, v.info().Expiry)

	sp.Calls()
	for name, change := range changesOf() {
		if name == "Rotate" || name == "Elevate" || name == "Delete" { // nothing to rotate or delete
			continue
		}
		for _, before := range []visitStep{nothing, load(vCount)} {
			stranger := site.visitor()
			a := stranger.late(before, change)
			require.ErrorIs(t, a.err, session.ErrHeadersSent, name)
			require.Empty(t, stranger.credential())
		}
	}
	require.Empty(t, sp.Calls())
}

// A logout is obeyed at any time, though the browser is not told.
func TestDestroyAfterFirstByte(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	a := v.late(load(vCount), destroy)
	require.NoError(t, a.err)
	require.Zero(t, a.cookies)
	require.True(t, v.info().New)
	v = site.known(setTo(vCount, 1))
	a = v.late(destroy, setTo(vName, "bye"))
	require.ErrorIs(t, a.err, session.ErrHeadersSent)
}

// A late commit that fails has no response to go into: it is reported.
func TestLateConflict(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	answer := v.late(load(vCount), func(ctx context.Context) error {
		v.at(b).do(increment(vCount))
		return vCount.Set(ctx, 100)
	})
	require.NoError(t, answer.err)
	require.Len(t, answer.reported, 1)
	var conflict *session.ConflictError
	require.ErrorAs(t, answer.reported[0], &conflict)
	requireStored(v, vCount, 2)
}

// A panic after the first byte drops what came since.
func TestPanicAfterFirstByte(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	a := v.late(increment(vCount), func(ctx context.Context) error {
		_ = increment(vCount)(ctx)
		panic(http.ErrAbortHandler)
	})
	require.NotNil(t, a.panicked)
	requireStored(v, vCount, 2)
}

func TestReload(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	elsewhere := func(context.Context) error { return v.at(b).do(increment(vCount)).failed }
	var before, stale, after int
	v.do(read(vCount, &before), elsewhere, read(vCount, &stale), reload, read(vCount, &after), setTo(vCount, 50)).requirePage(t)
	require.Equal(t, [3]int{1, 1, 2}, [3]int{before, stale, after})
	requireStored(v, vCount, 50)

	for name, pending := range changesOf() {
		if name == "Take" || name == "GetOrSet" || name == "Save" || name == "Rotate" { // done at once, or too soon
			continue
		}
		answer := v.tab().doStatus(http.StatusInternalServerError, pending, reload)
		require.ErrorIs(t, answer.err, session.ErrPending, name)
	}
	requireStored(v, vCount, 50)
	v.do(setTo(vOther, 1), save, reload, increment(vOther)).requirePage(t)
	requireStored(v, vOther, 2)
	require.NoError(t, a.visitor().do(reload).err)
}

func TestReloadOfEndedSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		elsewhere visitStep
		want      error
	}{
		"destroyed": {destroy, session.ErrDestroyed},
		"logged in": {login("ada"), session.ErrSuperseded},
		"elevated":  {elevate, session.ErrSuperseded},
	} {
		site := newVisitSite(t, memory.New())
		v := site.known(setTo(vCount, 1))
		slow := v.tab().hold(load(vCount), reload)
		v.do(c.elsewhere).requirePage(t)
		a := slow.finish()
		require.ErrorIs(t, a.err, c.want, name)
		a.requireRefused(t, http.StatusConflict, c.want)
	}

	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	n := 0
	a := v.do(load(vCount), func(ctx context.Context) error {
		sp.Hook(failing(spy.Load))
		err := session.FromContext(ctx).Reload(ctx)
		sp.Hook(nil)
		require.ErrorIs(t, err, errDown)
		return nil
	}, read(vCount, &n), increment(vCount))
	a.requirePage(t) // the session is as it was
	require.Equal(t, 1, n)
	requireStored(v, vCount, 2)
}
