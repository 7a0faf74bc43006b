package scenario_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// A cookie that opens nothing names nothing either.
func TestUnknownCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	planted := s.cookie
	s.request(s.second, func(ctx context.Context, r *session.Session) { require.NoError(t, r.Destroy(ctx)) })
	s.cookie = planted
	ticket := s.request(s.first, func(ctx context.Context, _ *session.Session) { require.NoError(t, count.Set(ctx, 1)) })
	require.Equal(t, session.ActionSet, ticket.Action())
	name := func(cookie string) string { key, _, _ := strings.Cut(cookie, "."); return key }
	require.NotEqual(t, name(planted), name(ticket.Credential()))
}

// Who only comes back gets no cookie: it could overtake a newer one.
func TestNoCookieWithoutNeed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	ticket := s.request(s.first, func(ctx context.Context, _ *session.Session) {
		_, err := count.Update(ctx, addOne)
		require.NoError(t, err)
	})
	require.Equal(t, session.ActionNone, ticket.Action())
}

// A login that has begun when all sessions of its owner are revoked is refused.
func TestRevokedDuringALogin(t *testing.T) {
	t.Parallel()
	m, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
	s := &site{t: t, first: m, second: m}
	s.begin()
	ctx, r := open(t, m, s.cookie)
	require.NoError(t, r.Login(ctx, "ada"))
	require.NoError(t, m.RevokeOwner(t.Context(), "ada"))
	_, err = s.end(ctx, m, r)
	require.ErrorIs(t, err, session.ErrDestroyed)
}

// Neither activity nor rotation moves the absolute end of a session.
func TestAbsoluteEnd(t *testing.T) {
	t.Parallel()
	for name, visit := range map[string]func(ctx context.Context, r *session.Session) error{
		"activity": func(ctx context.Context, _ *session.Session) error { _, err := count.Get(ctx); return err },
		"changes":  func(ctx context.Context, _ *session.Session) error { _, err := count.Update(ctx, addOne); return err },
		"rotation": func(ctx context.Context, r *session.Session) error { return r.Rotate(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.begin()
				for end := time.Now().Add(session.DefaultLifetime); time.Now().Before(end); time.Sleep(30 * time.Minute) {
					s.request(s.first, func(ctx context.Context, r *session.Session) { require.NoError(t, visit(ctx, r)) })
				}
				s.request(s.first, func(ctx context.Context, _ *session.Session) {
					_, found, err := count.Lookup(ctx)
					require.NoError(t, err)
					require.False(t, found)
				})
			})
		})
	}
}
