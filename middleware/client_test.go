package middleware_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// The keys of these tests.
var (
	vCount = session.Key[int]("count")
	vOther = session.Key[int]("other")
	vName  = session.Key[string]("name")
)

// A visitStep is what a handler does with its session.
type visitStep func(ctx context.Context) error

// visitSite is one node: a manager behind a middleware.
type visitSite struct {
	t      testing.TB
	m      *session.Manager
	mw     *middleware.Middleware
	st     store.Store
	change []func(*session.Config)
}

// visitAnswer is a response, and what became known of its request on the way.
type visitAnswer struct {
	code     int
	body     string
	header   http.Header
	cookie   *http.Cookie // the session's; nil when none was sent
	cookies  int          // how many of them were sent
	err      error        // what the steps returned to the handler
	failed   error        // what the error handler was given
	reported []error
	panicked any
}

type visitAnswerKey struct{}

const (
	pageBody  = "page"
	errorBody = "error page"
	pageField = "X-Page"
)

func newVisitSite(t testing.TB, st store.Store, change ...func(*session.Config)) *visitSite {
	t.Helper()
	cfg := session.Config{Store: st}
	for _, f := range change {
		f(&cfg)
	}
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	mw, err := middleware.New(m, middleware.Config{ErrorHandler: visitError, Report: visitReport})
	require.NoError(t, err)
	return &visitSite{t: t, m: m, mw: mw, st: st, change: change}
}

// twin is another node on the same store.
func (s *visitSite) twin() *visitSite {
	s.t.Helper()
	return newVisitSite(s.t, s.st, s.change...)
}

// newSpySite is a site over memory, with a spy in between.
func newSpySite(t testing.TB, change ...func(*session.Config)) (*visitSite, *spy.Store) {
	t.Helper()
	sp := spy.Wrap(memory.New())
	return newVisitSite(t, sp, change...), sp
}

func visitError(w http.ResponseWriter, r *http.Request, err error) {
	if a, ok := r.Context().Value(visitAnswerKey{}).(*visitAnswer); ok {
		a.failed = err
	}
	w.WriteHeader(middleware.Status(err))
	_, _ = io.WriteString(w, errorBody)
}

func visitReport(r *http.Request, err error) {
	if a, ok := r.Context().Value(visitAnswerKey{}).(*visitAnswer); ok {
		a.reported = append(a.reported, err)
	}
}

// visitor is a browser: it keeps the session's cookie, and may send several
// requests at once.
type visitor struct {
	site *visitSite

	mu     sync.Mutex
	cookie string
}

func (s *visitSite) visitor() *visitor { return &visitor{site: s} }

// known returns a visitor with a stored session that steps have filled.
func (s *visitSite) known(steps ...visitStep) *visitor {
	s.t.Helper()
	v := s.visitor()
	a := v.do(steps...)
	require.NoError(s.t, a.err)
	require.Equal(s.t, http.StatusOK, a.code)
	require.NotEmpty(s.t, v.credential(), "the session was not stored")
	return v
}

// at returns a visitor of another site with the same cookie.
func (v *visitor) at(s *visitSite) *visitor { return &visitor{site: s, cookie: v.credential()} }

// tab returns a visitor with the same cookie, whose later ones are its own.
func (v *visitor) tab() *visitor { return v.at(v.site) }

func (v *visitor) credential() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.cookie
}

// key is the part of the cookie that names the session for life.
func (v *visitor) key() string {
	key, _, _ := strings.Cut(v.credential(), ".")
	return key
}

// do sends a request whose handler runs the steps up to the first error, and
// then writes a page, whatever came of them.
func (v *visitor) do(steps ...visitStep) *visitAnswer { return v.doStatus(http.StatusOK, steps...) }

func (v *visitor) doStatus(status int, steps ...visitStep) *visitAnswer {
	return v.doIn(v.site.t.Context(), status, steps...)
}

func (v *visitor) doIn(ctx context.Context, status int, steps ...visitStep) *visitAnswer {
	var err error
	a := v.serveIn(ctx, func(w http.ResponseWriter, r *http.Request) {
		for _, step := range steps {
			if err = step(r.Context()); err != nil {
				break
			}
		}
		w.Header().Set(pageField, "yes")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, pageBody)
	})
	a.err = err
	if a.panicked != nil {
		v.site.t.Errorf("a request panicked: %v", a.panicked)
	}
	return a
}

// serve sends a request to a handler behind the site's middleware.
func (v *visitor) serve(h http.HandlerFunc) *visitAnswer {
	return v.serveIn(v.site.t.Context(), h)
}

func (v *visitor) serveIn(ctx context.Context, h http.HandlerFunc) *visitAnswer {
	return v.send(ctx, v.site.mw.Handler(h))
}

// send sends a request to any handler.
func (v *visitor) send(ctx context.Context, h http.Handler) *visitAnswer {
	a := new(visitAnswer)
	ctx = context.WithValue(ctx, visitAnswerKey{}, a)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "https://example.com/", nil)
	if c := v.credential(); c != "" {
		r.Header.Set("Cookie", middleware.HostName+"="+c)
	}
	w := httptest.NewRecorder()
	func() {
		defer func() { a.panicked = recover() }()
		h.ServeHTTP(w, r)
	}()
	a.code, a.body, a.header = w.Code, w.Body.String(), w.Header()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == middleware.HostName {
			a.cookie, a.cookies = c, a.cookies+1
		}
	}
	v.receive(a.cookie)
	return a
}

func (v *visitor) receive(c *http.Cookie) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case c == nil:
	case c.MaxAge < 0:
		v.cookie = ""
	default:
		v.cookie = c.Value
	}
}

// heldRequest waits in the middle of its handler.
type heldRequest struct {
	tab     *visitor
	release func()
	answer  chan *visitAnswer
}

// hold starts a request and returns once it has run first. finish lets it run
// the rest.
func (v *visitor) hold(first visitStep, rest ...visitStep) *heldRequest {
	entered, release := make(chan struct{}), make(chan struct{})
	h := &heldRequest{
		tab:     v,
		release: sync.OnceFunc(func() { close(release) }),
		answer:  make(chan *visitAnswer, 1),
	}
	enter := sync.OnceFunc(func() { close(entered) })
	begin := func(ctx context.Context) error {
		err := first(ctx)
		enter()
		<-release
		return err
	}
	go func() {
		defer enter()
		h.answer <- v.do(append([]visitStep{begin}, rest...)...)
	}()
	<-entered
	return h
}

func (h *heldRequest) finish() *visitAnswer {
	h.release()
	return <-h.answer
}

// Steps.

func nothing(context.Context) error { return nil }

func setTo[T any](k session.Typed[T], to T) visitStep {
	return func(ctx context.Context) error { return k.Set(ctx, to) }
}

func load[T any](k session.Typed[T]) visitStep {
	return func(ctx context.Context) error {
		_, err := k.Get(ctx)
		return err
	}
}

// read stores what Get returns.
func read[T any](k session.Typed[T], into *T) visitStep {
	return func(ctx context.Context) (err error) {
		*into, err = k.Get(ctx)
		return err
	}
}

func remove[T any](k session.Typed[T]) visitStep {
	return func(ctx context.Context) error { return k.Delete(ctx) }
}

func increment(k session.Typed[int]) visitStep {
	return func(ctx context.Context) error {
		_, err := k.Update(ctx, func(n *int) error { *n++; return nil })
		return err
	}
}

// on calls a method of the session, as in on((*session.Session).Rotate).
func on(f func(*session.Session, context.Context) error) visitStep {
	return func(ctx context.Context) error { return f(session.FromContext(ctx), ctx) }
}

func login(owner string) visitStep {
	return func(ctx context.Context) error { return session.FromContext(ctx).Login(ctx, owner) }
}

func setExpiry(e session.Expiry) visitStep {
	return func(ctx context.Context) error { return session.FromContext(ctx).SetExpiry(ctx, e) }
}

var (
	destroy = on((*session.Session).Destroy)
	rotate  = on((*session.Session).Rotate)
	elevate = on((*session.Session).Elevate)
	empty   = on((*session.Session).Clear)
	save    = on((*session.Session).Save)
	reload  = on((*session.Session).Reload)
)

// Checks. They belong to the test's goroutine.

// stored returns a value as a new request of v sees it.
func stored[T any](v *visitor, k session.Typed[T]) (got T, ok bool) {
	v.site.t.Helper()
	a := v.do(func(ctx context.Context) (err error) {
		got, ok, err = k.Lookup(ctx)
		return err
	})
	require.NoError(v.site.t, a.err)
	require.Equal(v.site.t, http.StatusOK, a.code)
	return got, ok
}

func requireStored[T any](v *visitor, k session.Typed[T], want T) {
	v.site.t.Helper()
	got, ok := stored(v, k)
	require.True(v.site.t, ok, "%s is absent", k.Name())
	require.Equal(v.site.t, want, got, k.Name())
}

func requireAbsent[T any](v *visitor, k session.Typed[T]) {
	v.site.t.Helper()
	got, ok := stored(v, k)
	require.False(v.site.t, ok, "%s is %v", k.Name(), got)
}

// info returns the Info that a new request of v sees.
func (v *visitor) info() (i session.Info) {
	v.site.t.Helper()
	a := v.do(func(ctx context.Context) (err error) {
		i, err = session.FromContext(ctx).Info(ctx)
		return err
	})
	require.NoError(v.site.t, a.err)
	return i
}

// requirePage says that the handler's own answer was sent.
func (a *visitAnswer) requirePage(t testing.TB) {
	t.Helper()
	require.NoError(t, a.err)
	require.NoError(t, a.failed)
	require.Equal(t, http.StatusOK, a.code)
	require.Equal(t, pageBody, a.body)
}

// requireRefused says that the error handler answered, with nothing of the
// handler's and without a cookie.
func (a *visitAnswer) requireRefused(t testing.TB, code int, is error) {
	t.Helper()
	require.ErrorIs(t, a.failed, is)
	require.Equal(t, code, a.code)
	require.Equal(t, errorBody, a.body)
	require.NotContains(t, a.header, pageField)
	require.Nil(t, a.cookie, "a cookie was sent")
}

// within fails the test when f takes longer than a deadlock would be noticed.
func within(t testing.TB, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}
