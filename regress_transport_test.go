package session_test

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// A cookie beside the answer that the session is over would replace a newer one
// in the browser: that of the login by which it ended, for example.
func TestPromise2_NoCookieForASessionThatIsOver(t *testing.T) {
	t.Parallel()
	t.Run("destroyed", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		q := r.open("")
		q.set(rigCount, 1)
		q.save()
		require.NoError(t, r.m.Revoke(t.Context(), q.info().ID))
		q.set(rigCount, 2)
		ticket, err := q.commit()
		require.ErrorIs(t, err, session.ErrDestroyed)
		require.Equal(t, session.ActionNone, ticket.Action())
	})
	t.Run("superseded", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		cookie := r.start(3)
		q := r.open(cookie)
		require.NoError(t, q.s.SetExpiry(q.ctx, session.OnInactivity(session.DefaultGrace)))
		q.save() // has rotated: the old cookie is as good for a while
		next := r.request(cookie, func(o *rigRequest) { o.login("alice") })
		q.set(rigCount, 4)
		ticket, err := q.commit()
		require.ErrorIs(t, err, session.ErrSuperseded)
		require.Equal(t, session.ActionNone, ticket.Action())
		require.Equal(t, 3, r.open(next).get(rigCount))
	})
}

// What was saved stands. Its cookie goes out also when the commit cannot even
// begin, because another goroutine is stuck in the store.
func TestPromise6_CookieOfWhatWasSavedOutlivesAStuckCommit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(q *rigRequest){
		"new session": func(*rigRequest) {},
		"login":       func(q *rigRequest) { q.login("alice") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				q := r.open("")
				q.set(rigCount, 4)
				q.save()
				change(q)
				q.save()
				q.set(rigCount, 5)
				release := r.stuck()
				var saving sync.WaitGroup
				saving.Go(func() { _ = q.s.Save(q.ctx) })
				synctest.Wait()
				ticket, err := q.commit()
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, session.ActionSet, ticket.Action())
				release()
				saving.Wait()
				require.NoError(t, r.m.Finish(q.ctx, q.s))
				require.Equal(t, 5, r.open(ticket.Credential()).get(rigCount))
			})
		})
	}
}

// The response has begun without the cookie of a session that is stored only
// now. Nobody can ever open it, so it must not be reported as saved.
func TestPromise6_SaveTooLateForItsCookieFails(t *testing.T) {
	t.Parallel()
	save := func(q *rigRequest) error { return q.s.Save(q.ctx) }
	for _, test := range []struct {
		name    string
		session bool
		change  func(q *rigRequest)
		verb    func(q *rigRequest) error
	}{
		{"save of a new session", false, func(q *rigRequest) { q.set(rigCount, 4) }, save},
		{"get or set in a new session", false, func(*rigRequest) {}, func(q *rigRequest) error {
			_, err := rigCount.GetOrSet(q.ctx, func() (int, error) { return 4, nil })
			return err
		}},
		{"save of a login", true, func(q *rigRequest) { q.login("alice") }, save},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				cookie := ""
				if test.session {
					cookie = r.start(3)
				}
				q := r.open(cookie)
				test.change(q)
				q.info() // loads
				release := r.stuck()
				saved := make(chan error, 1)
				go func() { saved <- test.verb(q) }()
				synctest.Wait()
				ticket, err := q.commit()
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, session.ActionNone, ticket.Action())
				release()
				require.ErrorIs(t, <-saved, session.ErrHeadersSent)
			})
		})
	}
}

// An Update function may return the ErrDestroyed of some other session. This one
// is alive: its cookie goes out, and it can be destroyed.
func TestForeignErrorInAReplayTakesNoCookieAway(t *testing.T) {
	t.Parallel()
	for _, theirs := range []error{session.ErrDestroyed, session.ErrSuperseded, session.ErrUnknown} {
		t.Run(theirs.Error(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.start(3)
			q := r.open(cookie)
			require.NoError(t, q.s.SetExpiry(q.ctx, session.OnInactivity(session.DefaultGrace)))
			q.save() // has rotated: a cookie has to go out
			runs := 0
			_, err := rigCount.Update(q.ctx, func(n *int) error {
				if runs++; runs > 1 {
					return theirs
				}
				*n++
				return nil
			})
			require.NoError(t, err)
			r.beforeSwap(cookie, func(o *rigRequest) { o.set(rigOther, 1) })
			ticket, err := q.commit()
			var refused *session.ReplayError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, session.ActionSet, ticket.Action())
			require.Equal(t, 3, r.open(ticket.Credential()).get(rigCount))
			require.NoError(t, q.s.Destroy(q.ctx))
			r.requireGone(ticket.Credential())
		})
	}
}

// Info looks while another goroutine stores the session for the first time. It
// sees no session or all of it, and the race detector sees no race.
func TestInfoWhileTheSessionIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var looks atomic.Int64
	r.store.Hook(func(_ context.Context, c *spy.Call) {
		c.Next()
		for looks.Load() < 30 { // everybody is at it
			runtime.Gosched()
		}
		for range 100 { // and goes on, with nothing that would order what follows
			runtime.Gosched()
		}
	})
	for range 20 {
		looks.Store(0)
		q := r.open("")
		q.set(rigCount, 3)
		var saved atomic.Bool
		var looking sync.WaitGroup
		seen := make([]map[string]bool, 3) // IDs, and whether the session was new
		for i := range seen {
			looking.Go(func() {
				seen[i] = map[string]bool{}
				for !saved.Load() {
					info, _ := q.s.Info(q.ctx)
					seen[i][info.ID] = info.New
					looks.Add(1)
					runtime.Gosched()
				}
			})
		}
		err := q.s.Save(q.ctx)
		saved.Store(true)
		looking.Wait()
		require.NoError(t, err)
		id := q.info().ID
		for _, ids := range seen {
			for seenID, isNew := range ids {
				require.Equal(t, seenID == "", isNew)
				require.Contains(t, []string{"", id}, seenID)
			}
		}
		q.end()
	}
}
