package integration_test

import (
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
)

// node is a program that serves pages: a manager behind a middleware.
type node struct {
	manager *session.Manager
	url     *url.URL

	last  atomic.Int64
	pages sync.Map // of the requests that are under way, by number
}

// page is what one request does. It answers with the text, or with the status of
// the error.
type page func(ctx context.Context) (string, error)

// visitPage is a request under way.
type visitPage struct {
	page     page
	failed   error   // what the error handler was given
	reported []error // what could not be answered any more
}

const pageHeader = "X-Page"

// newNode serves on a port until the test ends.
func newNode(t testing.TB, st store.Store, change ...func(*session.Config)) *node {
	t.Helper()
	// A busy machine, and a stand-in that does one thing at a time, take longer than
	// a site would wait.
	cfg := session.Config{Store: st, Timeout: time.Minute}
	for _, f := range change {
		f(&cfg)
	}
	n := &node{}
	var err error
	n.manager, err = session.NewManager(cfg)
	require.NoError(t, err)
	mw, err := middleware.New(n.manager, middleware.Config{Insecure: true, ErrorHandler: n.fail, Report: n.report})
	require.NoError(t, err)
	server := httptest.NewServer(mw.Handler(http.HandlerFunc(n.serve)))
	t.Cleanup(server.Close)
	n.url, err = url.Parse(server.URL)
	require.NoError(t, err)
	return n
}

// newNodes returns nodes of one site.
func newNodes(t testing.TB, s *site, count int, change ...func(*session.Config)) (all []*node) {
	t.Helper()
	for range count {
		all = append(all, newNode(t, s.node(t), change...))
	}
	return all
}

func (n *node) visit(r *http.Request) *visitPage {
	v, ok := n.pages.Load(r.Header.Get(pageHeader))
	if !ok {
		return &visitPage{page: func(context.Context) (string, error) { return "", nil }}
	}
	return v.(*visitPage)
}

func (n *node) serve(w http.ResponseWriter, r *http.Request) {
	text, err := n.visit(r).page(r.Context())
	if err != nil {
		http.Error(w, err.Error(), middleware.Status(err))
		return
	}
	_, _ = io.WriteString(w, text)
}

func (n *node) fail(w http.ResponseWriter, r *http.Request, err error) {
	n.visit(r).failed = err
	http.Error(w, err.Error(), middleware.Status(err))
}

// report keeps the log free of what the answers say: a test may bring about many
// errors.
func (n *node) report(r *http.Request, err error) {
	v := n.visit(r)
	v.reported = append(v.reported, err)
}

// browser keeps cookies, for all nodes alike: a port is no part of a cookie's
// place. It may send several requests at once.
type browser struct {
	t      testing.TB
	client *http.Client
}

// answer is what came back.
type answer struct {
	status int
	text   string
	header http.Header
	failed error // what the middleware said about the session
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	// Connections of its own, so that none is left when the test ends.
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t: t, client: &http.Client{Jar: jar, Transport: transport}}
}

// do sends a request that runs p. It may be called from any goroutine.
func (b *browser) do(n *node, p page) (answer, error) {
	number := strconv.FormatInt(n.last.Add(1), 10)
	v := &visitPage{page: p}
	n.pages.Store(number, v)
	defer n.pages.Delete(number)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, n.url.String(), nil)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set(pageHeader, number)
	resp, err := b.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	text, err := io.ReadAll(resp.Body)
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	return answer{status: resp.StatusCode, text: string(text), header: resp.Header, failed: v.failed}, err
}

// must sends a request that has to be answered with 200, and returns the text. It
// is called from the goroutine of the test.
func (b *browser) must(n *node, p page) string {
	b.t.Helper()
	a := b.try(n, p)
	require.Equal(b.t, http.StatusOK, a.status, "%s: %v", a.text, a.failed)
	return a.text
}

// try sends a request that has to be answered. It is called from the goroutine of
// the test.
func (b *browser) try(n *node, p page) answer {
	b.t.Helper()
	a, err := b.do(n, p)
	require.NoError(b.t, err)
	return a
}

// credential is what the browser would send to a node; empty if nothing.
func (b *browser) credential(n *node) string {
	for _, c := range b.client.Jar.Cookies(n.url) {
		if c.Name == "id" {
			return c.Value
		}
	}
	return ""
}

// present makes the browser send another credential.
func (b *browser) present(n *node, credential string) {
	b.client.Jar.SetCookies(n.url, []*http.Cookie{{Name: "id", Value: credential, Path: "/"}})
}
