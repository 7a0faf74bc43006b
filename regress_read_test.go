package session_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// A function given to Update may look at the rest of the session. When the commit
// runs it again, the commit must not wait for itself.
func TestReplayedUpdateMayLookAround(t *testing.T) {
	t.Parallel()
	for name, look := range map[string]func(ctx context.Context) (int, error){
		"info": func(ctx context.Context) (int, error) {
			info, err := session.FromContext(ctx).Info(ctx)
			return len(info.Owner), err
		},
		"keys": func(ctx context.Context) (int, error) {
			names, err := session.FromContext(ctx).Keys(ctx)
			return len(names), err
		},
		"get": rigOther.Get,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 3); q.login("bob") })
				q := r.open(cookie)
				ctx, cancel := context.WithTimeout(q.ctx, time.Hour)
				defer cancel()
				var seen []int
				_, err := rigCount.Update(ctx, func(n *int) error {
					v, err := look(ctx)
					seen = append(seen, v)
					*n++
					return err
				})
				require.NoError(t, err)
				r.request(cookie, func(o *rigRequest) { o.increment(); o.set(rigOther, 9) })
				begin := time.Now()
				q.end()
				require.Zero(t, time.Since(begin), "the commit waited")
				want := map[string][]int{"info": {3, 3}, "keys": {1, 2}, "get": {0, 9}}
				require.Equal(t, want[name], seen)
				require.Equal(t, 5, r.open(cookie).get(rigCount))
			})
		})
	}
}

// A driver that panics ends one request, not the process, and does not keep the
// session locked behind it.
func TestPanicInTheStoreIsOneFailedRequest(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(q *rigRequest){
		"get":     func(q *rigRequest) { _, _ = rigCount.Get(q.ctx) },
		"value":   func(q *rigRequest) { _ = rigCount.Value(q.ctx) },
		"take":    func(q *rigRequest) { _, _, _ = rigCount.Take(q.ctx) },
		"set":     func(q *rigRequest) { _ = rigCount.Set(q.ctx, 1) },
		"info":    func(q *rigRequest) { _, _ = q.s.Info(q.ctx) },
		"keys":    func(q *rigRequest) { _, _ = q.s.Keys(q.ctx) },
		"login":   func(q *rigRequest) { _ = q.s.Login(q.ctx, "bob") },
		"destroy": func(q *rigRequest) { _ = q.s.Destroy(q.ctx) },
	}
	ends := map[string]func(){"panic": func() { panic(errRig) }, "goexit": runtime.Goexit}
	for verb, call := range verbs {
		for end, leave := range ends {
			t.Run(verb+" "+end, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					q := r.open(r.start(3))
					r.store.Hook(func(context.Context, *spy.Call) { leave() })
					returned, done := false, make(chan struct{})
					go func() {
						defer close(done)
						defer func() { _ = recover() }()
						call(q)
						returned = true
					}()
					<-done
					require.False(t, returned)
					r.store.Hook(nil)
					begin := time.Now()
					require.Equal(t, 3, q.get(rigCount), "the session has not been given up")
					_, err := r.m.Discard(q.ctx, q.s)
					require.NoError(t, err)
					require.NoError(t, r.m.Finish(q.ctx, q.s))
					require.Zero(t, time.Since(begin), "the session was still locked")
				})
			})
		}
	}
}

// n, _, _ := Take; Set(n+1) must not destroy what Take could not read.
func TestPromise7_WhatTakeCannotReadIsNotOverwritten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { q.write("text") })
	asNumber := session.Key[int](rigText.Name())
	q := r.open(cookie)
	n, ok, err := asNumber.Take(q.ctx)
	var bad *session.ValueError
	require.ErrorAs(t, err, &bad)
	require.False(t, ok)
	require.ErrorAs(t, asNumber.Set(q.ctx, n+1), &bad)
	q.end()
	require.Equal(t, "text", r.open(cookie).text())

	q = r.open(cookie)
	_, _, err = asNumber.Take(q.ctx)
	require.ErrorAs(t, err, &bad)
	require.NoError(t, asNumber.Delete(q.ctx))
	require.NoError(t, asNumber.Set(q.ctx, 1), "the deletion was on purpose")
}

// Take commits one key at once, and still gives what the request has made of it.
func TestTakeSeesTheUpdatesOfTheRequest(t *testing.T) {
	t.Parallel()
	for name, beside := range map[string]func(q *rigRequest){
		"alone":                  func(*rigRequest) {},
		"beside another request": func(o *rigRequest) { o.set(rigThird, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) { q.set(rigOther, 1); q.set(rigCount, 2) })
			q := r.open(cookie)
			q.set(rigOther, 10)
			n, err := rigCount.Update(q.ctx, func(n *int) error {
				other, err := rigOther.Get(q.ctx)
				*n += other
				return err
			})
			require.NoError(t, err)
			require.Equal(t, 12, n)
			r.request(cookie, beside)
			taken, ok, err := rigCount.Take(q.ctx)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, n, taken)
		})
	}
}

// Nobody else will hear of the read that failed, whatever ended it.
func TestPromise6_ValueThatRanOutOfTimeFailsTheRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.open(r.start(3))
	require.Zero(t, rigCount.Value(q.ended()))
	_, err := q.commit()
	require.ErrorIs(t, err, context.Canceled)
}

// n, _ := Get; Set(n+1) must not replace what Get had no time to read, although
// the load that it waited for came to a good end.
func TestPromise6_ReadWithoutTimeIsNotOverwritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(3)
		q := r.open(cookie)
		release := r.stuck()
		go func() { _, _ = rigOther.Get(q.ctx) }()
		synctest.Wait()
		ended := q.ended()
		n, err := rigCount.Get(ended)
		require.ErrorIs(t, err, context.Canceled)
		release()
		synctest.Wait()
		for _, ctx := range []context.Context{ended, q.ctx} {
			require.ErrorIs(t, rigCount.Set(ctx, n+1), context.Canceled)
		}
		q.end()
		require.Equal(t, 3, r.open(cookie).get(rigCount))
	})
}

// Set is allowed again once the key has been deleted on purpose, or read.
func TestReadThatFailedIsMadeUpFor(t *testing.T) {
	t.Parallel()
	for name, makeUp := range map[string]func(q *rigRequest){
		"delete": func(q *rigRequest) { require.NoError(q.t, rigCount.Delete(q.ctx)) },
		"clear":  func(q *rigRequest) { require.NoError(q.t, q.s.Clear(q.ctx)) },
		"read":   func(q *rigRequest) { require.Equal(q.t, 3, q.get(rigCount)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.start(3)
			q := r.open(cookie)
			_, err := rigCount.Get(q.ended())
			require.ErrorIs(t, err, context.Canceled)
			makeUp(q)
			q.set(rigCount, 1)
			q.end()
			require.Equal(t, 1, r.open(cookie).get(rigCount))
		})
	}
}

// The deletion of a key that could not be read replaces nothing the request knows:
// it is no conflict.
func TestDeleteAfterAFailedReadIsBlind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(3)
	q := r.open(cookie)
	_, err := rigCount.Get(q.ended())
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, rigCount.Delete(q.ctx))
	r.request(cookie, func(o *rigRequest) { o.increment() })
	q.end()
	_, ok, err := rigCount.Lookup(r.open(cookie).ctx)
	require.NoError(t, err)
	require.False(t, ok)
}

// Another request has repaired the value, and this one has read it since.
func TestBadValueIsForgottenOnceItIsReadWell(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) {
		require.NoError(t, session.Key[string](rigCount.Name()).Set(q.ctx, "no number"))
	})
	q := r.open(cookie)
	_, err := rigCount.Get(q.ctx)
	require.Error(t, err)
	r.request(cookie, func(o *rigRequest) {
		require.NoError(t, rigCount.Delete(o.ctx))
		o.set(rigCount, 5)
	})
	q.set(rigOther, 1)
	q.save()
	n := q.get(rigCount)
	require.Equal(t, 5, n)
	q.set(rigCount, n+1)
	q.end()
	require.Equal(t, 6, r.open(cookie).get(rigCount))
}

// rigCache is a near cache that is never refreshed.
type rigCache struct {
	store.Store
	mu     sync.Mutex
	cached map[store.Key]store.Record
}

func (c *rigCache) Load(ctx context.Context, key store.Key) (store.Record, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec, ok := c.cached[key]; ok {
		return rec, nil
	}
	rec, err := c.Store.Load(ctx, key)
	if err == nil {
		c.cached[key] = rec
	}
	return rec, err
}

func (c *rigCache) LoadFresh(ctx context.Context, key store.Key) (store.Record, error) {
	return c.Store.Load(ctx, key)
}

// The flash message that a POST has left must reach the GET after it, also when
// that one has the session from a cache.
func TestTakeLooksPastACache(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(3)
	cached := r.manager(func(cfg *session.Config) {
		cfg.Store = &rigCache{Store: r.store, cached: map[store.Key]store.Record{}}
	})
	get := func() *rigRequest {
		s := cached.Open(session.Opening{Credentials: []string{cookie}})
		return &rigRequest{t: t, m: cached, s: s, ctx: session.NewContext(t.Context(), s)}
	}
	require.Equal(t, 3, get().get(rigCount))
	r.request(cookie, func(q *rigRequest) { q.write("saved") })
	require.Empty(t, get().text(), "the cache is as old as this test needs it")
	text, ok, err := rigText.Take(get().ctx)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "saved", text)
	_, ok, err = rigText.Take(get().ctx)
	require.NoError(t, err)
	require.False(t, ok, "taken twice")
}
