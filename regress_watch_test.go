package session_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// oddContext is user code that does something when it is asked.
type oddContext struct {
	context.Context
	value func()
	err   func()
}

func (c *oddContext) Value(key any) any {
	if c.value != nil {
		c.value()
	}
	return c.Context.Value(key)
}

func (c *oddContext) Err() error {
	if c.err != nil {
		c.err()
	}
	return c.Context.Err()
}

type watchFunc func(ctx context.Context, ready func(), changed func(store.Change)) error

func (f watchFunc) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	return f(ctx, ready, changed)
}

func (r *rig) watching(f watchFunc, change ...func(*session.Config)) *session.Manager {
	return r.manager(func(cfg *session.Config) {
		cfg.Store = struct {
			store.Store
			store.Watcher
		}{r.store, f}
		for _, c := range change {
			c(cfg)
		}
	})
}

// Done between Elevate and the commit: nothing looks.
func TestDoneBetweenElevateAndCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(1)
		q := r.open(cookie)
		require.NoError(t, q.s.Elevate(q.ctx))
		done := q.s.Done()
		r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		time.Sleep(3 * time.Hour)
		is := over(done)
		_ = q.m.Finish(q.ctx, q.s)
		require.True(t, is, "destroyed, and expired, hours ago")
	})
}

// After a Discard nothing comes of the request's own elevation: a login of another is
// noticed at once.
func TestDoneAfterDiscard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		q := r.open(cookie)
		done := q.s.Done()
		require.NoError(t, q.s.Elevate(q.ctx))
		_, err := q.m.Discard(q.ctx, q.s)
		require.NoError(t, err)
		r.request(cookie, func(q *rigRequest) { q.login("ada") })
		time.Sleep(2 * time.Minute)
		is := over(done)
		_ = q.m.Finish(q.ctx, q.s)
		require.True(t, is)
	})
}

// The same, with a commit that has failed.
func TestDoneAfterFailedCommit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		q := r.open(cookie)
		done := q.s.Done()
		q.get(rigCount)
		q.set(rigCount, 5)
		require.NoError(t, q.s.Elevate(q.ctx))
		r.request(cookie, func(q *rigRequest) { q.set(rigCount, 7) })
		_, err := q.commit()
		require.Error(t, err)
		r.request(cookie, func(q *rigRequest) { q.login("ada") })
		time.Sleep(2 * time.Minute)
		is := over(done)
		_ = q.m.Finish(q.ctx, q.s)
		require.True(t, is)
	})
}

// What else has failed in a request does not end the session.
func TestDoneAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.request("", func(q *rigRequest) { q.write("no number") })
		q := r.open(cookie)
		done := q.s.Done()
		time.Sleep(time.Minute)
		_ = session.Key[int]("rig.text").Value(q.ctx) // as in a template
		time.Sleep(time.Minute)
		require.False(t, over(done))
		q.s.Done()
		is := over(done)
		_, _ = q.commit()
		_ = q.m.Finish(q.ctx, q.s)
		require.False(t, is, "the session is there, and watched")
	})
}

// A session with so many changes that each look is overtaken by one.
func TestDoneWhileOthersChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		q, done := r.listen(cookie)
		defer func() { r.store.Hook(nil); _ = q.m.Finish(q.ctx, q.s); time.Sleep(time.Second); synctest.Wait() }()
		time.Sleep(time.Minute)
		direct := r.manager(func(cfg *session.Config) { cfg.Store = r.inner }) // no delay
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			c.Next()
			time.Sleep(20 * time.Millisecond)
		})
		cookie = r.requestOn(direct, cookie, func(q *rigRequest) { q.login("ada") })
		for range 60 * 100 { // a minute
			time.Sleep(10 * time.Millisecond)
			r.requestOn(direct, cookie, func(q *rigRequest) { q.increment() })
		}
		is := false
		select {
		case <-done:
			is = true
		default:
		}
		r.store.Hook(nil)
		if !is {
			t.Error("superseded a minute ago")
		}
	})
}

// Destroy tells while busy.
func TestDestroyTellsWithoutALock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.open(r.start(1))
	parent, stop := context.WithCancel(t.Context())
	defer stop()
	ctx := &oddContext{Context: parent}
	_, cancel := q.s.WithDone(ctx)
	defer cancel()
	var armed atomic.Bool
	var got error
	ctx.value = func() {
		if armed.CompareAndSwap(true, false) {
			limit, stop := context.WithTimeout(q.ctx, time.Second)
			defer stop()
			_, got = q.s.Keys(limit)
			if got == nil {
				got = q.s.Save(limit)
			}
		}
	}
	armed.Store(true)
	require.NoError(t, q.s.Destroy(q.ctx))
	require.False(t, armed.Load(), "the context has not been asked")
	require.False(t, errors.Is(got, context.DeadlineExceeded), "a verb has waited for Destroy, which waits for it")
}

// A failed load asks the context of WithDone under the lock.
func TestLoadAsksWithoutALock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.open(r.start(1))
	r.failing(spy.Load)
	parent, stop := context.WithCancel(t.Context())
	defer stop()
	ctx := &oddContext{Context: parent}
	ctx.err = func() { q.s.Used() }
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, cancel := q.s.WithDone(ctx)
		cancel()
	}()
	select {
	case <-back:
	case <-time.After(2 * time.Second):
		t.Fatal("deadlock: Err is called with Session.mu held")
	}
}

// Finish gives up waiting for a Save of another goroutine, that is about to store a
// login; and takes its rotation away.
func TestFinishDuringALogin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(1)
		q := r.open(cookie)
		long, cancel := q.s.WithDone(context.Background())
		defer cancel()
		q.login("ada")
		gate := make(chan struct{})
		n := 0
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Swap {
				if n++; n == 1 {
					<-gate
					r.store.Hook(nil)
					r.requestOn(r.manager(), cookie, func(q *rigRequest) { q.set(rigOther, 1) }) // so that it has to build again
				}
			}
			c.Next()
		})
		saved := make(chan error)
		go func() { saved <- q.s.Save(q.ctx) }()
		synctest.Wait()
		_, err := q.m.Discard(q.ctx, q.s) // the timeout
		t.Log("Discard:", err)
		t.Log("Finish:", q.m.Finish(q.ctx, q.s))
		close(gate)
		t.Log("Save:", <-saved)
		time.Sleep(time.Minute)
		synctest.Wait()
		t.Log("context:", context.Cause(long))
		if long.Err() != nil {
			t.Error("ended by its own login")
		}
		time.Sleep(session.DefaultGrace)
		r.request(cookie, func(q *rigRequest) {
			if owner := q.info().Owner; owner != "" {
				t.Errorf("the cookie from before the login is logged in as %q", owner)
			}
		})
	})
}

// The same with an elevation and no conflict.
func TestFinishDuringAnElevation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		q := r.open(r.start(1))
		long, cancel := q.s.WithDone(context.Background())
		defer cancel()
		synctest.Wait()
		require.NoError(t, q.s.Elevate(q.ctx))
		gate := make(chan struct{})
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Swap {
				<-gate
			}
			c.Next()
		})
		saved := make(chan error)
		go func() { saved <- q.s.Save(q.ctx) }()
		synctest.Wait()
		_, err := q.m.Discard(q.ctx, q.s)
		require.Error(t, err)
		require.Error(t, q.m.Finish(q.ctx, q.s))
		close(gate)
		t.Log("Save:", <-saved)
		time.Sleep(time.Minute)
		synctest.Wait()
		if long.Err() != nil {
			t.Error("ended by its own elevation:", context.Cause(long))
		}
	})
}

// A subscription that stood, and then cannot be had any more.
func TestDoneWhenListeningIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.m = r.watching(func(ctx context.Context, ready func(), changed func(store.Change)) error {
			ready()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Minute):
			}
			return fmt.Errorf("the right has been taken away: %w", errors.ErrUnsupported)
		})
		cookie := r.start(1)
		q, done := r.listen(cookie)
		time.Sleep(3*time.Minute + 7*time.Second)
		r.store.Calls()
		time.Sleep(10 * time.Minute)
		looks := len(r.store.Calls())
		_ = cookie
		_ = done
		_ = q.m.Finish(q.ctx, q.s)
		require.Greater(t, looks, 60, "looks in ten minutes without a subscription")
	})
}

// Cancel says that the context has ended when it has not.
func TestCancelEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		cookie := r.start(1)
		q := r.open(cookie)
		parent, stop := context.WithCancel(t.Context())
		defer stop()
		hold := make(chan struct{})
		c := &oddContext{Context: parent}
		armed := false
		_, _ = q.s.WithDone(c) // told first or second
		ctx, cancel := q.s.WithDone(context.Background())
		_, _ = q.s.WithDone(c)
		synctest.Wait()
		armed = true
		c.value = func() {
			if armed {
				<-hold
			}
		}
		r.request(cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		synctest.Wait()
		cancel()
		err := ctx.Err()
		close(hold)
		q.s.Used()
		_, _ = q.commit()
		_ = q.m.Finish(q.ctx, q.s)
		require.Error(t, err, "cancelled, and not ended")
	})
}

// A timer that fires for a record which goes at that moment does not stand still for the
// others.
func TestDoneKeepsLooking(t *testing.T) { // not parallel: it counts goroutines
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		first, second := r.start(1), r.start(2)
		q, _ := r.listen(first)
		synctest.Wait()
		time.Sleep(3 * time.Second)
		_, done := r.listen(second) // is due later
		synctest.Wait()
		time.Sleep(4 * time.Second)
		gate := make(chan struct{})
		var others []*rigRequest
		for i := range 16 {
			q := r.open(r.start(i))
			q.get(rigCount)
			others = append(others, q)
		}
		r.store.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op == spy.Load {
				<-gate
			}
			c.Next()
		})
		for _, q := range others {
			q.s.Done()
		}
		synctest.Wait()
		require.Equal(t, 16, watchers(), "all that look are held up")
		time.Sleep(2 * time.Second) // the first is due now
		require.NoError(t, q.m.Finish(q.ctx, q.s))
		r.store.Hook(nil)
		close(gate)
		for _, q := range others {
			q.end()
		}
		require.False(t, over(done))
		r.request(second, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		time.Sleep(session.DefaultWatchInterval)
		require.True(t, over(done))
	})
}

// A store that panics where nobody recovers has failed.
func TestDoneOfPanickingStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		q := r.open(r.start(1))
		q.get(rigCount)
		r.store.Hook(func(context.Context, *spy.Call) { panic("store") })
		done := q.s.Done()
		time.Sleep(session.DefaultWatchInterval)
		require.False(t, over(done))
		time.Sleep(4 * session.DefaultWatchInterval)
		require.True(t, over(done))
		r.store.Hook(nil)
		q.end()
	})
}

// Contexts that are cancelled are forgotten, also while their request goes on.
func TestWithDoneForgets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	q := r.open(r.start(1))
	q.get(rigCount)
	begun := time.Now()
	for range 20_000 { // which took minutes when each call walked through those before
		_, cancel := q.s.WithDone(context.Background())
		cancel()
	}
	require.Less(t, time.Since(begun), 30*time.Second)
	q.end()
}

func TestWatchIntervalIsLimited(t *testing.T) {
	t.Parallel()
	for d, ok := range map[time.Duration]bool{24 * time.Hour: true, 24*time.Hour + 1: false, time.Microsecond: false, -1: false} {
		_, err := session.NewManager(session.Config{Store: newRig(t).store, WatchInterval: d})
		require.Equal(t, ok, err == nil, "%v: %v", d, err)
	}
}
