package middleware_test

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
)

// responsePath is one way from a handler to the first byte of its response.
type responsePath struct {
	name    string
	do      func(w http.ResponseWriter, r *http.Request) error
	method  string // default: GET
	status  int    // default: 200
	body    string
	streams bool // the client gets it while the handler still runs
	http1   bool // needs HTTP/1.1
}

func flushed(w http.ResponseWriter, err error) error {
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, "flushed")
	return err
}

// takeOver hijacks a connection and answers on it with the writer's headers.
func takeOver(w http.ResponseWriter, hijack func() (net.Conn, *bufio.ReadWriter, error)) error {
	conn, rw, err := hijack()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n")
	_ = w.Header().Write(rw)
	_, _ = rw.WriteString("\r\ntaken")
	return rw.Flush()
}

func writes(s string) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		_, err := w.Write([]byte(s))
		return err
	}
}

func writesStatus(status int) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(status)
		return nil
	}
}

var responsePaths = []responsePath{
	{name: "WriteHeader", do: writesStatus(http.StatusAccepted), status: http.StatusAccepted},
	{name: "Write", do: writes("written"), body: "written"},
	{name: "empty Write", do: writes("")},
	{name: "long Write", do: writes(strings.Repeat("x", 100_000)), body: strings.Repeat("x", 100_000)},
	{name: "io.WriteString", body: "string", do: func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "string")
		return err
	}},
	{name: "io.Copy", body: "copied", do: func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("copied")})
		return err
	}},
	{name: "io.Copy of nothing", do: func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader("")})
		return err
	}},
	{name: "WriterTo", body: "copied", do: func(w http.ResponseWriter, _ *http.Request) error {
		_, err := bytes.NewBufferString("copied").WriteTo(w)
		return err
	}},
	{name: "Flusher", body: "flushed", streams: true, do: func(w http.ResponseWriter, _ *http.Request) error {
		w.(http.Flusher).Flush()
		return flushed(w, nil)
	}},
	{name: "FlushError", body: "flushed", streams: true, do: func(w http.ResponseWriter, _ *http.Request) error {
		return flushed(w, w.(interface{ FlushError() error }).FlushError())
	}},
	{name: "controller Flush", body: "flushed", streams: true, do: func(w http.ResponseWriter, _ *http.Request) error {
		return flushed(w, http.NewResponseController(w).Flush())
	}},
	{name: "return", do: func(http.ResponseWriter, *http.Request) error { return nil }},
	{name: "redirect", status: http.StatusSeeOther, do: func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/there", http.StatusSeeOther)
		return nil
	}, body: "<a href=\"/there\">See Other</a>.\n\n"},
	{name: "not found", do: func(w http.ResponseWriter, r *http.Request) error {
		http.NotFound(w, r)
		return nil
	}, status: http.StatusNotFound, body: "404 page not found\n"},
	{name: "204", do: writesStatus(http.StatusNoContent), status: http.StatusNoContent},
	{name: "304", do: writesStatus(http.StatusNotModified), status: http.StatusNotModified},
	{name: "499", do: writesStatus(499), status: 499},
	{name: "HEAD", do: writes("not sent"), method: http.MethodHead},
	{name: "POST", do: writes("posted"), method: http.MethodPost, body: "posted"},
	{name: "101", http1: true, status: http.StatusSwitchingProtocols, do: func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "tea")
		w.WriteHeader(http.StatusSwitchingProtocols)
		return nil
	}},
	{name: "Hijacker", http1: true, body: "taken", do: func(w http.ResponseWriter, _ *http.Request) error {
		return takeOver(w, w.(http.Hijacker).Hijack)
	}},
	{name: "controller Hijack", http1: true, body: "taken", do: func(w http.ResponseWriter, _ *http.Request) error {
		return takeOver(w, http.NewResponseController(w).Hijack)
	}},
}

// hidden shows nothing of a writer but Unwrap, as many middlewares do.
type hidden struct{ http.ResponseWriter }

func (h hidden) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// TestResponsePaths sends a first visitor along every path over real
// connections: the session is in the store before the first byte of the
// response leaves, and its cookie is in the headers.
func TestResponsePaths(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/1.1 behind a wrapper", "HTTP/2.0"} {
		for _, p := range responsePaths {
			if p.http1 && proto == "HTTP/2.0" || p.name == "Flusher" && strings.Contains(proto, "wrapper") {
				continue
			}
			t.Run(proto+"/"+p.name, func(t *testing.T) {
				t.Parallel()
				p.run(t, proto)
			})
		}
	}
}

func (p *responsePath) run(t *testing.T, proto string) {
	g := newGate(t)
	seen := make(chan struct{})
	h := g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateIncrement(t, r)
		assert.Zero(t, g.mem.Len(), "stored before the response begins")
		assert.NoError(t, p.do(w, r))
		if p.streams {
			select {
			case <-seen:
			case <-time.After(5 * time.Second):
				t.Error("the client gets nothing while the handler runs")
			}
		}
	}))
	stored := -1 // when the response begins
	var srv *httptest.Server
	switch proto {
	case "HTTP/2.0":
		srv = gateServer2(t, h)
	case "HTTP/1.1":
		srv = gateServer(t, h, &gateListener{begins: func() { stored = g.mem.Len() }})
	default:
		outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(hidden{w}, r) })
		srv = gateServer(t, outer, &gateListener{begins: func() { stored = g.mem.Len() }})
	}

	req, err := http.NewRequestWithContext(t.Context(), p.method, srv.URL, nil)
	require.NoError(t, err)
	res, err := gateClient(srv).Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(t, 1, g.mem.Len(), "sessions in the store when the client sees the response")
	close(seen)
	if p.status != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, p.body, string(body))
	}
	require.Equal(t, proto[:len("HTTP/1.1")], res.Proto)
	require.Equal(t, cmp.Or(p.status, http.StatusOK), res.StatusCode)
	if !strings.HasPrefix(proto, "HTTP/2") {
		require.Equal(t, 1, stored, "sessions in the store when the first byte is sent")
	}
	n, ok := g.count(issuedCookie(t, &gateAnswer{Header: res.Header}))
	require.True(t, ok)
	require.Equal(t, 1, n)
	require.Empty(t, g.reports())
}

// TestUntouchedPaths: none of the paths leaves a mark on a response that has
// nothing to do with the session.
func TestUntouchedPaths(t *testing.T) {
	t.Parallel()
	for _, p := range responsePaths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			srv := gateServer(t, g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_ = session.FromContext(r.Context()) // is no use
				assert.NoError(t, p.do(w, r))
			})), &gateListener{})
			req, err := http.NewRequestWithContext(t.Context(), p.method, srv.URL, nil)
			require.NoError(t, err)
			req.Header.Set("Cookie", middleware.HostName+"="+g.begin(1))
			res := gateFetch(t, srv, req)
			requireUntouched(t, res.Header)
			require.Empty(t, g.spy.Calls())
			require.Empty(t, g.reports())
		})
	}
}

// TestServeContent keeps the fast path: the connection copies the file itself.
func TestServeContent(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("0123456789abcdef", 1<<14)
	name := filepath.Join(t.TempDir(), "big.bin")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	for _, c := range []struct {
		name, ask, want string
		status          int
	}{
		{"all", "", content, http.StatusOK},
		{"range", "bytes=16-100015", content[16:100016], http.StatusPartialContent},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			var sendfile atomic.Int64
			stored := -1
			srv := gateServer(t, g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				gateIncrement(t, r)
				http.ServeFile(w, r, name)
			})), &gateListener{
				begins:    func() { stored = g.mem.Len() },
				readsFrom: func() { sendfile.Add(1) },
			})
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
			require.NoError(t, err)
			if c.ask != "" {
				req.Header.Set("Range", c.ask)
			}
			res := gateFetch(t, srv, req)
			require.Equal(t, c.status, res.StatusCode)
			require.Equal(t, c.want, res.Body)
			require.Equal(t, 1, stored)
			require.EqualValues(t, 1, sendfile.Load(), "copies by the connection itself")
			n, _ := g.count(issuedCookie(t, res))
			require.Equal(t, 1, n)
		})
	}
}

// TestInformationalResponses: 1xx come before the response. They pass without a
// commit and without the session's headers, and the session stays open.
func TestInformationalResponses(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		for _, status := range []int{http.StatusContinue, http.StatusProcessing, http.StatusEarlyHints} {
			t.Run(fmt.Sprint(proto, "/", status), func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				h := g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					gateIncrement(t, r)
					w.Header().Set("Link", "</style.css>; rel=preload")
					w.WriteHeader(status)
					assert.Empty(t, g.spy.Calls(), "calls of the store by an informational response")
					gateIncrement(t, r) // still possible
					w.WriteHeader(status)
					assert.Equal(t, []string(nil), w.Header()["Set-Cookie"])
					_, err := io.WriteString(w, "done")
					assert.NoError(t, err)
				}))
				srv := gateServer2(t, h)
				if proto == "HTTP/1.1" {
					srv = gateServer(t, h, &gateListener{})
				}
				var early []http.Header
				trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
					assert.Equal(t, status, code)
					early = append(early, http.Header(header))
					return nil
				}}
				req, err := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, srv.URL, nil)
				require.NoError(t, err)
				res := gateFetch(t, srv, req)
				require.Equal(t, proto, res.Proto)
				require.Len(t, early, 2)
				for _, header := range early {
					requireUntouched(t, header)
				}
				n, _ := g.count(issuedCookie(t, res))
				require.Equal(t, 2, n, "the change after the informational response counts")
			})
		}
	}
}

// TestInformationalOnTheWire reads an answer byte by byte: 103, and then one
// response with one cookie.
func TestInformationalOnTheWire(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	srv := gateServer(t, g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateIncrement(t, r)
		w.WriteHeader(http.StatusEarlyHints)
	})), &gateListener{})
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	first, rest, _ := strings.Cut(string(all), "\r\n\r\n")
	require.Equal(t, "HTTP/1.1 103 Early Hints", first)
	require.Contains(t, rest, "HTTP/1.1 200 OK\r\n")
	require.Equal(t, 1, strings.Count(rest, "Set-Cookie: __Host-id="))
	require.Equal(t, 1, strings.Count(rest, "Vary: Cookie\r\n"))
}

// TestErrorStatusDropsChanges: from 500 on nothing is committed, on any path.
func TestErrorStatusDropsChanges(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 501, 503, 599, 999} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			cookie := g.begin(1)
			res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
				gateIncrement(t, r)
				w.WriteHeader(status)
				_, err := io.WriteString(w, "sorry")
				assert.NoError(t, err)
			})
			require.Equal(t, status, res.StatusCode)
			require.Equal(t, "sorry", res.Body, "the handler's own error page is sent")
			require.Equal(t, []spy.Op{spy.Load}, g.spy.Calls())
			require.Empty(t, sessionCookies(res))
			require.Equal(t, []string{"Cookie"}, res.Header["Vary"])
			n, _ := g.count(cookie)
			require.Equal(t, 1, n)
		})
	}
}
