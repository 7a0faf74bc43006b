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

var counter = session.Key[int]("counter")

func expiry(e session.Expiry) func(*session.Config) {
	return func(cfg *session.Config) { cfg.Expiry = e }
}

// started returns a visitor whose session has just begun.
func started(t *testing.T, change ...func(*session.Config)) *visitor {
	t.Helper()
	vis := newVisitor(t, newManager(t, change...))
	vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
	return vis
}

// alive reads the session and so keeps it alive.
func (v *visitor) alive() bool {
	v.t.Helper()
	found := false
	v.request(func(ctx context.Context) {
		var err error
		_, found, err = counter.Lookup(ctx)
		require.NoError(v.t, err)
	})
	return found
}

// TestIdleLimit is promise 8, to the millisecond: a session that nobody reads
// ends, one that is read goes on.
func TestIdleLimit(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]session.Expiry{
		"default":       {},
		"on inactivity": session.OnInactivity(10 * time.Minute),
		"with idle":     session.OnSessionEnd().WithIdle(1500 * time.Millisecond),
		"at time":       session.AtTime(time.Date(2000, 1, 1, 5, 0, 0, 0, time.UTC)).WithIdle(time.Minute),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				vis := started(t, expiry(e))
				info := vis.info()
				idle := time.Until(info.Expires)
				time.Sleep(idle - time.Millisecond)
				require.True(t, vis.alive(), "one millisecond before the end")
				time.Sleep(idle - time.Millisecond)
				require.True(t, vis.alive(), "the read before has lengthened it")
				time.Sleep(idle)
				require.False(t, vis.alive(), "not used for %v", idle)
			})
		})
	}
}

func TestIdleBelowAMillisecondIsRoundedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t, expiry(session.OnInactivity(1999*time.Microsecond)))
		require.Equal(t, time.Millisecond, time.Until(vis.info().Expires))
	})
}

// TestLifetime is promise 8: activity does not move the absolute end.
func TestLifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t, in(3*time.Hour))
		begun := time.Now()
		for time.Since(begun) < 3*time.Hour-time.Minute {
			require.True(t, vis.alive())
			require.LessOrEqual(t, vis.info().Expires.Sub(begun), 3*time.Hour)
			time.Sleep(time.Minute)
		}
		vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 2)) })
		time.Sleep(time.Minute - time.Millisecond)
		require.True(t, vis.alive())
		time.Sleep(time.Millisecond)
		require.False(t, vis.alive(), "written a minute ago, and over")
	})
}

// TestLoginStartsALifetime, as only a login does.
func TestLoginStartsALifetime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t, expiry(session.OnInactivity(23*time.Hour)))
		created := time.Now()
		for name, verb := range map[string]func(s *session.Session, ctx context.Context) error{
			"rotate":  (*session.Session).Rotate,
			"elevate": (*session.Session).Elevate,
			"clear":   (*session.Session).Clear,
			"save":    (*session.Session).Save,
		} {
			time.Sleep(2 * time.Hour)
			ticket := vis.request(func(ctx context.Context) { require.NoError(t, verb(session.FromContext(ctx), ctx), name) })
			if ticket.Action() == session.ActionSet {
				require.True(t, created.Add(24*time.Hour).Equal(ticket.Expires()), name)
			}
		}
		vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
		require.Equal(t, 16*time.Hour, time.Until(vis.info().Expires))
		loggedIn := time.Now()
		ticket := vis.request(func(ctx context.Context) { require.NoError(t, session.FromContext(ctx).Login(ctx, "ann")) })
		require.Equal(t, 24*time.Hour, time.Until(ticket.Expires()))
		info := vis.info()
		require.True(t, info.LoggedIn.Equal(loggedIn))
		require.True(t, info.Created.Equal(created))
	})
}

// TestEndAtATime: no activity matters, neither more nor less.
func TestEndAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(20 * time.Hour)
		vis := newVisitor(t, newManager(t, expiry(session.AtTime(end))))
		ticket := vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
		require.True(t, ticket.Persistent())
		require.True(t, ticket.Expires().Equal(end))
		require.True(t, vis.info().Expires.Equal(end))
		time.Sleep(20*time.Hour - time.Millisecond)
		require.True(t, vis.alive())
		time.Sleep(time.Millisecond)
		require.False(t, vis.alive())

		// The end of the Config has passed: there can be no new sessions.
		_, err := vis.try(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
		var config *session.ConfigError
		require.ErrorAs(t, err, &config)
		require.ErrorContains(t, err, "Expiry")
	})
}

func TestTicketOfEachExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		end := time.Now().Add(time.Hour)
		for _, test := range []struct {
			e          session.Expiry
			persistent bool
			after      time.Duration
		}{
			{session.Expiry{}, false, 24 * time.Hour},
			{session.OnSessionEnd().WithIdle(time.Minute), false, 24 * time.Hour},
			{session.OnInactivity(time.Minute), true, 24 * time.Hour},
			{session.AtTime(end), true, time.Hour},
			{session.AtTime(end).WithIdle(time.Minute), true, time.Hour},
		} {
			vis := newVisitor(t, newManager(t, expiry(test.e)))
			ticket := vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
			require.Equal(t, session.ActionSet, ticket.Action(), "%v", test.e)
			require.Equal(t, test.persistent, ticket.Persistent(), "%v", test.e)
			require.Equal(t, test.after, time.Until(ticket.Expires()), "%v: the cookie follows the absolute end", test.e)
		}
	})
}

// TestTouchIsThrottled: reads keep a session alive, at most one write a minute, or
// a tenth of the limit where that is less.
func TestTouchIsThrottled(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ idle, every time.Duration }{
		"an hour":     {time.Hour, time.Minute},
		"ten minutes": {10 * time.Minute, time.Minute},
		"a minute":    {time.Minute, 6 * time.Second},
		"five ms":     {5 * time.Millisecond, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := spy.Wrap(memory.New())
				vis := started(t, on(s), expiry(session.OnInactivity(test.idle)))
				require.True(t, vis.alive())
				s.Calls()
				if test.every > time.Millisecond {
					time.Sleep(test.every - time.Millisecond)
					require.True(t, vis.alive())
					require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "too soon")
				}
				time.Sleep(time.Millisecond)
				require.True(t, vis.alive())
				require.Equal(t, []spy.Op{spy.Load, spy.Touch}, s.Calls())
				require.True(t, vis.alive())
				require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "it has just been touched")
				require.Equal(t, test.idle, time.Until(vis.info().Expires))
			})
		})
	}
}

func TestNoTouch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := spy.Wrap(memory.New())
		fixed := started(t, on(s), expiry(session.AtTime(time.Now().Add(20*time.Hour))))
		idle := started(t, on(s), in(2*time.Hour))
		time.Sleep(50 * time.Minute)
		s.Calls()
		require.True(t, fixed.alive())
		require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "no limit of inactivity")
		idle.request(func(context.Context) {})
		require.Empty(t, s.Calls(), "a request that does not use the session")
		idle.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 5)) })
		require.Equal(t, []spy.Op{spy.Load, spy.Swap}, s.Calls(), "a write lengthens by itself")
		time.Sleep(50 * time.Minute)
		require.True(t, idle.alive())
		require.Equal(t, []spy.Op{spy.Load, spy.Touch}, s.Calls())
		time.Sleep(15 * time.Minute)
		require.True(t, idle.alive())
		require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "the absolute end cannot be moved")
		require.Equal(t, 5*time.Minute, time.Until(idle.info().Expires))

		failed := started(t, on(s))
		time.Sleep(30 * time.Minute)
		s.Calls()
		ctx, sess := failed.open()
		require.Equal(t, 1, counter.Value(ctx))
		_, err := failed.m.Discard(ctx, sess)
		require.NoError(t, err)
		require.NoError(t, failed.m.Finish(ctx, sess))
		require.Equal(t, []spy.Op{spy.Load}, s.Calls(), "an error response")
	})
}

// TestEndDuringARequest: what has ended is not written to, and not revived.
func TestEndDuringARequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		vis := started(t)
		_, err := vis.try(func(ctx context.Context) {
			require.NoError(t, counter.Set(ctx, 2))
			time.Sleep(time.Hour)
		})
		require.ErrorIs(t, err, session.ErrDestroyed)
		require.False(t, vis.alive())
		require.False(t, vis.alive())
	})
}
