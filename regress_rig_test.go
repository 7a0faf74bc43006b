package session_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

var (
	rigCount = session.Key[int]("rig.count")
	rigOther = session.Key[int]("rig.other")
	rigThird = session.Key[int]("rig.third")
	rigText  = session.Key[string]("rig.text")

	errRig = errors.New("broken by the test")
)

// rig is a manager on a store that a test can watch and break. Its requests are
// made without HTTP, several at a time.
type rig struct {
	t     testing.TB
	m     *session.Manager
	store *spy.Store
	inner store.Store // without the spy
}

func newRig(t testing.TB) *rig {
	t.Helper()
	inner := memory.New()
	r := &rig{t: t, store: spy.Wrap(inner), inner: inner}
	r.m = r.manager()
	return r
}

// manager returns one more manager on the same store, as on another node.
func (r *rig) manager(change ...func(*session.Config)) *session.Manager {
	r.t.Helper()
	cfg := session.Config{Store: r.store}
	for _, f := range change {
		f(&cfg)
	}
	m, err := session.NewManager(cfg)
	require.NoError(r.t, err)
	return m
}

// rigRequest is one request: the session and the context of its handler.
type rigRequest struct {
	t   testing.TB
	m   *session.Manager
	s   *session.Session
	ctx context.Context
}

// open begins a request that carries a cookie; an empty one is none.
func (r *rig) open(cookie string) *rigRequest { return r.openOn(r.m, cookie) }

func (r *rig) openOn(m *session.Manager, cookie string) *rigRequest {
	s := m.Open(session.Opening{Credentials: []string{cookie}, Fresh: true})
	return &rigRequest{t: r.t, m: m, s: s, ctx: session.NewContext(r.t.Context(), s)}
}

func (q *rigRequest) commit() (session.Ticket, error) { return q.m.Commit(q.ctx, q.s) }

// end is what a transport does when all goes well. It returns the cookie that
// goes out, empty for none.
func (q *rigRequest) end() (cookie string) {
	q.t.Helper()
	ticket, err := q.commit()
	require.NoError(q.t, err)
	require.NoError(q.t, q.m.Finish(q.ctx, q.s))
	return ticket.Credential()
}

func (q *rigRequest) set(k session.Typed[int], n int) {
	q.t.Helper()
	require.NoError(q.t, k.Set(q.ctx, n))
}

func (q *rigRequest) write(text string) {
	q.t.Helper()
	require.NoError(q.t, rigText.Set(q.ctx, text))
}

func (q *rigRequest) login(owner string) {
	q.t.Helper()
	require.NoError(q.t, q.s.Login(q.ctx, owner))
}

func (q *rigRequest) save() {
	q.t.Helper()
	require.NoError(q.t, q.s.Save(q.ctx))
}

// increment adds one to rigCount and returns the result.
func (q *rigRequest) increment() int {
	q.t.Helper()
	n, err := rigCount.Update(q.ctx, func(n *int) error { *n++; return nil })
	require.NoError(q.t, err)
	return n
}

func (q *rigRequest) get(k session.Typed[int]) int {
	q.t.Helper()
	n, err := k.Get(q.ctx)
	require.NoError(q.t, err)
	return n
}

func (q *rigRequest) text() string {
	q.t.Helper()
	text, err := rigText.Get(q.ctx)
	require.NoError(q.t, err)
	return text
}

func (q *rigRequest) info() session.Info {
	q.t.Helper()
	info, err := q.s.Info(q.ctx)
	require.NoError(q.t, err)
	return info
}

// request makes one request from its beginning to its end. It returns the
// cookie the visitor has then.
func (r *rig) request(cookie string, f func(q *rigRequest)) string {
	r.t.Helper()
	return r.requestOn(r.m, cookie, f)
}

func (r *rig) requestOn(m *session.Manager, cookie string, f func(q *rigRequest)) string {
	r.t.Helper()
	q := r.openOn(m, cookie)
	f(q)
	if sent := q.end(); sent != "" {
		return sent
	}
	return cookie
}

// start returns the cookie of a session that holds n in rigCount.
func (r *rig) start(n int) string {
	r.t.Helper()
	return r.request("", func(q *rigRequest) { q.set(rigCount, n) })
}

// beforeSwap lets a request of another node through just before the next swap.
func (r *rig) beforeSwap(cookie string, f func(q *rigRequest)) {
	m := r.manager()
	r.store.Hook(func(_ context.Context, c *spy.Call) {
		if c.Op == spy.Swap {
			r.store.Hook(nil)
			r.requestOn(m, cookie, f)
		}
		c.Next()
	})
}

// failing makes every call of one method fail.
func (r *rig) failing(op spy.Op) {
	r.store.Hook(func(_ context.Context, c *spy.Call) {
		if c.Op == op {
			c.Err = errRig
			return
		}
		c.Next()
	})
}

// stuck makes every call of the store wait for the function it returns.
func (r *rig) stuck() (release func()) {
	gate := make(chan struct{})
	r.store.Hook(func(_ context.Context, c *spy.Call) {
		<-gate
		c.Next()
	})
	return func() { close(gate) }
}

// ended returns a context of q that has ended.
func (q *rigRequest) ended() context.Context {
	ctx, cancel := context.WithCancel(q.ctx)
	cancel()
	return ctx
}
