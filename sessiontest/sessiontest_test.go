package sessiontest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/sessiontest"
	"github.com/typedsession/session/store/memory"
)

type visit struct {
	Pageviews int    `json:"pageviews" validate:"gte=0"`
	Name      string `json:"name" validate:"max=5"`
}

var (
	counter = session.Key[int]("counter")
	guest   = session.Struct[visit]()
)

func countVisit(w http.ResponseWriter, r *http.Request) {
	n, err := counter.Update(r.Context(), func(n *int) error { *n++; return nil })
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = fmt.Fprint(w, n)
}

func ExampleContext() {
	_ = func(t *testing.T) { // TestCountVisit
		ctx := sessiontest.Context(t, sessiontest.With(counter, 41))
		recorder := httptest.NewRecorder()
		countVisit(recorder, httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
		sessiontest.Commit(t, ctx)

		if n, _ := sessiontest.Committed(t, ctx, counter); n != 42 || recorder.Body.String() != "42" {
			t.Errorf("the counter is at %d, the page says %s", n, recorder.Body)
		}
	}
}

func TestHandler(t *testing.T) {
	t.Parallel()
	ctx := sessiontest.Context(t, sessiontest.With(counter, 41))
	recorder := httptest.NewRecorder()
	countVisit(recorder, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	require.Equal(t, "42", recorder.Body.String())

	n, ok := sessiontest.Committed(t, ctx, counter)
	require.True(t, ok)
	require.Equal(t, 41, n, "nothing has been committed yet")
	sessiontest.Commit(t, ctx)
	n, _ = sessiontest.Committed(t, ctx, counter)
	require.Equal(t, 42, n)
}

func TestNewVisitor(t *testing.T) {
	t.Parallel()
	ctx := sessiontest.Context(t)
	info, err := session.FromContext(ctx).Info(ctx)
	require.NoError(t, err)
	require.True(t, info.New)
	_, ok := sessiontest.Committed(t, ctx, counter)
	require.False(t, ok)

	require.NoError(t, counter.Set(ctx, 1))
	sessiontest.Commit(t, ctx)
	next := sessiontest.Another(t, ctx)
	n, err := counter.Get(next)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	info, err = session.FromContext(next).Info(next)
	require.NoError(t, err)
	require.False(t, info.New)

	require.NoError(t, session.FromContext(next).Destroy(next))
	sessiontest.Commit(t, next)
	_, ok = sessiontest.Committed(t, next, counter)
	require.False(t, ok)
}

func TestPresets(t *testing.T) {
	t.Parallel()
	type parentKey struct{}
	admin := session.NewScope("admin")
	adminCounter := counter.In(admin)
	ctx := sessiontest.Context(
		t,
		sessiontest.WithParent(context.WithValue(t.Context(), parentKey{}, "router")),
		sessiontest.WithConfig(session.Config{Scope: admin}),
		sessiontest.WithOwner("ann"),
		sessiontest.With(adminCounter, 3),
		sessiontest.With(guest.In(admin), visit{Pageviews: 4}),
	)
	require.Equal(t, "router", ctx.Value(parentKey{}))
	n, err := adminCounter.Get(ctx)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	v, err := guest.In(admin).Get(ctx)
	require.NoError(t, err)
	require.Equal(t, visit{Pageviews: 4}, v)
	info, err := admin.FromContext(ctx).Info(ctx)
	require.NoError(t, err)
	require.Equal(t, "ann", info.Owner)
	require.False(t, info.New)
}

func TestConflictOfTwoRequests(t *testing.T) {
	t.Parallel()
	ctx := sessiontest.Context(t, sessiontest.With(counter, 1))
	other := sessiontest.Another(t, ctx)
	for _, request := range []context.Context{ctx, other} {
		n, err := counter.Get(request)
		require.NoError(t, err)
		require.NoError(t, counter.Set(request, n+1))
	}
	sessiontest.Commit(t, ctx)
	var conflict *session.ConflictError
	require.ErrorAs(t, sessiontest.TryCommit(t, other), &conflict)
	require.Equal(t, []string{"counter"}, conflict.Keys)
}

func TestOwnManager(t *testing.T) {
	t.Parallel()
	m, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
	ctx := sessiontest.Context(t, sessiontest.WithManager(m), sessiontest.WithOwner("ann"))
	listed := 0
	for info, err := range m.Sessions(ctx, "ann") {
		require.NoError(t, err)
		require.Equal(t, "ann", info.Owner)
		listed++
	}
	require.Equal(t, 1, listed)
}

// fatal is a test that can be watched failing.
type fatal struct {
	*testing.T
	message string
}

func (f *fatal) Fatal(args ...any) { f.message = fmt.Sprint(args...); runtime.Goexit() }

func (f *fatal) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

func TestFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(t testing.TB)
		says string
	}{
		"a preset breaks a rule": {
			func(t testing.TB) { sessiontest.Context(t, sessiontest.With(guest, visit{Name: "too long"})) },
			`sessiontest: preset: session: "visit" is not valid: name breaks the rule max=5`,
		},
		"no owner": {
			func(t testing.TB) { sessiontest.Context(t, sessiontest.WithOwner("\x00")) },
			"sessiontest: login as",
		},
		"a configuration": {
			func(t testing.TB) { sessiontest.Context(t, sessiontest.WithConfig(session.Config{MaxKeys: -1})) },
			"sessiontest: session: invalid configuration: MaxKeys",
		},
		"another context": {
			func(t testing.TB) { sessiontest.Commit(t, t.Context()) },
			"sessiontest: this context was not made by sessiontest.Context",
		},
		"a value of another type": {
			func(t testing.TB) {
				ctx := sessiontest.Context(t, sessiontest.With(counter, 1))
				sessiontest.Committed(t, ctx, session.Key[string]("counter"))
			},
			`sessiontest: session: value of "counter"`,
		},
		"a commit": {
			func(t testing.TB) {
				ctx := sessiontest.Context(t, sessiontest.With(counter, 1))
				other := sessiontest.Another(t, ctx)
				_, err := counter.Update(ctx, func(n *int) error {
					if *n > 1 {
						return errors.New("once only")
					}
					*n++
					return nil
				})
				require.NoError(t, err)
				require.NoError(t, counter.Set(other, 5))
				sessiontest.Commit(t, other)
				sessiontest.Commit(t, ctx)
			},
			`sessiontest: commit: session: change of "counter" on fresh data: once only`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fatal{T: t}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c.do(f)
			}()
			<-done
			require.Contains(t, f.message, c.says)
		})
	}
}
