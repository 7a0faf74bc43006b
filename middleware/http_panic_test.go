package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
)

// recovered serves h behind the middleware, behind a recovery that answers 500
// where nothing has been sent, and returns what h ended with; ended is false
// after runtime.Goexit.
func (g *gate) recovered(cookie string, h http.HandlerFunc) (res *gateAnswer, value any, ended bool) {
	rec := httptest.NewRecorder()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if value = recover(); value != nil || !ended {
				rec.WriteHeader(http.StatusInternalServerError)
			}
		}()
		g.mw.Handler(h).ServeHTTP(rec, g.request(cookie))
		ended = true
	}()
	<-done
	return recorded(rec), value, ended
}

// TestPanicInHandler: what was left for the commit is dropped, what was done at
// once stands, its cookie is in the headers for whoever answers, and the panic
// goes on as it was.
func TestPanicInHandler(t *testing.T) {
	t.Parallel()
	cause := errors.New("out of tea")
	for _, end := range []struct {
		name  string
		value any
		do    func()
	}{
		{"error", cause, func() { panic(cause) }},
		{"string", "boom", func() { panic("boom") }},
		{"http.ErrAbortHandler", http.ErrAbortHandler, func() { panic(http.ErrAbortHandler) }},
		{"runtime.Goexit", nil, func() { runtime.Goexit() }},
	} {
		for _, c := range []struct {
			name  string
			known bool // the visitor has a session with count 1
			do    func(ctx context.Context, s *session.Session) error
			want  session.Action
			count int // 0: none
		}{
			{"nothing", true, func(context.Context, *session.Session) error { return nil }, session.ActionNone, 1},
			{"changes", true, func(ctx context.Context, _ *session.Session) error {
				return gateCount.Set(ctx, 5)
			}, session.ActionNone, 1},
			{"changes of a first visitor", false, func(ctx context.Context, _ *session.Session) error {
				return gateCount.Set(ctx, 5)
			}, session.ActionNone, 0},
			{"Rotate", true, func(ctx context.Context, s *session.Session) error { return s.Rotate(ctx) }, session.ActionNone, 1},
			{"Login", true, func(ctx context.Context, s *session.Session) error { return s.Login(ctx, "ada") }, session.ActionNone, 1},
			{"Save", false, func(ctx context.Context, s *session.Session) error {
				return errors.Join(gateCount.Set(ctx, 5), s.Save(ctx), gateCount.Set(ctx, 6))
			}, session.ActionSet, 5},
			{"Login and Save", true, func(ctx context.Context, s *session.Session) error {
				return errors.Join(s.Login(ctx, "ada"), s.Save(ctx), gateCount.Set(ctx, 6))
			}, session.ActionSet, 1},
			{"GetOrSet", false, func(ctx context.Context, _ *session.Session) error {
				_, err := gateCount.GetOrSet(ctx, func() (int, error) { return 9, nil })
				return err
			}, session.ActionSet, 9},
			{"Destroy", true, func(ctx context.Context, s *session.Session) error { return s.Destroy(ctx) }, session.ActionRemove, 0},
			{"Destroy and changes", true, func(ctx context.Context, s *session.Session) error {
				return errors.Join(s.Destroy(ctx), gateCount.Set(ctx, 6))
			}, session.ActionRemove, 0},
			{"Destroy and Save", true, func(ctx context.Context, s *session.Session) error {
				return errors.Join(s.Destroy(ctx), gateCount.Set(ctx, 6), s.Save(ctx))
			}, session.ActionSet, 6},
		} {
			t.Run(end.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				cookie := ""
				if c.known {
					cookie = g.begin(1)
				}
				var late *http.Request
				res, value, ended := g.recovered(cookie, func(w http.ResponseWriter, r *http.Request) {
					late = r
					w.Header().Set("Cache-Control", "max-age=60")
					assert.NoError(t, c.do(r.Context(), session.FromContext(r.Context())))
					end.do()
				})
				require.Equal(t, end.value, value)
				require.False(t, ended)
				require.Equal(t, http.StatusInternalServerError, res.StatusCode)
				switch set := sessionCookies(res); c.want {
				case session.ActionSet:
					cookie = issuedCookie(t, res)
				case session.ActionRemove:
					require.Len(t, set, 1)
					require.Equal(t, -1, set[0].MaxAge)
					require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])
				default:
					require.Empty(t, set)
				}
				n, _ := g.count(cookie)
				require.Equal(t, c.count, n)
				_, err := gateCount.Get(late.Context())
				require.ErrorIs(t, err, session.ErrClosed)
				require.Empty(t, g.reports())
			})
		}
	}
}

// TestPanicAfterTheFirstByte: what was committed by then stands, later changes
// do not.
func TestPanicAfterTheFirstByte(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	cookie := g.begin(1)
	_, value, _ := g.recovered(cookie, func(w http.ResponseWriter, r *http.Request) {
		gateSet(t, r, 2)
		_, _ = io.WriteString(w, "first")
		gateSet(t, r, 3)
		panic("boom")
	})
	require.Equal(t, "boom", value)
	n, _ := g.count(cookie)
	require.Equal(t, 2, n)
	require.Empty(t, g.reports())
}

// replayPanics makes an Update that panics when it runs again, and sees to it
// that it must.
func replayPanics(g *gate, cookie string, r *http.Request) {
	runs := 0
	_, err := gateCount.Update(r.Context(), func(n *int) error {
		if runs++; runs > 1 {
			panic("out of step")
		}
		*n += 100
		return nil
	})
	assert.NoError(g.t, err)
	g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) { gateIncrement(g.t, r) })
}

// TestReplayPanics: an Update function that panics in the commit is not
// reported as saved, wherever the commit happens.
func TestReplayPanics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		do     func(w http.ResponseWriter)
		passes bool // the panic leaves the handler
	}{
		{"Write", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "saved") }, true},
		{"WriteHeader", func(w http.ResponseWriter) { w.WriteHeader(http.StatusOK) }, true},
		{"Flush", func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, true},
		{"return", func(http.ResponseWriter) {}, true},
		{"handler recovers", func(w http.ResponseWriter) {
			func() {
				defer func() { assert.Equal(t, "out of step", recover()) }()
				_, _ = io.WriteString(w, "saved")
			}()
			_, err := io.WriteString(w, "saved")
			assert.Error(t, err)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			cookie := g.begin(1)
			var late *http.Request
			res, value, _ := g.recovered(cookie, func(w http.ResponseWriter, r *http.Request) {
				late = r
				replayPanics(g, cookie, r)
				c.do(w)
			})
			if c.passes {
				require.Equal(t, "out of step", value)
				require.NotEmpty(t, g.reports(), "nobody else learns that the changes are lost")
			} else {
				require.Nil(t, value)
			}
			require.Equal(t, http.StatusInternalServerError, res.StatusCode)
			require.NotContains(t, res.Body, "saved")
			n, _ := g.count(cookie)
			require.Equal(t, 2, n, "the other request's change alone")
			_, err := gateCount.Get(late.Context())
			require.ErrorIs(t, err, session.ErrClosed, "the request is over")
		})
	}
}

// TestReplayPanicsAndWhatWasDoneStays: what was saved before stands, and its
// cookie is in the headers, wherever the panic comes from.
func TestReplayPanicsAndWhatWasDoneStays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(w http.ResponseWriter)
	}{
		{"Write", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "saved") }},
		{"return", func(http.ResponseWriter) {}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, func(sc *session.Config, _ *middleware.Config) { sc.Grace, sc.MinRotate = 1<<40, 1<<40 })
			cookie := g.begin(1)
			res, value, _ := g.recovered(cookie, func(w http.ResponseWriter, r *http.Request) {
				s := session.FromContext(r.Context())
				// The cookie has to change: no wait for MinRotate.
				assert.NoError(t, s.SetExpiry(r.Context(), session.OnInactivity(1<<40)))
				assert.NoError(t, s.Save(r.Context()))
				replayPanics(g, cookie, r)
				c.do(w)
			})
			require.Equal(t, "out of step", value)
			n, _ := g.count(issuedCookie(t, res))
			require.Equal(t, 2, n)
		})
	}
}

// TestPanicInErrorHandler leaves the middleware as it was.
func TestPanicInErrorHandler(t *testing.T) {
	t.Parallel()
	for _, writes := range []bool{false, true} {
		calls := 0
		g := newGate(t, withHTTP(func(c *middleware.Config) {
			c.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { calls++; panic("no page") }
		}))
		g.breakOps(spy.Insert)
		var late *http.Request
		_, value, _ := g.recovered("", func(w http.ResponseWriter, r *http.Request) {
			late = r
			gateIncrement(t, r)
			if writes {
				_, _ = io.WriteString(w, "x")
			}
		})
		require.Equal(t, "no page", value)
		require.Equal(t, 1, calls)
		_, err := gateCount.Get(late.Context())
		require.Error(t, err)
		require.ErrorIs(t, session.FromContext(late.Context()).Destroy(late.Context()), session.ErrClosed, "the session is closed, write=%t", writes)
	}
}
