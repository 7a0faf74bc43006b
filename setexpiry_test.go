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

func (v *visitor) setExpiry(e session.Expiry) session.Ticket {
	v.t.Helper()
	return v.request(func(ctx context.Context) {
		require.NoError(v.t, session.FromContext(ctx).SetExpiry(ctx, e))
	})
}

// TestSetExpiryIsKept over commits, rotations and logins, shorter or longer than
// before, and its cookie is sent only where it changes.
func TestSetExpiryIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t)
		begun := time.Now()
		at := begun.Add(5*time.Hour + 7*time.Millisecond)
		for _, step := range []struct {
			e          session.Expiry
			action     session.Action
			persistent bool
			expires    time.Duration // of the session
			end        time.Duration // of the cookie
		}{
			{session.OnSessionEnd(), session.ActionNone, false, time.Hour, 0},
			{session.OnSessionEnd().WithIdle(5 * time.Minute), session.ActionNone, false, 5 * time.Minute, 0},
			{session.OnSessionEnd().WithIdle(10 * time.Hour), session.ActionNone, false, 10 * time.Hour, 0},
			{session.OnInactivity(time.Hour), session.ActionSet, true, time.Hour, 24 * time.Hour},
			{session.OnInactivity(2 * time.Hour), session.ActionNone, false, 2 * time.Hour, 0},
			{session.OnInactivity(2 * time.Hour), session.ActionNone, false, 2 * time.Hour, 0},
			{session.AtTime(at), session.ActionSet, true, at.Sub(begun), at.Sub(begun)},
			{session.AtTime(at).WithIdle(time.Minute), session.ActionNone, false, time.Minute, 0},
			{session.AtTime(at.Add(time.Hour)), session.ActionSet, true, at.Sub(begun) + time.Hour, at.Sub(begun) + time.Hour},
			{session.AtTime(begun.Add(24 * time.Hour)), session.ActionSet, true, 24 * time.Hour, 24 * time.Hour},
			{session.Expiry{}, session.ActionSet, false, time.Hour, 24 * time.Hour},
		} {
			ticket := vis.setExpiry(step.e)
			require.Equal(t, step.action, ticket.Action(), "%v", step.e)
			require.Equal(t, step.persistent, ticket.Persistent(), "%v", step.e)
			if step.action == session.ActionSet {
				require.Equal(t, step.end, time.Until(ticket.Expires()), "%v", step.e)
			}
			want := step.e
			if want == (session.Expiry{}) {
				want = session.OnSessionEnd()
			}
			for name, f := range map[string]func(ctx context.Context) error{
				"write": func(ctx context.Context) error {
					_, err := counter.Update(ctx, func(n *int) error { *n++; return nil })
					return err
				},
				"read":   func(ctx context.Context) error { _, err := counter.Get(ctx); return err },
				"clear":  func(ctx context.Context) error { return session.FromContext(ctx).Clear(ctx) },
				"rotate": func(ctx context.Context) error { return session.FromContext(ctx).Elevate(ctx) },
			} {
				vis.request(func(ctx context.Context) { require.NoError(t, f(ctx), name) })
				info := vis.info()
				require.Equal(t, want, info.Expiry, "%s after %v", name, step.e)
				require.Equal(t, step.expires, time.Until(info.Expires), "%s after %v", name, step.e)
			}
		}
		vis.setExpiry(session.OnInactivity(time.Minute))
		vis.request(func(ctx context.Context) { require.NoError(t, session.FromContext(ctx).Login(ctx, "ann")) })
		require.Equal(t, session.OnInactivity(time.Minute), vis.info().Expiry)
	})
}

func TestSetExpiryTakesEffect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		short, long := started(t), started(t)
		short.setExpiry(session.OnSessionEnd().WithIdle(time.Minute))
		time.Sleep(time.Minute)
		require.False(t, short.alive(), "lowered")
		long.setExpiry(session.OnInactivity(20 * time.Hour))
		time.Sleep(20*time.Hour - time.Millisecond)
		require.True(t, long.alive(), "raised")

		fixed := started(t)
		fixed.setExpiry(session.AtTime(time.Now().Add(90 * time.Minute)))
		time.Sleep(90*time.Minute - time.Millisecond)
		require.True(t, fixed.alive())
		time.Sleep(time.Millisecond)
		require.False(t, fixed.alive())
	})
}

func TestSetExpiryThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := spy.Wrap(memory.New())
		vis := started(t, on(s), in(10*time.Hour))
		begun := time.Now()
		time.Sleep(4 * time.Minute)
		fresh := newVisitor(t, vis.m)
		for says, e := range map[string]session.Expiry{
			"is not in the future":                  session.AtTime(time.Now()),
			"the end 1999-12-31T23":                 session.AtTime(begun.Add(-time.Hour)),
			"which ends at 2000-01-01T10:0":         session.AtTime(begun.Add(10*time.Hour + 5*time.Minute)),
			"at least a millisecond":                session.OnInactivity(0),
			"beyond the lifetime of 10h0m0s":        session.OnInactivity(11 * time.Hour),
			"inactivity limit of 10h0m0.001s is be": session.OnSessionEnd().WithIdle(10*time.Hour + time.Millisecond),
		} {
			for _, v := range []*visitor{vis, fresh} {
				v.request(func(ctx context.Context) {
					err := session.FromContext(ctx).SetExpiry(ctx, e)
					var config *session.ConfigError
					require.ErrorAs(t, err, &config, "%v", e)
					require.ErrorContains(t, err, says)
				})
			}
		}
		// The end of a stored session is its own, not that of one begun now.
		within := session.AtTime(begun.Add(10 * time.Hour))
		vis.setExpiry(within)
		vis.request(func(ctx context.Context) {
			require.Error(t, session.FromContext(ctx).SetExpiry(ctx, session.AtTime(begun.Add(10*time.Hour+time.Millisecond))))
		})
		require.Equal(t, within, vis.info().Expiry, "what was refused changes nothing")
		require.Empty(t, fresh.cookie)

		// A pending login moves it.
		later := session.AtTime(time.Now().Add(10 * time.Hour))
		vis.request(func(ctx context.Context) {
			require.NoError(t, session.FromContext(ctx).Login(ctx, "ann"))
			require.NoError(t, session.FromContext(ctx).SetExpiry(ctx, later))
		})
		require.Equal(t, later, vis.info().Expiry)
		require.Equal(t, 10*time.Hour, time.Until(vis.info().Expires))
	})
}

func TestSetExpiryOfANewSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := newVisitor(t, newManager(t))
		ticket := vis.setExpiry(session.OnInactivity(2 * time.Hour))
		require.Equal(t, session.ActionNone, ticket.Action(), "nothing to store")
		require.True(t, vis.info().New)
		ticket = vis.request(func(ctx context.Context) {
			require.NoError(t, session.FromContext(ctx).SetExpiry(ctx, session.OnInactivity(2*time.Hour)))
			require.NoError(t, counter.Set(ctx, 1))
		})
		require.True(t, ticket.Persistent())
		require.Equal(t, 24*time.Hour, time.Until(ticket.Expires()))
		require.Equal(t, 2*time.Hour, time.Until(vis.info().Expires))
	})
}

func TestSetExpiryToWhatItIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := spy.Wrap(memory.New())
		for _, e := range []session.Expiry{{}, session.OnInactivity(time.Minute), session.AtTime(time.Now().Add(time.Hour)).WithIdle(time.Minute)} {
			vis := started(t, on(s), expiry(e))
			s.Calls()
			vis.setExpiry(e)
			require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "%v: no change is no write", e)
		}
	})
}

func TestSetExpiryAfterTheFirstByte(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t)
		ctx, s := vis.open()
		require.Equal(t, 1, counter.Value(ctx))
		_, err := vis.m.Commit(ctx, s)
		require.NoError(t, err)
		require.ErrorIs(t, s.SetExpiry(ctx, session.OnInactivity(time.Hour)), session.ErrHeadersSent, "it needs a cookie")
		require.NoError(t, s.SetExpiry(ctx, session.OnSessionEnd().WithIdle(time.Minute)))
		require.NoError(t, vis.m.Finish(ctx, s))
		require.Equal(t, time.Minute, time.Until(vis.info().Expires))
	})
}

// TestInfo follows one session through its life.
func TestInfo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := newVisitor(t, newManager(t))
		fresh := session.Info{New: true, Expires: time.Now().Add(time.Hour), Expiry: session.OnSessionEnd()}
		require.Equal(t, fresh, vis.info())

		begun := time.Now()
		vis.request(func(ctx context.Context) {
			s := session.FromContext(ctx)
			require.NoError(t, counter.Set(ctx, 1))
			info, err := s.Info(ctx)
			require.NoError(t, err)
			require.Equal(t, fresh, info, "not stored yet")
			require.NoError(t, s.Save(ctx))
			info, err = s.Info(ctx)
			require.NoError(t, err)
			require.False(t, info.New)
			require.NotEmpty(t, info.ID)
			require.Equal(t, begun, info.Created.In(begun.Location()))
		})
		id := vis.info().ID
		require.Len(t, id, 43)
		require.NotContains(t, vis.cookie, id)

		time.Sleep(10 * time.Minute)
		vis.request(func(ctx context.Context) {
			s := session.FromContext(ctx)
			require.NoError(t, s.Login(ctx, "ann"))
			info, err := s.Info(ctx)
			require.NoError(t, err)
			require.Equal(t, "ann", info.Owner, "the pending login shows")
			require.Zero(t, info.LoggedIn, "and is set by the commit")
			require.NoError(t, s.SetExpiry(ctx, session.OnInactivity(2*time.Hour)))
			info, err = s.Info(ctx)
			require.NoError(t, err)
			require.Equal(t, session.OnInactivity(2*time.Hour), info.Expiry)
		})
		info := vis.info()
		require.Equal(t, id, info.ID, "for the life of the session")
		require.Equal(t, "ann", info.Owner)
		require.True(t, info.Created.Equal(begun))
		require.True(t, info.LoggedIn.Equal(time.Now()))
		require.Equal(t, 2*time.Hour, time.Until(info.Expires))

		time.Sleep(time.Hour)
		require.Equal(t, time.Hour, time.Until(vis.info().Expires), "as it was loaded; asking counts as a read")
		require.Equal(t, 2*time.Hour, time.Until(vis.info().Expires))

		vis.request(func(ctx context.Context) {
			s := session.FromContext(ctx)
			require.NoError(t, s.Destroy(ctx))
			info, err := s.Info(ctx)
			require.NoError(t, err)
			require.True(t, info.New)
			require.Empty(t, info.ID)
			require.Empty(t, info.Owner)
			require.Zero(t, info.Created)
		})
		require.Empty(t, vis.cookie)
	})
}
