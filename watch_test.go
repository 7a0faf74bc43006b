package session_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
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

// over reports whether a channel is closed once everybody has done what there is to do.
func over(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// notified is a rig whose store tells of changes.
func notified(t testing.TB) *rig {
	t.Helper()
	inner := memory.New()
	r := &rig{t: t, store: spy.Wrap(inner), inner: inner}
	r.m = r.telling()
	return r
}

// telling returns one more manager, whose store tells of changes.
func (r *rig) telling() *session.Manager {
	return r.manager(func(cfg *session.Config) {
		cfg.Store = struct {
			store.Store
			store.Watcher
			store.OwnerIndex
		}{r.store, r.inner.(store.Watcher), r.inner.(store.OwnerIndex)}
	})
}

// listen is a request that stays open.
func (r *rig) listen(cookie string) (q *rigRequest, done <-chan struct{}) {
	r.t.Helper()
	q = r.open(cookie)
	done = q.s.Done()
	require.Equal(r.t, done, q.s.Done(), "another channel")
	_, err := q.commit()
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = q.m.Finish(q.ctx, q.s) })
	return q, done
}

var watchEnds = map[string]struct {
	act   func(r *rig, other *session.Manager, cookie string)
	cause error // nil: it goes on
}{
	"Destroy": {func(r *rig, other *session.Manager, cookie string) {
		r.requestOn(other, cookie, func(q *rigRequest) { require.NoError(r.t, q.s.Destroy(q.ctx)) })
	}, session.ErrDestroyed},
	"Revoke": {func(r *rig, other *session.Manager, cookie string) {
		var id string
		r.requestOn(other, cookie, func(q *rigRequest) { id = q.info().ID })
		require.NoError(r.t, other.Revoke(r.t.Context(), id))
	}, session.ErrDestroyed},
	"RevokeOwner": {func(r *rig, other *session.Manager, _ string) {
		require.NoError(r.t, other.RevokeOwner(r.t.Context(), "ada"))
	}, session.ErrDestroyed},
	"Login": {func(r *rig, other *session.Manager, cookie string) {
		r.requestOn(other, cookie, func(q *rigRequest) { q.login("bob") })
	}, session.ErrSuperseded},
	"Login again": {func(r *rig, other *session.Manager, cookie string) {
		r.requestOn(other, cookie, func(q *rigRequest) { q.login("ada") })
	}, session.ErrSuperseded},
	"Elevate": {func(r *rig, other *session.Manager, cookie string) {
		r.requestOn(other, cookie, func(q *rigRequest) { require.NoError(r.t, q.s.Elevate(q.ctx)) })
	}, session.ErrSuperseded},
	"Rotate": {func(r *rig, other *session.Manager, cookie string) {
		time.Sleep(2 * time.Minute)
		require.NotEqual(r.t, cookie, r.requestOn(other, cookie, func(q *rigRequest) { require.NoError(r.t, q.s.Rotate(q.ctx)) }))
		time.Sleep(2 * time.Minute)
	}, nil},
	"Set": {func(r *rig, other *session.Manager, cookie string) {
		r.requestOn(other, cookie, func(q *rigRequest) { q.set(rigCount, 7) })
	}, nil},
	"use": {func(r *rig, other *session.Manager, cookie string) {
		for range 5 {
			time.Sleep(45 * time.Minute)
			r.requestOn(other, cookie, func(q *rigRequest) { q.get(rigCount) })
		}
	}, nil},
	"no use": {func(*rig, *session.Manager, string) { time.Sleep(time.Hour + time.Second) }, session.ErrDestroyed},
	"RevokeOwner of another": {func(r *rig, other *session.Manager, _ string) {
		require.NoError(r.t, other.RevokeOwner(r.t.Context(), "bob"))
	}, nil},
}

// Whatever ends a session on another node closes the channels of it here: at once
// where the store tells, else within the interval. What does not end it closes none.
func TestDone(t *testing.T) {
	t.Parallel()
	for name, c := range watchEnds {
		for how, within := range map[string]time.Duration{"told": 0, "not told": session.DefaultWatchInterval} {
			t.Run(name+", "+how, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := notified(t)
					if within > 0 {
						inner := r.inner.(store.OwnerIndex)
						r.m = r.manager(func(cfg *session.Config) {
							cfg.Store = struct {
								store.Store
								store.OwnerIndex
							}{r.store, inner}
						})
					}
					other := r.telling()
					cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 1); q.login("ada") })
					stranger := r.request("", func(q *rigRequest) { q.set(rigCount, 1); q.login("eve") })
					q, done := r.listen(cookie)
					qs, others := r.listen(stranger)
					ctx, cancel := q.s.WithDone(context.Background())
					defer cancel()
					time.Sleep(time.Minute)
					require.False(t, over(done), "before anything happened")
					c.act(r, other, cookie)
					if c.cause == nil {
						time.Sleep(time.Minute)
						require.False(t, over(done))
						require.NoError(t, ctx.Err())
					} else {
						time.Sleep(within)
						require.True(t, over(done))
						require.ErrorIs(t, context.Cause(ctx), c.cause)
					}
					if name != "no use" && name != "use" {
						require.False(t, over(others), "somebody else's session")
					}
					require.NoError(t, errors.Join(q.m.Finish(q.ctx, q.s), qs.m.Finish(qs.ctx, qs.s)))
				})
			})
		}
	}
}

// What the request does itself is known at once, and its own elevation is no end.
func TestDoneOfOwnDoing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		act func(q *rigRequest)
		end bool
	}{
		"Destroy": {func(q *rigRequest) { require.NoError(q.t, q.s.Destroy(q.ctx)) }, true},
		"Destroy, and go on in another": {func(q *rigRequest) {
			require.NoError(q.t, q.s.Destroy(q.ctx))
			q.set(rigCount, 5)
			q.save()
		}, true},
		"Elevate":     {func(q *rigRequest) { require.NoError(q.t, q.s.Elevate(q.ctx)) }, false},
		"Login":       {func(q *rigRequest) { q.login("ada") }, false},
		"Login, Save": {func(q *rigRequest) { q.login("ada"); time.Sleep(time.Minute); q.save() }, false},
		"Save":        {func(q *rigRequest) { q.increment(); q.save() }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := notified(t)
				cookie := r.start(1)
				q := r.open(cookie)
				done := q.s.Done()
				ctx, cancel := q.s.WithDone(context.Background())
				defer cancel()
				time.Sleep(time.Minute)
				c.act(q)
				require.Equal(t, c.end, over(done))
				if c.end {
					require.ErrorIs(t, context.Cause(ctx), session.ErrDestroyed)
				}
				time.Sleep(time.Minute)
				_, err := q.commit()
				require.NoError(t, err)
				time.Sleep(time.Minute)
				require.Equal(t, c.end, over(done))
				if !c.end {
					id := q.info().ID
					require.NoError(t, r.m.Revoke(t.Context(), id))
					require.True(t, over(done), "the session as it is now is not watched")
				}
				require.NoError(t, q.m.Finish(q.ctx, q.s))
			})
		})
	}
}

// A visitor without a session waits for nothing; with the first commit there is one.
func TestDoneOfNewSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		idle, never := r.listen("")
		q := r.open("")
		done := q.s.Done()
		q.set(rigCount, 1)
		time.Sleep(time.Hour)
		calls := len(r.store.Calls())
		require.Zero(t, calls, "there is nothing to look at")
		cookie := q.end()
		require.True(t, over(done), "its request is over")

		q = r.open("")
		done = q.s.Done()
		q.set(rigCount, 1)
		ticket, err := q.commit()
		require.NoError(t, err)
		require.False(t, over(done))
		r.request(ticket.Credential(), func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		require.True(t, over(done))
		require.NotEqual(t, cookie, ticket.Credential())
		require.NoError(t, q.m.Finish(q.ctx, q.s))
		require.False(t, over(never))
		require.NoError(t, idle.m.Finish(idle.ctx, idle.s))
	})
}

// A context of WithDone outlives the request, unless there was nothing to watch.
func TestWithDoneOutlivesTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		mine, stop := context.WithCancelCause(context.Background())
		q := r.open(cookie)
		long, cancel := q.s.WithDone(context.Background())
		defer cancel()
		brief, cancelBrief := q.s.WithDone(context.Background())
		given, _ := q.s.WithDone(mine)
		q.end()
		q = r.open("")
		none, _ := q.s.WithDone(context.Background())
		q.end()
		require.True(t, over(none.Done()))
		require.ErrorIs(t, context.Cause(none), session.ErrClosed)
		require.False(t, over(long.Done()))
		cancelBrief()
		require.True(t, over(brief.Done()))
		require.ErrorIs(t, context.Cause(brief), context.Canceled)
		stop(errTest)
		require.True(t, over(given.Done()))
		require.ErrorIs(t, context.Cause(given), errTest)

		q = r.open(cookie)
		failed, cancel := q.s.WithDone(context.Background())
		defer cancel()
		require.NoError(t, q.s.Elevate(q.ctx))
		_, err := q.m.Discard(q.ctx, q.s)
		require.NoError(t, errors.Join(err, q.m.Finish(q.ctx, q.s)))
		require.False(t, over(failed.Done()), "nothing has come of the elevation")
		cookie = r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Elevate(q.ctx)) })
		require.True(t, over(failed.Done()))
		require.True(t, over(long.Done()))
		require.ErrorIs(t, context.Cause(long), session.ErrSuperseded)

		q = r.open(cookie)
		long, cancel = q.s.WithDone(context.Background())
		defer cancel()
		q.end()
		require.False(t, over(long.Done()))
		r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		require.True(t, over(long.Done()))
		require.ErrorIs(t, context.Cause(long), session.ErrDestroyed)

		q = r.open(cookie)
		require.NoError(t, q.m.Finish(q.ctx, q.s))
		after, _ := q.s.WithDone(context.Background())
		require.True(t, over(after.Done()))
		require.ErrorIs(t, context.Cause(after), session.ErrClosed)
		require.True(t, over(q.s.Done()))
	})
}

// A session that ended after it had been loaded, and before it was watched, is over.
func TestDoneOfEndedSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(1)
		q := r.open(cookie)
		q.get(rigCount)
		r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		require.True(t, over(q.s.Done()))
	})
}

// A look that began before an elevation of the request itself proves nothing.
func TestDoneWithLateLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		q := r.open(r.start(1))
		q.get(rigCount)
		late := make(chan struct{})
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Load {
				<-late
			}
		})
		done := q.s.Done()
		synctest.Wait()
		require.NoError(t, q.s.Elevate(q.ctx))
		q.save()
		close(late)
		require.False(t, over(done))
		time.Sleep(time.Minute)
		require.False(t, over(done))
		q.end()
	})
}

// A credential from before a login does not watch the session it has no part in.
func TestDoneOfSupersededCredential(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		r.request(cookie, func(q *rigRequest) { q.login("ada") })
		q := r.open(cookie)
		ctx, cancel := q.s.WithDone(t.Context())
		defer cancel()
		require.True(t, over(ctx.Done()))
		require.ErrorIs(t, context.Cause(ctx), session.ErrSuperseded)
	})
}

// watchers returns how many goroutines of any watcher there are.
func watchers() int {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	n := 0
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "session.(*watcher).") {
			n++
		}
	}
	return n
}

// Watching costs the store what it says, and no goroutine for a session. When nobody
// watches any more, nothing is left.
func TestPromise10_DoneCosts(t *testing.T) { // not parallel: it counts goroutines
	for name, told := range map[string]bool{"told": true, "not told": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				most := 16 // that look
				if told {
					r = notified(t)
					most++ // that listens
				}
				const many = 500
				requests := make([]*rigRequest, many)
				cookies := make([]string, many)
				for i := range requests {
					cookies[i] = r.start(i)
					requests[i], _ = r.listen(cookies[i])
				}
				require.LessOrEqual(t, watchers(), most)
				time.Sleep(time.Minute)
				synctest.Wait()
				loads := func(d time.Duration) (n int) {
					r.store.Calls()
					time.Sleep(d)
					synctest.Wait()
					return len(r.store.Calls())
				}
				rate := loads(10 * time.Minute) // within which none expires
				if told {
					require.InDelta(t, many*10*1.2, rate, many, "about every minute")
				} else {
					require.InDelta(t, many*60*1.2, rate, 6*many, "about every ten seconds")
				}
				for _, q := range requests {
					require.NoError(t, q.m.Finish(q.ctx, q.s))
				}
				require.Zero(t, loads(time.Hour), "nobody watches")
				require.Zero(t, watchers())
			})
		})
	}
}

// A change of a watched session costs one look on each node, and one of another session
// none.
func TestDoneLooksAtChangesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie, other := r.start(1), r.start(2)
		q, done := r.listen(cookie)
		time.Sleep(time.Second)
		loads := func(act func()) (n int) {
			var loads atomic.Int32
			r.store.Hook(func(_ context.Context, c *spy.Call) {
				if c.Op == spy.Load {
					loads.Add(1)
				}
				c.Next()
			})
			act()
			synctest.Wait()
			r.store.Hook(nil)
			return int(loads.Load())
		}
		change := func(q *rigRequest) { q.increment() }
		require.Equal(t, 1, loads(func() { r.request(other, change) }), "that request's own")
		require.Equal(t, 2, loads(func() { r.request(cookie, change) }), "and that of the watcher")
		require.False(t, over(done))
		require.NoError(t, q.m.Finish(q.ctx, q.s))
		require.Equal(t, 1, loads(func() { r.request(cookie, change) }), "nobody watches any more")
	})
}

// A handler that lives long reads on after a rotation by another request, beyond its
// grace as well.
func TestReloadAfterRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(1)
		q, done := r.listen(cookie)
		time.Sleep(2 * time.Minute)
		fresh := r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Rotate(q.ctx)) })
		require.NotEqual(t, cookie, fresh)
		time.Sleep(2 * session.DefaultGrace)
		r.request(fresh, func(q *rigRequest) { q.set(rigCount, 7) })
		require.NoError(t, q.s.Reload(q.ctx))
		require.Equal(t, 7, q.get(rigCount))
		require.False(t, over(done))
		r.request(cookie, func(q *rigRequest) { require.True(t, q.info().New, "a new request with the old cookie") })

		r.request(fresh, func(q *rigRequest) { require.NoError(t, q.s.Elevate(q.ctx)) })
		require.ErrorIs(t, q.s.Reload(q.ctx), session.ErrSuperseded)
		require.True(t, over(done))
	})
}

// The elevations of a request are never taken for those of another, however many
// changes make the watcher look meanwhile.
func TestDoneNeverMistakesOwnElevation(t *testing.T) {
	t.Parallel()
	r := notified(t)
	var all sync.WaitGroup
	for range 4 {
		cookie := r.start(0)
		all.Go(func() {
			for range 50 {
				q := r.open(cookie)
				done := q.s.Done()
				var others sync.WaitGroup
				for range 3 {
					others.Go(func() {
						s := r.m.Open(session.Opening{Credentials: []string{cookie}})
						ctx := session.NewContext(t.Context(), s)
						_, _ = rigCount.Update(ctx, func(n *int) error { *n++; return nil })
						_, _ = r.m.Commit(ctx, s)
						_ = r.m.Finish(ctx, s)
					})
				}
				err := q.s.Elevate(q.ctx)
				if err == nil {
					err = q.s.Save(q.ctx)
				}
				others.Wait()
				ticket, commitErr := q.commit()
				if err = errors.Join(err, commitErr); err != nil {
					t.Error(err)
				}
				cookie = ticket.Credential()
				select {
				case <-done:
					t.Error("its own elevation has ended it")
				default:
				}
				if err := q.m.Finish(q.ctx, q.s); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}
