package session_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// requireGone checks that the cookie opens nothing any more.
func (r *rig) requireGone(cookie string) {
	r.t.Helper()
	p := r.open(cookie)
	require.True(r.t, p.info().New)
	require.Zero(r.t, p.get(rigCount))
}

// "You are logged out" must not be answered when the session may still exist,
// also by a handler that ignores the error of Destroy.
func TestPromise6_DestroyThatFailedFailsTheRequest(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, prepare func(r *rig, cookie string)) (*rig, *rigRequest) {
		r := newRig(t)
		cookie := r.start(3)
		prepare(r, cookie)
		return r, r.open(cookie)
	}
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		_, q := begin(t, func(r *rig, cookie string) {
			r.request(cookie, func(o *rigRequest) { o.login("alice") })
		})
		require.ErrorIs(t, q.s.Destroy(q.ctx), session.ErrSuperseded)
		_, err := q.commit()
		require.ErrorIs(t, err, session.ErrSuperseded)
	})
	t.Run("not deleted", func(t *testing.T) {
		t.Parallel()
		r, q := begin(t, func(*rig, string) {})
		r.failing(spy.Delete)
		require.ErrorIs(t, q.s.Destroy(q.ctx), errRig)
		_, err := q.commit()
		require.ErrorIs(t, err, errRig)
	})
	t.Run("not loaded", func(t *testing.T) {
		t.Parallel()
		r, q := begin(t, func(*rig, string) {})
		r.failing(spy.Load)
		require.ErrorIs(t, q.s.Destroy(q.ctx), errRig)
		r.store.Hook(nil)
		require.ErrorIs(t, q.s.Destroy(q.ctx), errRig, "a failed load is remembered")
		_, err := q.commit()
		require.ErrorIs(t, err, errRig)
	})
	t.Run("out of time", func(t *testing.T) {
		t.Parallel()
		_, q := begin(t, func(*rig, string) {})
		require.ErrorIs(t, q.s.Destroy(q.ended()), context.Canceled)
		_, err := q.commit()
		require.ErrorIs(t, err, context.Canceled)
	})
}

// A logout may be tried again, whatever the first attempt failed of.
func TestDestroyCanBeRepeated(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(r *rig, q *rigRequest) error{
		"out of time before the load": func(_ *rig, q *rigRequest) error { return q.s.Destroy(q.ended()) },
		"out of time": func(_ *rig, q *rigRequest) error {
			require.Equal(q.t, 3, q.get(rigCount))
			return q.s.Destroy(q.ended())
		},
		"not deleted": func(r *rig, q *rigRequest) error {
			r.failing(spy.Delete)
			return q.s.Destroy(q.ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.start(3)
			q := r.open(cookie)
			require.Error(t, fail(r, q))
			r.store.Hook(nil)
			require.NoError(t, q.s.Destroy(q.ctx))
			ticket, err := q.commit()
			require.NoError(t, err)
			require.Equal(t, session.ActionRemove, ticket.Action())
			r.requireGone(cookie)
		})
	}
}

// A deploy that lowers a limit must not leave visitors with a session that
// answers every request with an error and cannot be left.
func TestSessionBeyondTheLimitsCanBeDestroyed(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (r *rig, small *session.Manager, cookie string) {
		r = newRig(t)
		cookie = r.request("", func(q *rigRequest) { q.set(rigCount, 3); q.set(rigOther, 3) })
		return r, r.manager(func(cfg *session.Config) { cfg.MaxKeys = 1 }), cookie
	}
	t.Run("at once", func(t *testing.T) {
		t.Parallel()
		r, small, cookie := begin(t)
		next := r.requestOn(small, cookie, func(q *rigRequest) {
			require.NoError(t, q.s.Destroy(q.ctx))
			q.set(rigOther, 1)
		})
		r.requireGone(cookie)
		require.Equal(t, 1, r.openOn(small, next).get(rigOther))
	})
	t.Run("after the error", func(t *testing.T) {
		t.Parallel()
		r, small, cookie := begin(t)
		r.requestOn(small, cookie, func(q *rigRequest) {
			var limit *session.LimitError
			_, err := rigCount.Get(q.ctx)
			require.ErrorAs(t, err, &limit)
			require.NoError(t, q.s.Destroy(q.ctx))
		})
		r.requireGone(cookie)
	})
	t.Run("not by a superseded credential", func(t *testing.T) {
		t.Parallel()
		r, small, old := begin(t)
		cookie := r.request(old, func(o *rigRequest) { o.login("alice") })
		q := r.openOn(small, old)
		require.Error(t, q.s.Destroy(q.ctx))
		require.Equal(t, 3, r.open(cookie).get(rigCount))
	})
	t.Run("not by a guess", func(t *testing.T) {
		t.Parallel()
		r, small, cookie := begin(t)
		key, _, _ := strings.Cut(cookie, ".")
		_, secret, _ := strings.Cut(r.start(1), ".")
		q := r.openOn(small, key+"."+secret)
		_ = q.s.Destroy(q.ctx)
		require.Equal(t, 3, r.open(cookie).get(rigCount))
	})
}

// The outcome of a write is unknown. While Destroy tries to end the session, and
// after it has failed, nobody else may go on with it.
func TestPromise6_DestroyUnderWayAllowsNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(3)
		q := r.open(cookie)
		q.set(rigCount, 4)
		swapped := false
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Swap && !swapped {
				swapped = true
				c.Next()
			}
			c.Err = errRig // the answer, and every later call
		})
		ctx, cancel := context.WithTimeout(q.ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, q.s.Save(ctx), session.ErrUnknown)

		gate := make(chan struct{})
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op != spy.Delete {
				c.Next()
				return
			}
			<-gate
			c.Err = errRig
		})
		destroyed := make(chan error, 1)
		go func() { destroyed <- q.s.Destroy(q.ctx) }()
		synctest.Wait()

		_, err := rigCount.Get(q.ctx)
		require.ErrorIs(t, err, session.ErrUnknown)
		_, err = q.s.Info(q.ctx)
		require.ErrorIs(t, err, session.ErrUnknown)
		require.ErrorIs(t, rigOther.Set(q.ctx, 1), session.ErrUnknown)
		require.ErrorIs(t, q.s.Save(q.ctx), session.ErrUnknown)
		committed := make(chan error, 1)
		go func() {
			_, err := q.commit()
			committed <- err
		}()
		synctest.Wait()

		close(gate)
		require.ErrorIs(t, <-destroyed, errRig)
		require.ErrorIs(t, <-committed, errRig)
		_, ok, err := rigOther.Lookup(r.open(cookie).ctx)
		require.NoError(t, err)
		require.False(t, ok)
	})
}
