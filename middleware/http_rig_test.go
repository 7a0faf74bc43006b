package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

var (
	gateCount = session.Key[int]("gate-count")
	gateName  = session.Key[string]("gate-name")

	errGateStore = errors.New("the disk is on fire")
)

// gate is a middleware on a watched store in memory, with all that it says.
type gate struct {
	t       testing.TB
	mem     *memory.Store
	spy     *spy.Store
	manager *session.Manager
	mw      *middleware.Middleware
	logged  gateLog

	mu       sync.Mutex
	reported []error
}

type gateOption func(*session.Config, *middleware.Config)

func withHTTP(f func(*middleware.Config)) gateOption {
	return func(_ *session.Config, c *middleware.Config) { f(c) }
}

func newGate(t testing.TB, options ...gateOption) *gate {
	return newGateOn(t, memory.New(), options...)
}

func newGateOn(t testing.TB, mem *memory.Store, options ...gateOption) *gate {
	g := &gate{t: t, mem: mem}
	g.spy = spy.Wrap(g.mem)
	sc := session.Config{Store: g.spy}
	mc := middleware.Config{Logger: slog.New(slog.NewTextHandler(&g.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	mc.Report = func(_ *http.Request, err error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.reported = append(g.reported, err)
	}
	for _, o := range options {
		o(&sc, &mc)
	}
	var err error
	g.manager, err = session.NewManager(sc)
	require.NoError(t, err)
	g.mw, err = middleware.New(g.manager, mc)
	require.NoError(t, err)
	return g
}

// reports returns what was reported since it was last called.
func (g *gate) reports() []error {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := g.reported
	g.reported = nil
	return all
}

// request makes a request that carries a cookie of the default name, unless it
// is empty.
func (g *gate) request(cookie string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://shop.test/", nil)
	if cookie != "" {
		r.Header.Set("Cookie", middleware.HostName+"="+cookie)
	}
	return r
}

func (g *gate) serve(r *http.Request, h http.HandlerFunc) *gateAnswer {
	g.t.Helper()
	rec := httptest.NewRecorder()
	g.mw.Handler(h).ServeHTTP(rec, r)
	return recorded(rec)
}

// visit is serve with the cookie in the default name.
func (g *gate) visit(cookie string, h http.HandlerFunc) *gateAnswer {
	g.t.Helper()
	return g.serve(g.request(cookie), h)
}

// begin stores a session with gateCount n and returns its credential.
func (g *gate) begin(n int) string {
	g.t.Helper()
	res := g.visit("", func(_ http.ResponseWriter, r *http.Request) { gateSet(g.t, r, n) })
	value := issuedCookie(g.t, res)
	g.spy.Calls()
	return value
}

// count returns gateCount as another request of this visitor reads it.
func (g *gate) count(cookie string) (n int, ok bool) {
	g.t.Helper()
	g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) {
		var err error
		if n, ok, err = gateCount.Lookup(r.Context()); err != nil {
			g.t.Errorf("reading the count: %v", err)
		}
	})
	return n, ok
}

// breakOps makes the store fail at some operations.
func (g *gate) breakOps(ops ...spy.Op) {
	g.spy.Hook(func(_ context.Context, c *spy.Call) {
		if slices.Contains(ops, c.Op) {
			c.Err = errGateStore
			return
		}
		c.Next()
	})
}

func gateSet(t testing.TB, r *http.Request, n int) {
	t.Helper()
	if err := gateCount.Set(r.Context(), n); err != nil {
		t.Errorf("Set: %v", err)
	}
}

func gateIncrement(t testing.TB, r *http.Request) {
	t.Helper()
	if _, err := gateCount.Update(r.Context(), func(n *int) error { *n++; return nil }); err != nil {
		t.Errorf("Update: %v", err)
	}
}

// gateAnswer is a response as it was sent.
type gateAnswer struct {
	StatusCode int
	Proto      string
	Header     http.Header
	Body       string
}

func recorded(rec *httptest.ResponseRecorder) *gateAnswer {
	res := rec.Result()
	_ = res.Body.Close()
	return &gateAnswer{StatusCode: res.StatusCode, Header: res.Header, Body: rec.Body.String()}
}

// gateFetch sends a request and waits for all of the response. Redirects are
// not followed.
func gateFetch(t testing.TB, srv *httptest.Server, r *http.Request) *gateAnswer {
	t.Helper()
	res, err := gateClient(srv).Do(r)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	a := &gateAnswer{StatusCode: res.StatusCode, Proto: res.Proto, Header: res.Header}
	if a.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		a.Body = string(body)
	}
	return a
}

// sessionCookies returns the cookies of the default name that a response sets.
func sessionCookies(res *gateAnswer) (all []*http.Cookie) {
	for _, line := range res.Header["Set-Cookie"] {
		if c, err := http.ParseSetCookie(line); err == nil && c.Name == middleware.HostName {
			all = append(all, c)
		}
	}
	return all
}

// issuedCookie returns the credential in the one session cookie of a response,
// which must have the headers that belong to it.
func issuedCookie(t testing.TB, res *gateAnswer) string {
	t.Helper()
	set := sessionCookies(res)
	require.Len(t, set, 1, "Set-Cookie: %q", res.Header["Set-Cookie"])
	require.Len(t, set[0].Value, 45, "a credential")
	require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])
	require.Contains(t, res.Header["Vary"], "Cookie")
	return set[0].Value
}

// requireUntouched holds a response to what no session has left a mark on.
func requireUntouched(t testing.TB, header http.Header) {
	t.Helper()
	require.Empty(t, header["Set-Cookie"])
	require.Empty(t, header["Vary"])
	require.Empty(t, header["Cache-Control"])
}

// gateLog collects log output.
type gateLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *gateLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *gateLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// gateListener watches connections for the first byte of a response.
type gateListener struct {
	net.Listener
	begins    func() // before a final response begins
	readsFrom func() // a connection copies by itself: sendfile
}

func (l *gateListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gateConn{TCPConn: c.(*net.TCPConn), l: l}, nil
}

// gateServer serves h over HTTP/1.1 with a watched listener.
func gateServer(t testing.TB, h http.Handler, l *gateListener) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	l.Listener = srv.Listener
	srv.Listener = l
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

// gateServer2 serves h over HTTP/2.
func gateServer2(t testing.TB, h http.Handler) *httptest.Server {
	srv := httptest.NewUnstartedServer(h)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

// gateClient does not follow redirects.
func gateClient(srv *httptest.Server) *http.Client {
	c := srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

type gateConn struct {
	*net.TCPConn
	l *gateListener
}

func (c *gateConn) Write(p []byte) (int, error) {
	head := string(p[:min(len(p), 12)])
	interim := strings.HasPrefix(head, "HTTP/1.1 1") && head != "HTTP/1.1 101"
	if strings.HasPrefix(head, "HTTP/1.1 ") && !interim && c.l.begins != nil {
		c.l.begins()
	}
	return c.TCPConn.Write(p)
}

func (c *gateConn) ReadFrom(r io.Reader) (int64, error) {
	if c.l.readsFrom != nil {
		c.l.readsFrom()
	}
	return c.TCPConn.ReadFrom(r)
}
