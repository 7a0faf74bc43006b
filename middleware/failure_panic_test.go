package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// A panic of the handler commits nothing, and goes on.
func TestPanicDropsChanges(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1), setTo(vName, "ada"))
	sp.Calls()
	a := v.serve(func(_ http.ResponseWriter, r *http.Request) {
		_ = vCount.Set(r.Context(), 2)
		_, _, _ = vName.Take(r.Context())
		panic(http.ErrAbortHandler)
	})
	require.Equal(t, http.ErrAbortHandler, a.panicked)
	require.Zero(t, a.cookies)
	require.Equal(t, calls(spy.Load, spy.Swap), sp.Calls())
	requireStored(v, vCount, 1)
	requireAbsent(v, vName) // Take is done at once

	// A logout stands, and whoever answers the panic sends the cookie's removal.
	a = v.serve(func(_ http.ResponseWriter, r *http.Request) {
		_ = session.FromContext(r.Context()).Destroy(r.Context())
		panic(http.ErrAbortHandler)
	})
	require.NotNil(t, a.panicked)
	require.Equal(t, 1, a.cookies)
	require.Empty(t, v.credential())
}

var errOops = errors.New("oops")

// panicking returns an Update of the count that panics in its nth run.
func panicking(nth int) visitStep {
	runs := 0
	return func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(n *int) error {
			if runs++; runs >= nth {
				panic(errOops)
			}
			*n++
			return nil
		})
		return err
	}
}

// recovered runs a step and checks that it panics.
func recovered(t *testing.T, step visitStep) visitStep {
	return func(ctx context.Context) (err error) {
		defer func() {
			if got := recover(); got != any(errOops) {
				t.Errorf("recovered %v", got)
				err = errOops
			}
		}()
		return step(ctx)
	}
}

// A panic in user code leaves no lock behind and nothing half done: a handler
// that recovers goes on as if the verb had not been called.
func TestPanicInVerb(t *testing.T) {
	t.Parallel()
	for name, verb := range map[string]visitStep{
		"Update": panicking(1),
		"GetOrSet": func(ctx context.Context) error {
			_, err := vName.GetOrSet(ctx, func() (string, error) { panic(errOops) })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := twoNodes(t)
			v := a.known(setTo(vCount, 1))
			within(t, "the request", func() {
				slow := v.tab().hold(setTo(vOther, 1), recovered(t, verb), setTo(vOther, 2), increment(vOther), rotate, save)
				v.at(b).do(increment(vCount)).requirePage(t)
				slow.finish().requirePage(t)
			})
			requireStored(v, vCount, 2)
			requireStored(v, vOther, 3)
			requireAbsent(v, vName)
		})
	}
}

// So does one that ends its goroutine.
func TestGoexitInUpdate(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 1))
	within(t, "the request", func() {
		v.do(func(ctx context.Context) error {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = vCount.Update(ctx, func(n *int) error {
					*n = 100
					runtime.Goexit()
					return nil
				})
			}()
			<-done
			return nil
		}, increment(vCount), setTo(vOther, 1)).requirePage(t)
	})
	requireStored(v, vCount, 2)
}

// A panic when the function runs again, in the commit, commits nothing and
// reaches the server; the session's next request finds the way free.
func TestPanicInSecondRun(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]visitStep{"commit": nothing, "save": save, "take": take(vCount)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := twoNodes(t)
			v := a.known(setTo(vCount, 1), setTo(vName, "x"))
			var answer *visitAnswer
			within(t, "the request", func() {
				answer = v.tab().serve(func(w http.ResponseWriter, r *http.Request) {
					_ = setTo(vOther, 1)(r.Context())
					_ = panicking(2)(r.Context())
					v.at(b).do(increment(vCount)).requirePage(t)
					_ = end(r.Context())
					w.WriteHeader(http.StatusCreated)
				})
			})
			require.Equal(t, errOops, answer.panicked)
			require.NotEqual(t, http.StatusCreated, answer.code)
			require.Zero(t, answer.cookies)
			within(t, "the next request", func() { v.do(increment(vCount), save).requirePage(t) })
			requireStored(v, vCount, 3)
			requireAbsent(v, vOther)
		})
	}
}

// A handler that recovers from it cannot answer as if all were well.
func TestRecoveredPanicInCommit(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	var verb error
	var answer *visitAnswer
	within(t, "the request", func() {
		answer = v.tab().serve(func(w http.ResponseWriter, r *http.Request) {
			_ = setTo(vOther, 1)(r.Context())
			_ = panicking(2)(r.Context())
			v.at(b).do(increment(vCount)).requirePage(t)
			func() {
				defer func() { _ = recover() }()
				w.WriteHeader(http.StatusCreated)
			}()
			verb = load(vCount)(r.Context())
			_, _ = w.Write([]byte(pageBody))
		})
	})
	require.Nil(t, answer.panicked)
	require.Error(t, verb)
	require.Equal(t, http.StatusInternalServerError, answer.code)
	require.Equal(t, errorBody, answer.body)
	requireStored(v, vCount, 2)
	requireAbsent(v, vOther)
}

// The same, after a panic in Save that the handler has recovered from.
func TestRecoveredPanicInSave(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	var answer *visitAnswer
	within(t, "the request", func() {
		answer = v.tab().serve(func(w http.ResponseWriter, r *http.Request) {
			_ = panicking(2)(r.Context())
			v.at(b).do(increment(vCount)).requirePage(t)
			if err := recovered(t, save)(r.Context()); err != nil {
				return
			}
			if got := vCount.Value(r.Context()); got != 2 {
				t.Errorf("count is %d: provisional, as before the Save", got)
			}
		})
	})
	require.Equal(t, errOops, answer.panicked, "the commit runs it again")
	requireStored(v, vCount, 2)
	require.False(t, v.info().New)
}
