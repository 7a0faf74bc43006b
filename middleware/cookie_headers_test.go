package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
)

// TestVaryOnEveryUse: whatever looks at the session makes the response depend
// on the cookie, also when there is no session and when nothing is found.
func TestVaryOnEveryUse(t *testing.T) {
	t.Parallel()
	type use func(ctx context.Context, s *session.Session) error
	uses := map[string]use{
		"Get":     func(ctx context.Context, _ *session.Session) error { _, err := gateCount.Get(ctx); return err },
		"Value":   func(ctx context.Context, _ *session.Session) error { gateCount.Value(ctx); return nil },
		"Lookup":  func(ctx context.Context, _ *session.Session) error { _, _, err := gateCount.Lookup(ctx); return err },
		"Set":     func(ctx context.Context, _ *session.Session) error { return gateCount.Set(ctx, 1) },
		"Delete":  func(ctx context.Context, _ *session.Session) error { return gateCount.Delete(ctx) },
		"Take":    func(ctx context.Context, _ *session.Session) error { _, _, err := gateCount.Take(ctx); return err },
		"Keys":    func(ctx context.Context, s *session.Session) error { _, err := s.Keys(ctx); return err },
		"Info":    func(ctx context.Context, s *session.Session) error { _, err := s.Info(ctx); return err },
		"Clear":   func(ctx context.Context, s *session.Session) error { return s.Clear(ctx) },
		"Save":    func(ctx context.Context, s *session.Session) error { return s.Save(ctx) },
		"Reload":  func(ctx context.Context, s *session.Session) error { return s.Reload(ctx) },
		"Rotate":  func(ctx context.Context, s *session.Session) error { return s.Rotate(ctx) },
		"Elevate": func(ctx context.Context, s *session.Session) error { return s.Elevate(ctx) },
		"Destroy": func(ctx context.Context, s *session.Session) error { return s.Destroy(ctx) },
		"Login":   func(ctx context.Context, s *session.Session) error { return s.Login(ctx, "ada") },
		"SetExpiry": func(ctx context.Context, s *session.Session) error {
			return s.SetExpiry(ctx, session.OnSessionEnd())
		},
		"Update": func(ctx context.Context, _ *session.Session) error {
			_, err := gateCount.Update(ctx, func(*int) error { return nil })
			return err
		},
		"failed Update": func(ctx context.Context, _ *session.Session) error {
			_, err := gateCount.Update(ctx, func(*int) error { return io.EOF })
			assert.ErrorIs(t, err, io.EOF)
			return nil
		},
		"GetOrSet": func(ctx context.Context, _ *session.Session) error {
			_, err := gateCount.GetOrSet(ctx, func() (int, error) { return 1, nil })
			return err
		},
		"another key": func(ctx context.Context, _ *session.Session) error { _, err := gateName.Get(ctx); return err },
	}
	for name, do := range uses {
		for _, known := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/known=%t", name, known), func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				cookie := ""
				if known {
					cookie = g.begin(1)
				}
				res := g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) {
					assert.NoError(t, do(r.Context(), session.FromContext(r.Context())))
				})
				require.Equal(t, []string{"Cookie"}, res.Header["Vary"])
				require.Equal(t, http.StatusOK, res.StatusCode)
				require.Empty(t, g.reports())
			})
		}
	}
}

// TestNoUse: what only gets hold of the session leaves responses cacheable.
func TestNoUse(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(ctx context.Context){
		"nothing":     func(context.Context) {},
		"FromContext": func(ctx context.Context) { session.FromContext(ctx) },
		"Lookup":      func(ctx context.Context) { session.Lookup(ctx) },
		"print":       func(ctx context.Context) { _ = fmt.Sprint(session.FromContext(ctx)) },
		"an invalid value": func(ctx context.Context) { // is refused before
			assert.Error(t, session.Key[chan int]("ch").Set(ctx, nil))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			res := g.visit(g.begin(1), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "public, max-age=60")
				do(r.Context())
			})
			require.Empty(t, res.Header["Vary"])
			require.Equal(t, []string{"public, max-age=60"}, res.Header["Cache-Control"])
			require.Empty(t, g.spy.Calls())
			require.Empty(t, g.reports())
		})
	}
}

func TestVaryIsAdded(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ have, want []string }{
		{nil, []string{"Cookie"}},
		{[]string{}, []string{"Cookie"}},
		{[]string{""}, []string{"", "Cookie"}},
		{[]string{"Accept-Encoding"}, []string{"Accept-Encoding", "Cookie"}},
		{[]string{"Origin, Accept"}, []string{"Origin, Accept", "Cookie"}},
		{[]string{"Origin", "Accept"}, []string{"Origin", "Accept", "Cookie"}},
		{[]string{"Cookie"}, []string{"Cookie"}},
		{[]string{"cookie"}, []string{"cookie"}},
		{[]string{"Origin ,\tCOOKIE "}, []string{"Origin ,\tCOOKIE "}},
		{[]string{"Origin", "Accept, Cookie"}, []string{"Origin", "Accept, Cookie"}},
		{[]string{"*"}, []string{"*"}},
		{[]string{"Origin, *"}, []string{"Origin, *"}},
		{[]string{"Cookie2"}, []string{"Cookie2", "Cookie"}},
		{[]string{"X-Cookie, Set-Cookie"}, []string{"X-Cookie, Set-Cookie", "Cookie"}},
	} {
		t.Run(fmt.Sprintf("%q", c.have), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			given := append(make([]string, 0, 8), c.have...)
			res := g.visit("", func(w http.ResponseWriter, r *http.Request) {
				if c.have != nil {
					w.Header()["Vary"] = given
				}
				gateCount.Value(r.Context())
			})
			require.Equal(t, c.want, res.Header["Vary"])
			require.Equal(t, make([]string, 8-len(given)), given[len(given):8], "what lies behind the handler's slice")
		})
	}
}

// TestVaryIsNotShared: what others do to one response's Vary does not show in
// the next one.
func TestVaryIsNotShared(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	for name, change := range map[string]func(http.Header){
		"Add":      func(h http.Header) { h.Add("Vary", "Origin") },
		"append":   func(h http.Header) { h["Vary"] = append(h["Vary"], "Origin") },
		"Set":      func(h http.Header) { h.Set("Vary", "Origin") },
		"in place": func(h http.Header) { h["Vary"][0] = "Origin" }, // as code that rewrites headers does
		"sort": func(h http.Header) {
			h.Add("Vary", "Accept")
			slices.Sort(h["Vary"])
		},
	} {
		rec := httptest.NewRecorder()
		g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gateCount.Value(r.Context())
			w.WriteHeader(http.StatusOK)
			change(w.Header())
		})).ServeHTTP(rec, g.request(""))
		require.Equal(t, []string{"Cookie"}, recorded(rec).Header["Vary"], name)
		res := g.visit("", func(_ http.ResponseWriter, r *http.Request) { gateCount.Value(r.Context()) })
		if !assert.Equal(t, []string{"Cookie"}, res.Header["Vary"], "the response after one where it was changed by: %s", name) {
			rec.Header()["Vary"][0] = "Cookie" // leave the other tests alone
		}
	}
}

// TestPublicBecomesPrivate: a response that depends on the session is not for
// shared caches, whatever the handler says; other directives stay.
func TestPublicBecomesPrivate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have, want []string
		reported   bool
	}{
		{nil, nil, false},
		{[]string{"max-age=60"}, []string{"max-age=60"}, false},
		{[]string{"private, max-age=60"}, []string{"private, max-age=60"}, false},
		{[]string{"no-cache"}, []string{"no-cache"}, false},
		{[]string{"x-public"}, []string{"x-public"}, false},
		{[]string{"public"}, []string{"private"}, true},
		{[]string{"Public"}, []string{"private"}, true},
		{[]string{"public, max-age=60"}, []string{"private, max-age=60"}, true},
		{[]string{"max-age=60,public"}, []string{"private, max-age=60"}, true},
		{[]string{"max-age=60", "public"}, []string{"private, max-age=60"}, true},
		{[]string{"s-maxage=60"}, []string{"private"}, true},
		{[]string{"S-MaxAge = 60, immutable"}, []string{"private, immutable"}, true},
		{[]string{"private, s-maxage=60"}, []string{"private"}, true},
		{[]string{"public, s-maxage=60, max-age=30, must-revalidate"}, []string{"private, max-age=30, must-revalidate"}, true},
	} {
		for _, creates := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q/creates=%t", c.have, creates), func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				res := g.visit("", func(w http.ResponseWriter, r *http.Request) {
					if c.have != nil {
						w.Header()["Cache-Control"] = c.have
					}
					if creates {
						gateSet(t, r, 1)
					} else {
						gateCount.Value(r.Context())
					}
				})
				want := c.want
				if creates {
					want = []string{"no-store"}
				}
				require.Equal(t, want, res.Header["Cache-Control"])
				if c.reported {
					require.Equal(t, []error{middleware.ErrPublic}, g.reports())
				} else {
					require.Empty(t, g.reports())
				}
			})
		}
	}
}

// TestLateUse: a first use after the first byte comes too late for Vary, and is
// reported; a later one that is not the first is not.
func TestLateUse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name        string
		before      bool
		after       func(r *http.Request)
		want        error
		wantVary    []string
		wantChanged int
	}{
		{"read", false, func(r *http.Request) { gateCount.Value(r.Context()) }, middleware.ErrLateUse, nil, 1},
		{"change", false, func(r *http.Request) { gateSet(t, r, 7) }, middleware.ErrLateUse, nil, 7},
		{"second use", true, func(r *http.Request) { gateSet(t, r, 7) }, nil, []string{"Cookie"}, 7},
		{"no use", false, func(r *http.Request) { session.FromContext(r.Context()) }, nil, nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			cookie := g.begin(1)
			res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
				if c.before {
					gateCount.Value(r.Context())
				}
				_, err := io.WriteString(w, "x")
				assert.NoError(t, err)
				c.after(r)
			})
			require.Equal(t, c.wantVary, res.Header["Vary"])
			if c.want == nil {
				require.Empty(t, g.reports())
			} else {
				require.Equal(t, []error{c.want}, g.reports())
			}
			n, _ := g.count(cookie)
			require.Equal(t, c.wantChanged, n)
		})
	}
}

// TestDefaultReport goes to the logger.
func TestDefaultReport(t *testing.T) {
	t.Parallel()
	g := newGate(t, withHTTP(func(c *middleware.Config) { c.Report = nil }))
	g.visit("", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "public")
		gateCount.Value(r.Context())
	})
	require.Contains(t, g.logged.String(), middleware.ErrPublic.Error())
	require.Contains(t, g.logged.String(), "level=WARN")
}
