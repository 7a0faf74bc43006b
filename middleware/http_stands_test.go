package middleware_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
)

// TestDoneAtOnceStands: what a verb has done at once stands whatever becomes of
// the response, and its cookie is sent with an error too.
func TestDoneAtOnceStands(t *testing.T) {
	t.Parallel()
	type verb func(ctx context.Context, s *session.Session) error
	save := func(ctx context.Context, s *session.Session) error {
		return errors.Join(gateCount.Set(ctx, 5), s.Save(ctx))
	}
	destroy := func(ctx context.Context, s *session.Session) error { return s.Destroy(ctx) }
	for _, c := range []struct {
		name   string
		known  bool
		do     verb
		broken spy.Op // for what comes afterwards
		want   session.Action
		count  int
		failed int // when the commit fails
	}{
		{"Save", false, save, spy.Swap, session.ActionSet, 5, http.StatusInternalServerError},
		{"GetOrSet", false, func(ctx context.Context, _ *session.Session) error {
			_, err := gateCount.GetOrSet(ctx, func() (int, error) { return 5, nil })
			return err
		}, spy.Swap, session.ActionSet, 5, http.StatusInternalServerError},
		{"Login and Save", true, func(ctx context.Context, s *session.Session) error {
			return errors.Join(s.Login(ctx, "ada"), save(ctx, s))
		}, spy.Swap, session.ActionSet, 5, http.StatusInternalServerError},
		{"Destroy", true, destroy, spy.Insert, session.ActionRemove, 0, http.StatusServiceUnavailable},
		{"Take", true, func(ctx context.Context, _ *session.Session) error {
			_, _, err := gateCount.Take(ctx)
			return err
		}, spy.Swap, session.ActionNone, 0, http.StatusInternalServerError},
	} {
		for name, end := range map[string]struct {
			fails  bool
			status int
			do     func(w http.ResponseWriter)
		}{
			"failed commit at return": {true, c.failed, func(http.ResponseWriter) {}},
			"failed commit at Write":  {true, c.failed, func(w http.ResponseWriter) { _, _ = io.WriteString(w, "page") }},
			"error status":            {false, http.StatusInternalServerError, func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }},
		} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				cookie := ""
				if c.known {
					cookie = g.begin(1)
				}
				res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("X-Handler", "1")
					assert.NoError(t, c.do(r.Context(), session.FromContext(r.Context())))
					assert.NoError(t, gateName.Set(r.Context(), "later"))
					if end.fails {
						g.breakOps(c.broken)
					}
					end.do(w)
				})
				g.spy.Hook(nil)
				require.Equal(t, end.status, res.StatusCode)
				require.NotContains(t, res.Body, "page")
				require.Equal(t, end.fails, res.Header.Get("X-Handler") == "")
				switch set := sessionCookies(res); c.want {
				case session.ActionSet:
					cookie = issuedCookie(t, res)
				case session.ActionRemove:
					require.Len(t, set, 1)
					require.Equal(t, -1, set[0].MaxAge)
				default:
					require.Empty(t, set)
				}
				n, _ := g.count(cookie)
				require.Equal(t, c.count, n)
				g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) {
					_, ok, err := gateName.Lookup(r.Context())
					assert.NoError(t, err)
					assert.False(t, ok, "what was left for the commit is dropped")
				})
			})
		}
	}
}

// TestLateChanges: what comes after the first byte is committed at the end, and
// its failure is reported, since no response can tell.
func TestLateChanges(t *testing.T) {
	t.Parallel()
	late := func(do func(r *http.Request)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			gateCount.Value(r.Context())
			_, err := io.WriteString(w, "first")
			assert.NoError(t, err)
			do(r)
		}
	}
	t.Run("saved", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		cookie := g.begin(1)
		res := g.visit(cookie, late(func(r *http.Request) { gateSet(t, r, 2) }))
		require.Equal(t, "first", res.Body)
		n, _ := g.count(cookie)
		require.Equal(t, 2, n)
		require.Empty(t, g.reports())
	})
	t.Run("needs a cookie", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		g.visit("", late(func(r *http.Request) {
			assert.ErrorIs(t, gateCount.Set(r.Context(), 2), session.ErrHeadersSent)
		}))
		require.Zero(t, g.mem.Len())
		require.Empty(t, g.reports())
	})
	t.Run("fails", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		res := g.visit(g.begin(1), late(func(r *http.Request) {
			gateSet(t, r, 2)
			g.breakOps(spy.Swap, spy.Load)
		}))
		require.Equal(t, http.StatusOK, res.StatusCode)
		reports := g.reports()
		require.Len(t, reports, 1)
		require.ErrorIs(t, reports[0], errGateStore)
	})
	t.Run("panics in the replay", func(t *testing.T) {
		t.Parallel()
		g := newGate(t)
		cookie := g.begin(1)
		var after *http.Request
		_, value, _ := g.recovered(cookie, late(func(r *http.Request) {
			after = r
			replayPanics(g, cookie, r)
		}))
		require.Equal(t, "out of step", value, "goes on as it was")
		n, _ := g.count(cookie)
		require.Equal(t, 2, n, "the other request's change alone")
		_, err := gateCount.Get(after.Context())
		require.ErrorIs(t, err, session.ErrClosed)
	})
}

// TestMountedTwice: with one manager the inner middleware does nothing, and the
// response has one cookie.
func TestMountedTwice(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	another, err := middleware.New(g.manager, middleware.Config{Name: "__Host-other"})
	require.NoError(t, err)
	for name, inner := range map[string]*middleware.Middleware{"same": g.mw, "another of one manager": another} {
		rec := httptest.NewRecorder()
		g.mw.Handler(inner.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			gateIncrement(t, r)
		}))).ServeHTTP(rec, g.request(""))
		res := recorded(rec)
		require.Len(t, res.Header["Set-Cookie"], 1, name)
		n, _ := g.count(issuedCookie(t, res))
		require.Equal(t, 1, n, name)
	}
}

// TestFailedCommitTakesNoTrailers: headers that the handler sets after its
// commit has failed are nobody's, also where they could still be sent.
func TestFailedCommitTakesNoTrailers(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.breakOps(spy.Insert)
	srv := gateServer2(t, g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateIncrement(t, r)
		_, err := io.WriteString(w, "page")
		assert.ErrorIs(t, err, errGateStore)
		w.Header().Set(http.TrailerPrefix+"X-Private", "1")
	})))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	res, err := srv.Client().Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "Service Unavailable\n", string(body))
	require.Empty(t, res.Trailer)
}
