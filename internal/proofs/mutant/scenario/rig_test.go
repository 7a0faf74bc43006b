package scenario_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// errLost is what a driver says when the connection breaks.
var errLost = errors.New("connection reset")

// site is a store with two nodes: what the second one does comes between two steps of
// the first one.
type site struct {
	t      testing.TB
	tap    *spy.Store // the first node's
	first  *session.Manager
	second *session.Manager
	cookie string // of the one visitor
}

func newSite(t testing.TB) *site {
	t.Helper()
	records := memory.New()
	s := &site{t: t, tap: spy.Wrap(records)}
	var err error
	s.first, err = session.NewManager(session.Config{Store: s.tap})
	require.NoError(t, err)
	s.second, err = session.NewManager(session.Config{Store: records})
	require.NoError(t, err)
	return s
}

// open begins a request.
func open(t testing.TB, m *session.Manager, cookie string) (context.Context, *session.Session) {
	t.Helper()
	s := m.Open(session.Opening{Credentials: []string{cookie}})
	return session.NewContext(t.Context(), s), s
}

// end commits a request, and keeps its cookie as a browser does.
func (s *site) end(ctx context.Context, m *session.Manager, r *session.Session) (session.Ticket, error) {
	s.t.Helper()
	ticket, err := m.Commit(ctx, r)
	switch ticket.Action() {
	case session.ActionSet:
		s.cookie = ticket.Credential()
	case session.ActionRemove:
		s.cookie = ""
	}
	require.NoError(s.t, m.Finish(ctx, r))
	return ticket, err
}

// request makes a request that is committed.
func (s *site) request(m *session.Manager, do func(ctx context.Context, r *session.Session)) session.Ticket {
	s.t.Helper()
	ctx, r := open(s.t, m, s.cookie)
	do(ctx, r)
	ticket, err := s.end(ctx, m, r)
	require.NoError(s.t, err)
	return ticket
}

// begin gives the visitor a session.
func (s *site) begin() {
	s.t.Helper()
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		require.NoError(s.t, count.Set(ctx, 0))
	})
}

var count = session.Key[int]("count")

func addOne(n *int) error {
	*n++
	return nil
}

// once calls f at the first call of an operation, and makes later ones as usual.
func once(op spy.Op, f func(c *spy.Call)) spy.Hook {
	done := false
	return func(_ context.Context, c *spy.Call) {
		if c.Op != op || done {
			c.Next()
			return
		}
		done = true
		f(c)
	}
}
