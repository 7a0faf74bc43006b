package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
)

// cookieLines returns the Set-Cookie lines of a name, as they are sent.
func cookieLines(res *gateAnswer, name string) (lines []string) {
	for _, line := range res.Header["Set-Cookie"] {
		if strings.HasPrefix(line, name+"=") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestCookieAttributes: the attributes of the cookie, for each option; the
// removal has the same ones, or browsers keep what they have.
func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		cfg        middleware.Config
		cookie     string
		attributes string
	}{
		{"default", middleware.Config{}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Lax", middleware.Config{SameSite: http.SameSiteLaxMode}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Strict", middleware.Config{SameSite: http.SameSiteStrictMode}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=Strict"},
		{"None", middleware.Config{SameSite: http.SameSiteNoneMode}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=None"},
		{"Partitioned", middleware.Config{SameSite: http.SameSiteNoneMode, Partitioned: true}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=None; Partitioned"},
		{"Path", middleware.Config{Path: "/shop"}, "__Secure-id", "Path=/shop; HttpOnly; Secure; SameSite=Lax"},
		{"Path with a space", middleware.Config{Path: "/my shop"}, "__Secure-id", "Path=/my shop; HttpOnly; Secure; SameSite=Lax"},
		{"Path of the root", middleware.Config{Path: "/"}, "__Host-id", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Domain", middleware.Config{Domain: "shop.test"}, "__Secure-id", "Path=/; Domain=shop.test; HttpOnly; Secure; SameSite=Lax"},
		{"Domain with a dot", middleware.Config{Domain: ".shop.test"}, "__Secure-id", "Path=/; Domain=shop.test; HttpOnly; Secure; SameSite=Lax"},
		{"Insecure", middleware.Config{Insecure: true}, "id", "Path=/; HttpOnly; SameSite=Lax"},
		{"Insecure Path and Domain", middleware.Config{Insecure: true, Path: "/a", Domain: "shop.test"}, "id", "Path=/a; Domain=shop.test; HttpOnly; SameSite=Lax"},
		{"Name", middleware.Config{Name: "visit"}, "visit", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Name with a prefix", middleware.Config{Name: "__Secure-visit"}, "__Secure-visit", "Path=/; HttpOnly; Secure; SameSite=Lax"},
		{"Name with the newest prefix", middleware.Config{Name: "__Host-Http-visit"}, "__Host-Http-visit", "Path=/; HttpOnly; Secure; SameSite=Lax"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, withHTTP(func(cfg *middleware.Config) {
				c.cfg.Logger, c.cfg.Report = cfg.Logger, cfg.Report
				*cfg = c.cfg
			}))
			res := g.visit("", func(_ http.ResponseWriter, r *http.Request) { gateSet(t, r, 1) })
			require.Len(t, res.Header["Set-Cookie"], 1)
			value, attributes, _ := strings.Cut(res.Header["Set-Cookie"][0], "; ")
			require.Equal(t, c.attributes, attributes)
			require.Regexp(t, `^`+c.cookie+`=[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$`, value)
			parsed, err := http.ParseSetCookie(res.Header["Set-Cookie"][0])
			require.NoError(t, err)
			require.NoError(t, parsed.Valid())
			require.Empty(t, parsed.Unparsed)

			r := g.request("")
			r.Header.Set("Cookie", value)
			res = g.serve(r, func(_ http.ResponseWriter, r *http.Request) {
				n, err := gateCount.Get(r.Context())
				assert.NoError(t, err)
				assert.Equal(t, 1, n, "the cookie comes back")
				assert.NoError(t, session.FromContext(r.Context()).Destroy(r.Context()))
			})
			want := c.cookie + "=; " + c.attributes + "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
			require.Equal(t, []string{want}, res.Header["Set-Cookie"])
			require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])
		})
	}
}

// TestCookieMaxAge: a session that ends with the browser has a cookie without a
// lifetime; a persistent one has the session's absolute end, as far as browsers
// keep cookies at all.
func TestCookieMaxAge(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	begun := time.Now()
	for _, c := range []struct {
		name     string
		lifetime time.Duration
		expiry   session.Expiry
		want     time.Duration // 0: none
	}{
		{"default", 0, session.Expiry{}, 0},
		{"on session end", day, session.OnSessionEnd(), 0},
		{"on inactivity", day, session.OnInactivity(time.Hour), day},
		{"at a time", day, session.AtTime(begun.Add(time.Hour)), time.Hour},
		{"400 days", 400 * day, session.OnInactivity(day), 400 * day},
		{"800 days", 800 * day, session.OnInactivity(day), 400 * day},
		{"at a distant time", 800 * day, session.AtTime(begun.Add(500 * day)), 400 * day},
		{"less than a second", 500 * time.Millisecond, session.OnInactivity(400 * time.Millisecond), time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t, func(sc *session.Config, _ *middleware.Config) { sc.Lifetime, sc.Expiry = c.lifetime, c.expiry })
			res := g.visit("", func(_ http.ResponseWriter, r *http.Request) { gateSet(t, r, 1) })
			lines := cookieLines(res, middleware.HostName)
			require.Len(t, lines, 1)
			require.NotContains(t, lines[0], "Expires")
			_, maxAge, has := strings.Cut(lines[0], "; Max-Age=")
			require.Equal(t, c.want != 0, has, lines[0])
			if has {
				seconds, err := strconv.Atoi(maxAge)
				require.NoError(t, err, lines[0])
				require.LessOrEqual(t, seconds, int(c.want/time.Second))
				require.InDelta(t, c.want.Seconds(), seconds, 20+time.Since(begun).Seconds())
				require.Positive(t, seconds)
			}
		})
	}
}

// TestOneCookiePerResponse: however often the session is saved, rotated or
// destroyed, and whatever the handler set under its name, the response sets the
// cookie once; other cookies stay.
func TestOneCookiePerResponse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		do      func(r *http.Request, s *session.Session) error
		removed bool
	}{
		{"Saves", func(r *http.Request, s *session.Session) error {
			for n := range 3 {
				gateSet(t, r, n)
				if err := s.Save(r.Context()); err != nil {
					return err
				}
			}
			return nil
		}, false},
		{"Logins", func(r *http.Request, s *session.Session) error {
			for _, owner := range []string{"ada", "bob", "ada"} {
				if err := s.Login(r.Context(), owner); err != nil {
					return err
				}
				if err := s.Save(r.Context()); err != nil {
					return err
				}
			}
			return nil
		}, false},
		{"Destroy and begin again", func(r *http.Request, s *session.Session) error {
			gateSet(t, r, 1)
			if err := s.Save(r.Context()); err != nil {
				return err
			}
			if err := s.Destroy(r.Context()); err != nil {
				return err
			}
			gateSet(t, r, 2)
			return nil
		}, false},
		{"Save and Destroy", func(r *http.Request, s *session.Session) error {
			gateSet(t, r, 1)
			if err := s.Save(r.Context()); err != nil {
				return err
			}
			return s.Destroy(r.Context())
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			res := g.visit(g.begin(1), func(w http.ResponseWriter, r *http.Request) {
				w.Header().Add("Set-Cookie", "first=1; Path=/")
				w.Header().Add("Set-Cookie", "__Host-id=planted; Path=/")
				w.Header().Add("Set-Cookie", "__Host-id =planted; Path=/")
				w.Header().Add("Set-Cookie", "__Host-idea=2")
				w.Header().Add("Set-Cookie", "last=__Host-id=3")
				assert.NoError(t, session.FromContext(r.Context()).Rotate(r.Context()))
				assert.NoError(t, session.FromContext(r.Context()).SetExpiry(r.Context(), session.OnInactivity(time.Hour)))
				assert.NoError(t, c.do(r, session.FromContext(r.Context())))
			})
			lines := res.Header["Set-Cookie"]
			require.Len(t, lines, 4, "%q", lines)
			require.Equal(t, []string{"first=1; Path=/", "__Host-idea=2", "last=__Host-id=3"}, lines[:3])
			require.Equal(t, c.removed, strings.HasPrefix(lines[3], "__Host-id=;"), lines[3])
			if !c.removed {
				_, ok := g.count(issuedCookie(t, res))
				require.True(t, ok || c.name == "Logins", "the cookie is the last one")
			}
		})
	}
}

// TestCookieOnlyWhenItChanges: reading and changing a known session sends none,
// and a cookie that opens nothing is left alone.
func TestCookieOnlyWhenItChanges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(r *http.Request) error
	}{
		{"read", func(r *http.Request) error { _, err := gateCount.Get(r.Context()); return err }},
		{"change", func(r *http.Request) error { return gateCount.Set(r.Context(), 7) }},
		{"delete", func(r *http.Request) error { return gateCount.Delete(r.Context()) }},
		{"clear", func(r *http.Request) error { return session.FromContext(r.Context()).Clear(r.Context()) }},
		{"save", func(r *http.Request) error {
			gateSet(t, r, 9)
			return session.FromContext(r.Context()).Save(r.Context())
		}},
		{"rotate too soon", func(r *http.Request) error { return session.FromContext(r.Context()).Rotate(r.Context()) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			known := g.begin(1)
			for _, cookie := range []string{known, wellFormed(7)} {
				if cookie != known && (c.name == "change" || c.name == "save") {
					continue // creates a session
				}
				res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Set-Cookie", "__Host-id=of-the-handler")
					assert.NoError(t, c.do(r))
					_, err := io.WriteString(w, "ok")
					assert.NoError(t, err)
				})
				require.Equal(t, []string{"__Host-id=of-the-handler"}, res.Header["Set-Cookie"])
				require.Empty(t, res.Header["Cache-Control"])
				require.Equal(t, []string{"Cookie"}, res.Header["Vary"])
			}
			require.Equal(t, 1, g.mem.Len())
		})
	}
}

// wellFormed returns a credential that nobody issued.
func wellFormed(n int) string {
	return fmt.Sprintf("%021dA.%021dA", n, n)
}
