package session_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// indexed is a spy with an owner index, whose calls it does not see.
type indexed struct {
	*spy.Store
	store.OwnerIndex
}

func newIndexed() indexed {
	inner := memory.New()
	return indexed{spy.Wrap(inner), inner}
}

func loginIn(t testing.TB, ctx context.Context, owner string) {
	t.Helper()
	require.NoError(t, session.FromContext(ctx).Login(ctx, owner))
}

func TestPromise2_RevokeOwnerCatchesALoginUnderWay(t *testing.T) {
	t.Parallel()
	for name, begin := range map[string]func(t *testing.T, m *session.Manager) *visitor{
		"of a new visitor":       newVisitorOf,
		"in a session of nobody": func(t *testing.T, m *session.Manager) *visitor { return visited(t, m) },
		"of another owner":       func(t *testing.T, m *session.Manager) *visitor { return loggedIn(t, m, "bob") },
		"again":                  func(t *testing.T, m *session.Manager) *visitor { return loggedIn(t, m, "ann") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			m, other := newManager(t, on(s)), newManager(t, on(s))
			vis := begin(t, m)
			before := vis.cookie
			ctx, sess := vis.open()
			loginIn(t, ctx, "ann")
			require.NoError(t, counter.Set(ctx, 7))
			require.NoError(t, other.RevokeOwner(t.Context(), "ann"))
			ticket, err := vis.end(ctx, sess)
			require.ErrorIs(t, err, session.ErrDestroyed)
			require.Equal(t, session.ActionNone, ticket.Action())
			require.Empty(t, idsOf(t, other, "ann"))
			require.Equal(t, before, vis.cookie)
			vis.request(func(ctx context.Context) { loginIn(t, ctx, "ann") })
			require.Len(t, idsOf(t, other, "ann"), 1, "a later login is none of it")
		})
	}
}

func newVisitorOf(t *testing.T, m *session.Manager) *visitor { return newVisitor(t, m) }

func visited(t testing.TB, m *session.Manager) *visitor {
	t.Helper()
	vis := newVisitor(t, m)
	vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
	return vis
}

func TestRevokeOwnerLeavesOthers(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	vis := newVisitor(t, m)
	vis.request(func(ctx context.Context) {
		loginIn(t, ctx, "bob")
		require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
	})
	require.Len(t, idsOf(t, m, "bob"), 1)

	admin := newManager(t, func(cfg *session.Config) { cfg.Scope = session.NewScope("admin") })
	vis.request(func(ctx context.Context) {
		loginIn(t, ctx, "ann")
		require.NoError(t, admin.RevokeOwner(t.Context(), "ann"))
	})
	require.Len(t, idsOf(t, m, "ann"), 1, "another scope has other owners")
}

// TestRevokeOwnerInTheRequestOfALogin is "log in here, and out everywhere else".
func TestRevokeOwnerInTheRequestOfALogin(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	elsewhere := loggedIn(t, m, "ann")
	vis := newVisitor(t, m)
	vis.request(func(ctx context.Context) {
		loginIn(t, ctx, "ann")
		require.NoError(t, m.RevokeOwner(ctx, "ann"))
		require.NoError(t, m.RevokeOwner(ctx, "ann"))
	})
	require.Equal(t, []string{vis.info().ID}, idsOf(t, m, "ann"))
	require.True(t, elsewhere.info().New)

	_, err := vis.try(func(ctx context.Context) {
		loginIn(t, ctx, "ann")
		require.NoError(t, m.RevokeOwner(t.Context(), "ann")) // somebody else's
		require.NoError(t, m.RevokeOwner(ctx, "ann"))
	})
	require.ErrorIs(t, err, session.ErrDestroyed)
}

// TestRevokeOwnerAndALoginThatWasTakenBack: what Destroy ends, it ends with all
// that was to be done.
func TestRevokeOwnerAndALoginThatWasTakenBack(t *testing.T) {
	t.Parallel()
	s := newIndexed()
	m := newManager(t, on(s))
	vis := visited(t, m)
	vis.request(func(ctx context.Context) {
		loginIn(t, ctx, "ann")
		require.NoError(t, session.FromContext(ctx).Destroy(ctx))
		require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
		require.NoError(t, counter.Set(ctx, 2))
		s.Calls()
	})
	require.Equal(t, []spy.Op{spy.Insert}, s.Calls(), "there is no login any more that had to be looked after")
	require.Equal(t, 2, mustGet(t, vis))
}

func mustGet(t testing.TB, vis *visitor) (n int) {
	t.Helper()
	vis.request(func(ctx context.Context) {
		var err error
		n, err = counter.Get(ctx)
		require.NoError(t, err)
	})
	return n
}

// TestRevokeOwnerAndALoginThatLost: it goes on in a session of its own, and is
// caught there.
func TestRevokeOwnerAndALoginThatLost(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	vis := visited(t, m)
	rival := newVisitor(t, m)
	rival.cookie = vis.cookie
	ctx, sess := vis.open()
	loginIn(t, ctx, "ann")
	rival.request(func(ctx context.Context) { loginIn(t, ctx, "bob") })
	require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
	_, err := vis.end(ctx, sess)
	require.ErrorIs(t, err, session.ErrDestroyed)
	require.Empty(t, idsOf(t, m, "ann"))
	require.Len(t, idsOf(t, m, "bob"), 1)
}

func TestRevokeOwnerAfterSave(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	vis := newVisitor(t, m)
	_, err := vis.try(func(ctx context.Context) {
		loginIn(t, ctx, "ann")
		require.NoError(t, session.FromContext(ctx).Save(ctx))
		require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
		require.NoError(t, counter.Set(ctx, 1))
	})
	require.ErrorIs(t, err, session.ErrDestroyed)
	require.Empty(t, idsOf(t, m, "ann"))
}

func TestCallsOfALogin(t *testing.T) {
	t.Parallel()
	s := newIndexed()
	m := newManager(t, on(s))
	newVisitor(t, m).request(func(ctx context.Context) { loginIn(t, ctx, "ann") })
	require.Equal(t, []spy.Op{spy.Load, spy.Insert, spy.Load}, s.Calls(), "the mark, the session, the mark")
	require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
	require.Equal(t, []spy.Op{spy.Load, spy.Insert}, s.Calls())

	plain := spy.Wrap(memory.New()) // no owner index, so nothing to be afraid of
	newVisitor(t, newManager(t, on(plain))).request(func(ctx context.Context) { loginIn(t, ctx, "ann") })
	require.Equal(t, []spy.Op{spy.Insert}, plain.Calls())
}

// TestPromise6_ALoginWhoseMarkCannotBeRead fails closed.
func TestPromise6_ALoginWhoseMarkCannotBeRead(t *testing.T) {
	t.Parallel()
	for fails := 1; fails <= 2; fails++ {
		s := newIndexed()
		m := newManager(t, on(s))
		vis := newVisitor(t, m)
		loads := 0
		s.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Load {
				if loads++; loads == fails {
					c.Err = errTest
					return
				}
			}
			c.Next()
		})
		ctx, sess := vis.open()
		err := sess.Login(ctx, "ann")
		if fails == 1 {
			require.ErrorIs(t, err, errTest)
			require.NoError(t, counter.Set(ctx, 1))
			_, err = vis.end(ctx, sess)
			require.NoError(t, err, "the session goes on as it was")
			require.Empty(t, vis.info().Owner)
			continue
		}
		require.NoError(t, err)
		ticket, err := vis.end(ctx, sess)
		require.ErrorIs(t, err, errTest)
		require.Equal(t, session.ActionNone, ticket.Action())
		require.Empty(t, idsOf(t, m, "ann"))
	}
}

func TestRevokeOwnerThatCannotWriteItsMark(t *testing.T) {
	t.Parallel()
	for _, op := range []spy.Op{spy.Load, spy.Insert} {
		s := newIndexed()
		m := newManager(t, on(s))
		loggedIn(t, m, "ann")
		s.Hook(func(_ context.Context, c *spy.Call) {
			if c.Err = errTest; c.Op != op {
				c.Err = nil
				c.Next()
			}
		})
		var failure *session.StoreError
		require.ErrorAs(t, m.RevokeOwner(t.Context(), "ann"), &failure)
		require.Empty(t, idsOf(t, m, "ann"), "what can be deleted is")
	}
}

// TestRevokeOwnerAroundMidnight: each day has a mark of its own.
func TestRevokeOwnerAroundMidnight(t *testing.T) {
	t.Parallel()
	for _, start := range []time.Duration{-time.Minute, 0, -45 * time.Minute, -time.Second} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24*time.Hour + start) // the bubble begins at midnight UTC
			m := newManager(t, in(72*time.Hour))
			vis := newVisitor(t, m)
			ctx, sess := vis.open()
			loginIn(t, ctx, "ann")
			time.Sleep(30 * time.Minute)
			require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
			time.Sleep(20 * time.Minute)
			_, err := vis.end(ctx, sess)
			require.ErrorIs(t, err, session.ErrDestroyed)

			time.Sleep(72 * time.Hour)
			vis.request(func(ctx context.Context) { loginIn(t, ctx, "ann") })
			require.NoError(t, m.RevokeOwner(t.Context(), "ann"), "the marks of earlier days are not in its way")
			require.Empty(t, idsOf(t, m, "ann"))
		})
	}
}

// TestPromise2_RevokeOwnerInAStorm lets goroutines log in, rotate and destroy
// sessions of one owner. Whatever had begun before a RevokeOwner is gone after it.
func TestPromise2_RevokeOwnerInAStorm(t *testing.T) {
	t.Parallel()
	const workers, rounds, revocations = 8, 40, 3 // at least
	s := memory.New()
	var mu sync.Mutex
	generation := 0
	began := map[string]int{} // by ID: a generation before which its Login had returned
	var revoked atomic.Int64
	var all sync.WaitGroup
	for range workers {
		m := newManager(t, on(s))
		all.Go(func() {
			for n := 0; n < rounds || revoked.Load() < revocations; n++ {
				vis := newVisitor(t, m)
				at := 0
				_, err := vis.try(func(ctx context.Context) {
					loginIn(t, ctx, "ann")
					mu.Lock()
					defer mu.Unlock()
					at = generation
				})
				if errors.Is(err, session.ErrDestroyed) {
					continue
				}
				require.NoError(t, err)
				info := vis.info()
				mu.Lock()
				began[info.ID] = at
				mu.Unlock()
				if _, err := vis.try(func(ctx context.Context) {
					_ = session.FromContext(ctx).Elevate(ctx)
				}); err != nil {
					require.ErrorIs(t, err, session.ErrDestroyed)
				}
			}
		})
	}
	m := newManager(t, on(s))
	done := make(chan struct{})
	go func() { defer close(done); all.Wait() }()
	for ; ; revoked.Add(1) {
		mu.Lock()
		generation++ // logins that have seen an older one have begun before
		mine := generation
		mu.Unlock()
		require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
		for _, id := range idsOf(t, m, "ann") {
			mu.Lock()
			at, known := began[id]
			mu.Unlock()
			require.False(t, known && at < mine, "a session whose login began before RevokeOwner has outlived it")
		}
		select {
		case <-done:
			require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
			require.Empty(t, idsOf(t, m, "ann"))
			return
		default:
		}
	}
}
