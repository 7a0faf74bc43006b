package main

import (
	"bufio"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/middleware"
)

// window is one window of a browser: windows of one browser share its cookies.
type window struct {
	t      *testing.T
	server *httptest.Server
	client *http.Client
}

func newBrowser(t *testing.T, server *httptest.Server) window {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return window{t: t, server: server, client: &http.Client{Jar: jar, Timeout: time.Minute}}
}

func (w window) post(path string, form url.Values) string {
	w.t.Helper()
	resp, err := w.client.PostForm(w.server.URL+path, form)
	require.NoError(w.t, err)
	defer func() { require.NoError(w.t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode, "%s", body)
	return string(body)
}

// open begins a stream and returns its events, after the first.
func (w window) open() (events <-chan string) {
	w.t.Helper()
	resp, err := w.client.Get(w.server.URL + "/stream") //nolint:bodyclose // below, by whoever reads it
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, resp.StatusCode)
	require.Equal(w.t, "text/event-stream", resp.Header.Get("Content-Type"))
	lines := make(chan string, 100)
	go func() {
		defer close(lines)
		defer func() { _ = resp.Body.Close() }()
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			if event, ok := strings.CutPrefix(s.Text(), "event: "); ok {
				lines <- event
			}
		}
	}()
	require.Equal(w.t, "time", <-lines)
	return lines
}

func TestLogoutEndsTheOtherStream(t *testing.T) {
	t.Parallel()
	handler, err := newHandler(middleware.Config{Insecure: true})
	require.NoError(t, err)
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)

	first, other := newBrowser(t, server), newBrowser(t, server)
	resp, err := first.client.Get(server.URL + "/stream")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusNoContent, resp.StatusCode, "nobody is logged in")

	require.Contains(t, first.post("/login", url.Values{"name": {"<ada>"}}), "&lt;ada&gt;")
	other.post("/login", url.Values{"name": {"bob"}})
	mine, second, others := first.open(), first.open(), other.open()
	began := time.Now()
	require.Contains(t, first.post("/logout", nil), "Nobody is logged in")
	for _, events := range []<-chan string{mine, second} {
		var last string
		for event := range events {
			last = event
		}
		require.Equal(t, "over", last)
	}
	t.Logf("both streams were over %v after the logout", time.Since(began))
	require.Equal(t, "time", <-others, "somebody else's stream goes on")
	other.post("/logout", nil)
}
