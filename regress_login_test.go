package session_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// A login that loses the race against another change of privileges goes into a
// session of its own. The owner before must not find anything there by luck.
func TestPromise3_LoginThatLostLeavesTheOtherOwnersValuesBehind(t *testing.T) {
	t.Parallel()
	before := map[string]func(q *rigRequest){
		"set": func(q *rigRequest) { q.write("alice's") },
		"update": func(q *rigRequest) {
			_, err := rigText.Update(q.ctx, func(s *string) error { *s = "alice's"; return nil })
			require.NoError(q.t, err)
		},
		"get or set": func(q *rigRequest) {
			_, err := rigText.GetOrSet(q.ctx, func() (string, error) { return "alice's", nil })
			require.NoError(q.t, err)
		},
		"clear, set": func(q *rigRequest) {
			require.NoError(q.t, q.s.Clear(q.ctx))
			q.write("alice's")
		},
	}
	winners := map[string]func(q *rigRequest){
		"elevate":        func(q *rigRequest) { require.NoError(q.t, q.s.Elevate(q.ctx)) },
		"login as alice": func(q *rigRequest) { q.login("alice") },
		"login as bob":   func(q *rigRequest) { q.login("bob") },
	}
	for verb, act := range before {
		for winner, win := range winners {
			t.Run(verb+" against "+winner, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				cookie := r.request("", func(q *rigRequest) { q.login("alice") })
				q := r.open(cookie)
				act(q)
				q.login("bob")
				require.Empty(t, q.text(), "within the request")
				q.set(rigCount, 7)
				r.request(cookie, win)
				p := r.open(q.end())
				require.Equal(t, "bob", p.info().Owner)
				require.Empty(t, p.text())
				require.Equal(t, 7, p.get(rigCount), "what was set after the login")
			})
		}
	}
}

// The start of another session must not forget why it was started.
func TestPromise6_LoginThatLostIsStillALogin(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(q *rigRequest){
		"alone": func(*rigRequest) {},
		"clear": func(q *rigRequest) { require.NoError(q.t, q.s.Clear(q.ctx)) },
		"clear, set": func(q *rigRequest) {
			require.NoError(q.t, q.s.Clear(q.ctx))
			q.set(rigOther, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.start(3)
			q := r.open(cookie)
			q.login("bob")
			then(q)
			r.request(cookie, func(o *rigRequest) { o.login("bob") })
			p := r.open(q.end())
			info := p.info()
			require.Equal(t, "bob", info.Owner)
			require.False(t, info.New)
			require.Zero(t, p.get(rigCount))
		})
	}
}

// Of two concurrent logins both succeed, also when the later one finds out in the
// middle of its request.
func TestLoginThatLostTakesItsVerbsAlong(t *testing.T) {
	t.Parallel()
	for name, verb := range map[string]func(q *rigRequest){
		"get or set": func(q *rigRequest) {
			n, err := rigOther.GetOrSet(q.ctx, func() (int, error) { return 1, nil })
			require.NoError(q.t, err)
			require.Equal(q.t, 1, n)
		},
		"take": func(q *rigRequest) {
			_, ok, err := rigCount.Take(q.ctx)
			require.NoError(q.t, err)
			require.False(q.t, ok, "the new session has no such value")
			q.set(rigOther, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.start(3)
			q := r.open(cookie)
			q.login("alice")
			r.request(cookie, func(o *rigRequest) { o.login("alice") })
			verb(q)
			p := r.open(q.end())
			require.Equal(t, "alice", p.info().Owner)
			require.Equal(t, 1, p.get(rigOther))
		})
	}
}

// When the new session cannot be stored the request is not left half in the one
// it has lost: neither its values nor what was read there count any more.
func TestLoginThatLostOutlivesAFailedInsert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 3); q.set(rigOther, 1) })
	q := r.open(cookie)
	require.Equal(t, 1, q.get(rigOther))
	q.login("alice")
	r.request(cookie, func(o *rigRequest) { o.login("alice") })
	r.failing(spy.Insert)
	var failed *session.StoreError
	require.ErrorAs(t, q.s.Save(q.ctx), &failed)
	r.store.Hook(nil)
	require.Zero(t, q.get(rigCount), "a value of the session that was lost")
	q.set(rigOther, 2)
	p := r.open(q.end())
	require.Equal(t, "alice", p.info().Owner)
	require.Equal(t, 2, p.get(rigOther))
}

// An Update may refuse the new session. Then nothing has changed for the request.
func TestLoginThatLostAndIsRefusedKeepsTheSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(3)
	q := r.open(cookie)
	_, err := rigCount.Update(q.ctx, func(n *int) error {
		if *n == 0 {
			return errRig
		}
		*n++
		return nil
	})
	require.NoError(t, err)
	n, err := rigOther.GetOrSet(q.ctx, func() (int, error) { return 7, nil })
	require.NoError(t, err)
	require.Equal(t, 7, n)
	q.login("alice")
	r.request(cookie, func(o *rigRequest) { o.login("bob") })
	var refused *session.ReplayError
	require.ErrorAs(t, q.s.Save(q.ctx), &refused)
	require.Equal(t, 7, q.get(rigOther))
	require.Equal(t, 4, q.get(rigCount))
}

// A login by another owner is pending: alice's session is still hers, and bob's
// does not exist yet. What GetOrSet and Take do at once must not cross over.
func TestPromise3_NothingCrossesAPendingLogin(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) (r *rig, cookie string, q *rigRequest) {
		r = newRig(t)
		cookie = r.request("", func(q *rigRequest) { q.login("alice"); q.set(rigOther, 1) })
		q = r.open(cookie)
		q.login("bob")
		text, err := rigText.GetOrSet(q.ctx, func() (string, error) { return "bob's", nil })
		require.NoError(t, err)
		require.Equal(t, "bob's", text)
		n, ok, err := rigOther.Take(q.ctx)
		require.NoError(t, err)
		require.False(t, ok, "bob took %d of alice's", n)
		return r, cookie, q
	}
	t.Run("discarded", func(t *testing.T) {
		t.Parallel()
		r, cookie, q := begin(t)
		_, err := r.m.Discard(q.ctx, q.s)
		require.NoError(t, err)
		p := r.open(cookie)
		require.Equal(t, "alice", p.info().Owner)
		require.Empty(t, p.text())
		require.Equal(t, 1, p.get(rigOther))
	})
	t.Run("under way", func(t *testing.T) {
		t.Parallel()
		r, cookie, _ := begin(t)
		p := r.open(cookie)
		require.Empty(t, p.text())
		require.Equal(t, 1, p.get(rigOther))
	})
	t.Run("committed", func(t *testing.T) {
		t.Parallel()
		r, cookie, q := begin(t)
		r.request(cookie, func(o *rigRequest) { o.write("alice's secret"); o.set(rigOther, 2) })
		p := r.open(q.end())
		require.Equal(t, "bob", p.info().Owner)
		require.Equal(t, "bob's", p.text())
		require.Zero(t, p.get(rigOther))
	})
}

// Requests under way carry the credential that the browser had. A request that
// rotates twice must grant the grace to that one, not to its own first.
func TestPromise3_GraceIsThatOfTheCookieTheVisitorHas(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(q *rigRequest) error{
		"login":      func(q *rigRequest) error { return q.s.Login(q.ctx, "alice") },
		"elevate":    func(q *rigRequest) error { return q.s.Elevate(q.ctx) },
		"rotate":     func(q *rigRequest) error { return q.s.Rotate(q.ctx) },
		"set expiry": func(q *rigRequest) error { return q.s.SetExpiry(q.ctx, session.OnInactivity(time.Hour)) },
	}
	for first, one := range verbs {
		for second, two := range verbs {
			t.Run(first+", save, "+second, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					cookie := r.start(3)
					time.Sleep(session.DefaultMinRotate)
					q := r.open(cookie)
					require.NoError(t, one(q))
					q.save()
					require.NoError(t, two(q))
					next := q.end()
					require.NotEmpty(t, next)
					time.Sleep(session.DefaultGrace - time.Second)
					require.Equal(t, 3, r.open(cookie).get(rigCount))
					time.Sleep(2 * time.Second)
					require.Zero(t, r.open(cookie).get(rigCount))
					require.Equal(t, 3, r.open(next).get(rigCount))
				})
			})
		}
	}
}

// A request that goes on for long and changes privileges again and again must
// not keep the credential from before the first of them alive.
func TestPromise3_GraceDoesNotGrow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(3)
		q := r.open(cookie)
		q.login("alice")
		q.save()
		for range 3 {
			require.Equal(t, 3, r.open(cookie).get(rigCount))
			time.Sleep(session.DefaultGrace/3 - time.Second)
			require.NoError(t, q.s.Elevate(q.ctx))
			q.save()
		}
		time.Sleep(3 * time.Second)
		require.Zero(t, r.open(cookie).get(rigCount))
	})
}

// A login that is refused, because its cookie cannot be sent, changes nothing.
func TestLoginAfterTheFirstByteChangesNothing(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(r *rig) *rigRequest{
		"current": func(r *rig) *rigRequest { return r.open(r.start(3)) },
		"superseded": func(r *rig) *rigRequest {
			cookie := r.start(3)
			r.request(cookie, func(o *rigRequest) { o.login("alice") })
			return r.open(cookie)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := open(newRig(t))
			require.Equal(t, 3, q.get(rigCount))
			_, err := q.commit()
			require.NoError(t, err)
			require.ErrorIs(t, q.s.Login(q.ctx, "alice"), session.ErrHeadersSent)
			require.Equal(t, 3, q.get(rigCount))
		})
	}
}
