package session_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// So does one that reaches the end while others change the session.
func TestEndThatAnotherRequestMovedBetweenAttempts(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) session.Expiry { return session.AtTime(time.Now().Add(d)).WithIdle(d) }
	for name, c := range map[string]struct {
		move func(q *rigRequest)
		want error
	}{
		"SetExpiry": {func(q *rigRequest) { require.NoError(q.t, q.s.SetExpiry(q.ctx, in(time.Hour))) }, nil},
		"Login": {func(q *rigRequest) {
			q.login("ada")
			require.NoError(q.t, q.s.SetExpiry(q.ctx, in(time.Hour)))
		}, session.ErrSuperseded},
		"nothing": {nil, session.ErrDestroyed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				cookie := r.request("", func(q *rigRequest) {
					q.set(rigCount, 1)
					require.NoError(t, q.s.SetExpiry(q.ctx, in(5*time.Second)))
				})
				q := r.open(cookie)
				q.get(rigCount)
				m := r.manager()
				cookie = r.requestOn(m, cookie, func(q *rigRequest) { q.set(rigCount, 10) })
				r.store.Hook(func(_ context.Context, sc *spy.Call) {
					sc.Next()
					if sc.Op != spy.Swap {
						return
					}
					r.store.Hook(nil)
					if c.move != nil {
						cookie = r.requestOn(m, cookie, c.move)
					}
					time.Sleep(6 * time.Second) // the answer, a conflict, is late
				})
				q.increment()
				_, err := q.commit()
				require.ErrorIs(t, err, c.want)
				require.NotErrorIs(t, err, session.ErrUnknown)
				if c.want == nil {
					r.requestOn(m, cookie, func(q *rigRequest) { require.Equal(t, 11, q.get(rigCount)) })
				}
			})
		})
	}
}

// A request whose own copy of the absolute end has passed asks the store before it
// says that the session has ended: another one may have moved the end.
func TestEndThatAnotherRequestMoved(t *testing.T) {
	t.Parallel()
	n := session.Key[int]("n")
	in := func(d time.Duration) session.Expiry { return session.AtTime(time.Now().Add(d)).WithIdle(d) }
	for name, c := range map[string]struct {
		move func(ctx context.Context, s *session.Session) error
		want error
	}{
		"SetExpiry": {func(ctx context.Context, s *session.Session) error { return s.SetExpiry(ctx, in(time.Hour)) }, nil},
		"Login": {func(ctx context.Context, s *session.Session) error {
			if err := s.Login(ctx, "ada"); err != nil {
				return err
			}
			return s.SetExpiry(ctx, in(time.Hour))
		}, session.ErrSuperseded},
		"Destroy": {func(ctx context.Context, s *session.Session) error { return s.Destroy(ctx) }, session.ErrDestroyed},
		"nothing": {func(context.Context, *session.Session) error { return nil }, session.ErrDestroyed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				st := memory.New()
				open := func(credentials ...string) (context.Context, *session.Session, func() (session.Ticket, error)) {
					m, err := session.NewManager(session.Config{Store: st, Lifetime: 2 * time.Hour})
					require.NoError(t, err)
					s := m.Open(session.Opening{Credentials: credentials})
					ctx := session.NewContext(t.Context(), s)
					return ctx, s, func() (session.Ticket, error) {
						ticket, err := m.Commit(ctx, s)
						require.NoError(t, m.Finish(ctx, s))
						return ticket, err
					}
				}
				ctx, s, commit := open()
				require.NoError(t, n.Set(ctx, 1))
				require.NoError(t, s.SetExpiry(ctx, in(time.Minute)))
				ticket, err := commit()
				require.NoError(t, err)

				slow, _, commitSlow := open(ticket.Credential())
				_, err = n.Get(slow)
				require.NoError(t, err)
				time.Sleep(50 * time.Second)
				other, s, commit := open(ticket.Credential())
				require.NoError(t, c.move(other, s))
				_, err = commit()
				require.NoError(t, err)
				time.Sleep(20 * time.Second)
				_, err = n.Update(slow, func(n *int) error { *n++; return nil })
				require.NoError(t, err)
				_, err = commitSlow()
				require.ErrorIs(t, err, c.want)
				if c.want == nil {
					after, _, commit := open(ticket.Credential())
					got, err := n.Get(after)
					require.NoError(t, err)
					require.Equal(t, 2, got)
					_, err = commit()
					require.NoError(t, err)
				}
			})
		})
	}
}
