package middleware_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
)

// plainVisits lets visitors who bring no cookie begin sessions.
func (g *gate) plainVisits(n int, change func(r *http.Request)) {
	g.t.Helper()
	for range n {
		r := g.request("")
		r.TLS, r.Host = nil, "shop.test"
		if change != nil {
			change(r)
		}
		res := g.serve(r, func(_ http.ResponseWriter, r *http.Request) { gateSet(g.t, r, 1) })
		require.Len(g.t, res.Header["Set-Cookie"], 1)
	}
}

// TestPlainHTTPWarning: secure cookies over plain HTTP never come back. That is
// said once, and only where it is so.
func TestPlainHTTPWarning(t *testing.T) {
	t.Parallel()
	host := func(h string) func(*http.Request) { return func(r *http.Request) { r.Host = h } }
	for _, c := range []struct {
		name   string
		cfg    func(*middleware.Config)
		change func(r *http.Request)
		warns  bool
	}{
		{"plain HTTP", nil, nil, true},
		{"with a port", nil, host("shop.test:8080"), true},
		{"IPv4", nil, host("192.0.2.1"), true},
		{"IPv6", nil, host("[2001:db8::1]:80"), true},
		{"name like localhost", nil, host("localhost.shop.test"), true},
		{"name that ends like localhost", nil, host("notlocalhost"), true},
		{"no host", nil, host(""), true},
		{"Path", func(c *middleware.Config) { c.Path = "/" }, nil, true},
		{"own name", func(c *middleware.Config) { c.Name = "visit" }, nil, true},
		{"localhost", nil, host("localhost"), false},
		{"localhost with a port", nil, host("localhost:8080"), false},
		{"Localhost", nil, host("LocalHost:8080"), false},
		{"below localhost", nil, host("shop.localhost:8080"), false},
		{"127.0.0.1", nil, host("127.0.0.1"), false},
		{"127.0.0.1 with a port", nil, host("127.0.0.1:8080"), false},
		{"127.1.2.3", nil, host("127.1.2.3:8080"), false},
		{"IPv6 loopback", nil, host("[::1]"), false},
		{"IPv6 loopback with a port", nil, host("[::1]:8080"), false},
		{"TLS", nil, func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, false},
		{"Insecure", func(c *middleware.Config) { c.Insecure = true }, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var g *gate
			if c.cfg != nil {
				g = newGate(t, withHTTP(c.cfg))
			} else {
				g = newGate(t)
			}
			g.plainVisits(50, c.change)
			log := g.logged.String()
			if !c.warns {
				require.Empty(t, log)
				return
			}
			require.Equal(t, 1, strings.Count(log, "\n"), log)
			require.Contains(t, log, "level=WARN")
			require.Contains(t, log, "Insecure")
		})
	}
}

// TestPlainHTTPWarningOnce also when many requests find out together.
func TestPlainHTTPWarningOnce(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { g.plainVisits(10, nil) })
	}
	wg.Wait()
	require.Equal(t, 1, strings.Count(g.logged.String(), "Insecure"))
}

// TestNoPlainHTTPWarningOnceACookieCameBack: one browser that returns the
// cookie shows that there is nothing to warn of, also in the request that gets a
// new cookie for it.
func TestNoPlainHTTPWarningOnceACookieCameBack(t *testing.T) {
	t.Parallel()
	for first := range 4 {
		g := newGate(t)
		known := g.begin(1)
		visits := func(n int) { g.plainVisits(n, nil) }
		visits(first) // with the one above; three would be enough for a warning
		if first >= 3 {
			require.Contains(t, g.logged.String(), "Insecure", "the test itself")
			continue
		}
		r := g.request(known)
		r.TLS, r.Host = nil, "shop.test"
		res := g.serve(r, func(_ http.ResponseWriter, r *http.Request) {
			assert.NoError(t, session.FromContext(r.Context()).Login(r.Context(), "ada"))
		})
		issuedCookie(t, res)
		require.Empty(t, g.logged.String(), "after %d first visits and one that came back", first)
		visits(20)
		require.Empty(t, g.logged.String())
	}
}
