// Package sessiontest makes sessions for the tests of programs that use them. A
// handler, or anything else that takes a context, gets one that holds a session:
//
//	ctx := sessiontest.Context(t, sessiontest.With(Counter, 41))
//	handler(recorder, request.WithContext(ctx))
//	sessiontest.Commit(t, ctx)
//	n, ok := sessiontest.Committed(t, ctx, Counter) // 42, true
//
// No middleware takes part, so the test commits where the middleware would: not
// after a status of 500 or more, which drops the changes of a request. All
// is done by a [session.Manager] on a store in memory: conflicts, limits and
// validation are those of the program.
package sessiontest

import (
	"context"
	"sync"
	"testing"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// Option changes what [Context] makes.
type Option func(*config)

type config struct {
	parent  context.Context //nolint:containedctx // handed on, not kept
	manager *session.Manager
	cfg     session.Config
	owner   string
	presets []func(ctx context.Context) error
}

// With presets a value: an earlier request of the visitor has stored it. For a
// Struct these are the fields of v.
func With[T any](k session.Typed[T], v T) Option {
	return func(c *config) {
		c.presets = append(c.presets, func(ctx context.Context) error { return k.Set(ctx, v) })
	}
}

// WithOwner makes the session that of a visitor who has logged in as owner.
func WithOwner(owner string) Option { return func(c *config) { c.owner = owner } }

// WithConfig makes the session one of a manager with this configuration, for
// scopes, limits, codecs and validators. Its Store is memory unless it names one.
func WithConfig(cfg session.Config) Option { return func(c *config) { c.cfg = cfg } }

// WithManager makes the session one of m, for programs that need their own. Then
// [WithConfig] is not looked at.
func WithManager(m *session.Manager) Option { return func(c *config) { c.manager = m } }

// WithParent makes the context a child of parent, which may carry what a router
// or another middleware adds. The default is the context of the test.
func WithParent(parent context.Context) Option { return func(c *config) { c.parent = parent } }

// Context returns a context with the session of a request that has just begun.
// Without presets it is that of a new visitor. The test fails if the session cannot
// be made: also when the program's declarations have problems, which NewManager
// reports. The session is closed when the test ends.
func Context(t testing.TB, options ...Option) context.Context {
	t.Helper()
	c := config{parent: t.Context()}
	for _, o := range options {
		o(&c)
	}
	v := &visitor{manager: c.manager}
	if v.manager == nil {
		if c.cfg.Store == nil {
			c.cfg.Store = memory.New()
		}
		var err error
		if v.manager, err = session.NewManager(c.cfg); err != nil {
			t.Fatalf("sessiontest: %v", err)
		}
	}
	if c.owner == "" && len(c.presets) == 0 {
		return v.open(t, c.parent)
	}
	first := v.open(t, c.parent)
	if c.owner != "" {
		if err := v.session(first).Login(first, c.owner); err != nil {
			t.Fatalf("sessiontest: login as %q: %v", c.owner, err)
		}
	}
	for _, preset := range c.presets {
		if err := preset(first); err != nil {
			t.Fatalf("sessiontest: preset: %v", err)
		}
	}
	Commit(t, first)
	return v.open(t, c.parent)
}

// visitor is who the sessions of one Context belong to.
type visitor struct {
	manager *session.Manager

	mu         sync.Mutex
	credential string // what the cookie holds
}

type visitorKey struct{}

// open begins a request of v.
func (v *visitor) open(t testing.TB, parent context.Context) context.Context {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.manager.Open(session.Opening{Credentials: []string{v.credential}})
	ctx := session.NewContext(context.WithValue(parent, visitorKey{}, v), s)
	t.Cleanup(func() { _ = v.manager.Finish(context.WithoutCancel(ctx), s) })
	return ctx
}

func (v *visitor) session(ctx context.Context) *session.Session {
	s, _ := v.manager.Session(ctx)
	return s
}

func visitorOf(t testing.TB, ctx context.Context) *visitor {
	t.Helper()
	v, ok := ctx.Value(visitorKey{}).(*visitor)
	if !ok {
		t.Fatal("sessiontest: this context was not made by sessiontest.Context")
	}
	return v
}

// TryCommit commits what the request of ctx has changed so far, as the middleware
// does before the first byte of a response, and returns what it would have answered
// with an error page.
func TryCommit(t testing.TB, ctx context.Context) error {
	t.Helper()
	v := visitorOf(t, ctx)
	ticket, err := v.manager.Commit(ctx, v.session(ctx))
	v.mu.Lock()
	defer v.mu.Unlock()
	switch ticket.Action() {
	case session.ActionSet:
		v.credential = ticket.Credential()
	case session.ActionRemove:
		v.credential = ""
	}
	return err
}

// Commit is TryCommit where the commit must not fail.
func Commit(t testing.TB, ctx context.Context) {
	t.Helper()
	if err := TryCommit(t, ctx); err != nil {
		t.Fatalf("sessiontest: commit: %v", err)
	}
}

// Committed returns what is stored under k: what the visitor's next request will
// read. What the request of ctx has not committed is not seen.
func Committed[T any](t testing.TB, ctx context.Context, k session.Typed[T]) (v T, ok bool) {
	t.Helper()
	v, ok, err := k.Lookup(Another(t, ctx))
	if err != nil {
		t.Fatalf("sessiontest: %v", err)
	}
	return v, ok
}

// Another returns a context with one more request of the visitor: the next one,
// or, while the request of ctx has not been committed, one at the same time. It
// carries the cookie that the last commit has left; before the first it is a
// visitor of its own.
func Another(t testing.TB, ctx context.Context) context.Context {
	t.Helper()
	v := visitorOf(t, ctx)
	return v.open(t, ctx)
}
