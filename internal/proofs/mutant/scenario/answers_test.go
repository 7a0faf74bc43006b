package scenario_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// The answer of a commit is lost, and somebody else commits before the request finds
// out that its own was done. It reports its own value, not the other one's.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	var other int
	s.tap.Hook(once(spy.Swap, func(c *spy.Call) {
		c.Next()
		c.Record, c.Err = store.Record{}, errLost
		s.request(s.second, func(ctx context.Context, r *session.Session) {
			_, err := count.Update(ctx, addOne)
			require.NoError(t, err)
			require.NoError(t, r.Save(ctx))
			other, err = count.Get(ctx)
			require.NoError(t, err)
		})
	}))
	s.request(s.first, func(ctx context.Context, r *session.Session) {
		_, err := count.Update(ctx, addOne)
		require.NoError(t, err)
		require.NoError(t, r.Save(ctx))
		mine, err := count.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, []int{mine, other})
	})
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		n, err := count.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, 2, n, "each counts once")
	})
}

// The answer is lost, and the session destroyed before the request looks: the commit
// was perhaps visible.
func TestLostAnswerOfASessionThatIsGone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	cookie := s.cookie
	s.tap.Hook(once(spy.Swap, func(c *spy.Call) {
		c.Next()
		c.Record, c.Err = store.Record{}, errLost
		s.request(s.second, func(ctx context.Context, r *session.Session) {
			n, err := count.Get(ctx)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			require.NoError(t, r.Destroy(ctx))
		})
	}))
	ctx, r := open(t, s.first, cookie)
	_, err := count.Update(ctx, addOne)
	require.NoError(t, err)
	err = r.Save(ctx)
	require.ErrorIs(t, err, session.ErrDestroyed)
	require.ErrorIs(t, err, session.ErrUnknown, "somebody has seen it")
}

// What a request does after an unknown outcome is not reported as saved.
func TestUnknownOutcomeIsTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	ctx, r := open(t, s.first, s.cookie)
	_, err := count.Update(ctx, addOne)
	require.NoError(t, err)
	s.tap.Hook(func(_ context.Context, c *spy.Call) {
		if c.Op == spy.Swap {
			c.Next()
		}
		c.Record, c.Err = store.Record{}, errLost
	})
	require.ErrorIs(t, r.Save(ctx), session.ErrUnknown)
	s.tap.Hook(nil)
	if _, err = count.Update(ctx, addOne); err == nil {
		err = r.Save(ctx)
	}
	var n int
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		n, _ = count.Get(ctx)
	})
	require.False(t, err == nil && n < 2, "two were acknowledged, %d counted", n)
}

// A load that fails is an error, and no empty session.
func TestLoadFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	s.tap.Hook(func(_ context.Context, c *spy.Call) { c.Err = errLost })
	ctx, r := open(t, s.first, s.cookie)
	_, found, err := count.Lookup(ctx)
	require.ErrorIs(t, err, errLost)
	require.False(t, found)
	_, err = s.first.Commit(ctx, r)
	require.ErrorIs(t, err, errLost)
}

// A client that goes away does not take its changes along.
func TestClientGoesAway(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	ctx, r := open(t, s.first, s.cookie)
	_, err := count.Update(ctx, addOne)
	require.NoError(t, err)
	gone, leave := context.WithCancel(ctx)
	leave()
	_, err = s.first.Commit(gone, r)
	require.NoError(t, err)
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		n, err := count.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, 1, n)
	})
}

// A session whose deletion fails is not reported as logged out.
func TestLogoutFails(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	s.tap.Hook(func(_ context.Context, c *spy.Call) {
		if c.Op == spy.Delete {
			c.Err = errLost
			return
		}
		c.Next()
	})
	ctx, r := open(t, s.first, s.cookie)
	require.ErrorIs(t, r.Destroy(ctx), errLost)
	ticket, err := s.end(ctx, s.first, r)
	require.ErrorIs(t, err, errLost)
	require.Equal(t, session.ActionNone, ticket.Action())
}
