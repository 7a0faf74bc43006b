package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
)

// failingPath is a handler that begins the response; it returns the error of
// what it called, or errNoError where that returns none.
type failingPath struct {
	name string
	do   func(w http.ResponseWriter, r *http.Request) error
}

var errNoError = errors.New("returns no error")

var failingPaths = []failingPath{
	{"Write", func(w http.ResponseWriter, _ *http.Request) error {
		n, err := w.Write([]byte("secret page"))
		return failedAfter(int64(n), err)
	}},
	{"WriteHeader", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusCreated)
		return errNoError
	}},
	{"WriteString", func(w http.ResponseWriter, _ *http.Request) error {
		n, err := io.WriteString(w, "secret page")
		return failedAfter(int64(n), err)
	}},
	{"ReadFrom", func(w http.ResponseWriter, _ *http.Request) error {
		return failedAfter(w.(io.ReaderFrom).ReadFrom(strings.NewReader("secret page")))
	}},
	{"Flusher", func(w http.ResponseWriter, _ *http.Request) error {
		w.(http.Flusher).Flush()
		return errNoError
	}},
	{"controller Flush", func(w http.ResponseWriter, _ *http.Request) error {
		return http.NewResponseController(w).Flush()
	}},
	{"Hijacker", func(w http.ResponseWriter, _ *http.Request) error {
		return noConnection(w.(http.Hijacker))
	}},
	{"controller Hijack", func(w http.ResponseWriter, _ *http.Request) error {
		return noConnection(http.NewResponseController(w))
	}},
	{"redirect", func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/welcome", http.StatusSeeOther)
		return errNoError
	}},
	{"101", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusSwitchingProtocols)
		return errNoError
	}},
	{"return", func(http.ResponseWriter, *http.Request) error { return errNoError }},
	{"103 first", func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		_, err := io.WriteString(w, "secret page")
		return err
	}},
}

func failedAfter(n int64, err error) error {
	if n != 0 {
		return fmt.Errorf("%d bytes were taken", n)
	}
	return err
}

func noConnection(h http.Hijacker) error {
	conn, rw, err := h.Hijack()
	if conn != nil || rw != nil {
		return errors.New("a connection beside the error")
	}
	return err
}

// TestFailedCommit: when the commit fails nothing of the handler's response is
// sent, on any path. The headers are those that the middleware found, the
// error handler answers once, and what the handler writes gets the error.
func TestFailedCommit(t *testing.T) {
	t.Parallel()
	for _, custom := range []bool{false, true} {
		for _, p := range failingPaths {
			t.Run(fmt.Sprintf("%s/custom=%t", p.name, custom), func(t *testing.T) {
				t.Parallel()
				p.run(t, custom)
			})
		}
	}
}

func (p *failingPath) run(t *testing.T, custom bool) {
	var answered []error
	g := newGate(t, withHTTP(func(c *middleware.Config) {
		if custom {
			c.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
				answered = append(answered, err)
				_, ok := session.Lookup(r.Context())
				assert.True(t, ok, "the request as the handler got it")
				w.Header().Set("X-Answer", "custom")
				http.Error(w, "out of order", middleware.Status(err))
			}
		}
	}))
	g.breakOps(spy.Insert)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		gateIncrement(t, r)
		maps.Copy(w.Header(), http.Header{
			"X-Handler": {"private"}, "X-Outer": {"overwritten"}, "Set-Cookie": {"mine=1"}, "Content-Length": {"9999"},
			"Content-Encoding": {"gzip"}, "Etag": {`"1"`}, "Cache-Control": {"public, max-age=600"}, "Vary": {"Origin"},
		})
		w.Header().Del("X-Removed")
		err := p.do(w, r)
		if !errors.Is(err, errNoError) {
			assert.ErrorIs(t, err, errGateStore)
		}
		if p.name == "return" {
			return
		}
		// Whatever else it tries goes nowhere.
		w.Header().Set("X-Late", "1")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
		for range 2 {
			for _, again := range failingPaths[:len(failingPaths)-2] {
				if err := again.do(w, r); !errors.Is(err, errNoError) {
					assert.ErrorIs(t, err, errGateStore, again.name)
				}
			}
		}
	})
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Outer"] = []string{"one", "two"}
		w.Header()["X-Removed"] = []string{"kept"}
		w.Header()["Set-Cookie"] = []string{"theirs=1; Path=/"}
		g.mw.Handler(handler).ServeHTTP(w, r)
	})
	srv := gateServer(t, outer, &gateListener{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL, nil)
	require.NoError(t, err)
	res := gateFetch(t, srv, req)

	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	want := http.Header{
		"X-Outer": {"one", "two"}, "X-Removed": {"kept"}, "Set-Cookie": {"theirs=1; Path=/"},
		"Cache-Control": {"no-store"}, "Vary": {"Cookie"},
		"Content-Type": {"text/plain; charset=utf-8"}, "X-Content-Type-Options": {"nosniff"},
	}
	text := "Service Unavailable\n"
	if custom {
		text = "out of order\n"
		want["X-Answer"] = []string{"custom"}
		require.Len(t, answered, 1)
		require.ErrorIs(t, answered[0], errGateStore)
	}
	want["Content-Length"] = []string{fmt.Sprint(len(text))}
	res.Header.Del("Date")
	require.Equal(t, want, res.Header)
	require.Equal(t, text, res.Body)
	require.Empty(t, g.reports(), "told by the response, not reported again")
	require.Equal(t, !custom, strings.Contains(g.logged.String(), "session not committed"), g.logged.String())
	require.Equal(t, !custom, strings.Contains(g.logged.String(), "method=GET path=/"), g.logged.String())
	require.LessOrEqual(t, strings.Count(g.logged.String(), "\n"), 1)
	require.Zero(t, g.mem.Len())
}

// TestFailedCommitSendsNothingElse: hijack and flush do not reach the writer
// beneath once the error page has been sent.
func TestFailedCommitSendsNothingElse(t *testing.T) {
	t.Parallel()
	for _, p := range failingPaths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			g.breakOps(spy.Insert)
			b := newBareWriter(g)
			g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				gateIncrement(t, r)
				_ = p.do(w, r)
				for _, again := range failingPaths {
					_ = again.do(w, r)
				}
			})).ServeHTTP(b.combined(canFlush|canHijack|canReadFrom), g.request(""))
			var got []string
			for _, e := range b.events {
				if e.what != "WriteHeader 103" || p.name != "103 first" {
					got = append(got, e.what)
				}
			}
			require.Equal(t, []string{"WriteHeader 503", "Write Service Unavailable\n"}, got)
		})
	}
}

// TestFailedHandlerPanics: a panic after a failed commit passes through, and
// the error handler's answer stands.
func TestFailedHandlerPanics(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	g.breakOps(spy.Insert)
	rec := httptest.NewRecorder()
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gateIncrement(t, r)
			_, _ = io.WriteString(w, "x")
			panic(http.ErrAbortHandler)
		})).ServeHTTP(rec, g.request(""))
	})
	require.Equal(t, http.StatusServiceUnavailable, rec.Code)
	require.Equal(t, "Service Unavailable\n", rec.Body.String())
}

func TestStatus(t *testing.T) {
	t.Parallel()
	storeErr := &session.StoreError{Op: "swap", Err: errGateStore}
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"conflict", &session.ConflictError{Keys: []string{"k"}}, 409},
		{"replay", &session.ReplayError{Key: "k", Err: errors.New("sold out")}, 409},
		{"replay of a store's error", &session.ReplayError{Key: "k", Err: storeErr}, 409},
		{"destroyed", session.ErrDestroyed, 409},
		{"superseded", session.ErrSuperseded, 409},
		{"contention", session.ErrContention, 503},
		{"store", storeErr, 503},
		{"unknown", session.ErrUnknown, 500},
		{"unknown after a store's error", fmt.Errorf("%w: %w", session.ErrUnknown, storeErr), 500},
		{"limit", &session.LimitError{Limit: session.LimitBytes, Max: 1, Got: 2}, 500},
		{"value", &session.ValueError{Key: "k", Err: io.ErrUnexpectedEOF}, 500},
		{"config", &session.ConfigError{Problems: []error{io.EOF}}, 500},
		{"closed", session.ErrClosed, 500},
		{"in update", session.ErrInUpdate, 500},
		{"pending", session.ErrPending, 500},
		{"headers sent", session.ErrHeadersSent, 500},
		{"foreign", io.EOF, 500},
		{"none", nil, 500},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, middleware.Status(c.err))
			if c.err == nil {
				return
			}
			require.Equal(t, c.want, middleware.Status(fmt.Errorf("in the shop: %w", c.err)))
			require.Equal(t, c.want, middleware.Status(errors.Join(io.EOF, c.err)))
		})
	}
}

// TestDefaultAnswer: each failure has its status in the default error handler,
// and is not to be cached.
func TestDefaultAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		do     func(g *gate, cookie string, r *http.Request)
		status int
		level  string
	}{
		{"conflict", func(g *gate, cookie string, r *http.Request) {
			_, _ = gateCount.Get(r.Context())
			g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) { gateSet(t, r, 7) })
			gateSet(t, r, 8)
		}, http.StatusConflict, "INFO"},
		{"replay", func(g *gate, cookie string, r *http.Request) {
			twice := 0
			_, _ = gateCount.Update(r.Context(), func(n *int) error {
				if twice++; twice > 1 {
					return errors.New("not twice")
				}
				*n = 5
				return nil
			})
			g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) { gateSet(t, r, 7) })
		}, http.StatusConflict, "INFO"},
		{"destroyed", func(g *gate, cookie string, r *http.Request) {
			gateIncrement(t, r)
			g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) {
				assert.NoError(t, session.FromContext(r.Context()).Destroy(r.Context()))
			})
		}, http.StatusConflict, "INFO"},
		{"superseded", func(g *gate, cookie string, r *http.Request) {
			gateIncrement(t, r)
			g.visit(cookie, func(_ http.ResponseWriter, r *http.Request) {
				assert.NoError(t, session.FromContext(r.Context()).Login(r.Context(), "ada"))
			})
		}, http.StatusConflict, "INFO"},
		{"store", func(g *gate, _ string, r *http.Request) {
			gateIncrement(t, r)
			g.breakOps(spy.Swap, spy.Load)
		}, http.StatusInternalServerError, "ERROR"}, // the outcome of the swap is not known
		{"load", func(g *gate, _ string, r *http.Request) {
			g.breakOps(spy.Load)
			_ = gateCount.Value(r.Context())
		}, http.StatusServiceUnavailable, "ERROR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			cookie := g.begin(1)
			res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Cache-Control", "public")
				c.do(g, cookie, r)
				_, err := io.WriteString(w, "page")
				assert.Error(t, err)
			})
			require.Equal(t, c.status, res.StatusCode)
			require.Equal(t, http.StatusText(c.status)+"\n", res.Body)
			require.Equal(t, []string{"no-store"}, res.Header["Cache-Control"])
			require.Equal(t, []string{"Cookie"}, res.Header["Vary"])
			require.Empty(t, res.Header["Set-Cookie"], "a lost race never clears the cookie")
			require.Contains(t, g.logged.String(), "level="+c.level)
			require.Contains(t, g.logged.String(), fmt.Sprintf("status=%d", c.status))
		})
	}
}

// An error handler that only logs must not turn the failure into a success.
func TestErrorHandlerThatAnswersNothing(t *testing.T) {
	t.Parallel()
	var got error
	g := newGate(t, withHTTP(func(c *middleware.Config) {
		c.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }
	}))
	g.breakOps(spy.Insert)
	res := g.visit("", func(w http.ResponseWriter, r *http.Request) {
		gateSet(t, r, 1)
		_, _ = io.WriteString(w, "saved")
	})
	require.Error(t, got)
	require.Equal(t, http.StatusServiceUnavailable, res.StatusCode)
	require.Empty(t, res.Body)
}
