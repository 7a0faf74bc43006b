package session_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// What cannot be loaded counts as over. What could be does so when it has not been seen
// for three intervals; a short failure ends nothing.
func TestDoneWhenTheStoreFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		cookie := r.start(1)
		q, done := r.listen(cookie)
		ctx, cancel := q.s.WithDone(context.Background())
		defer cancel()
		time.Sleep(time.Minute)
		r.failing(spy.Load)
		time.Sleep(2 * session.DefaultWatchInterval)
		require.False(t, over(done))
		r.store.Hook(nil)
		time.Sleep(time.Minute)
		require.False(t, over(done))

		r.failing(spy.Load)
		broken := r.open(cookie)
		require.True(t, over(broken.s.Done()), "it was never loaded")
		time.Sleep(2 * session.DefaultWatchInterval)
		require.False(t, over(done))
		time.Sleep(3 * session.DefaultWatchInterval)
		require.True(t, over(done))
		require.ErrorIs(t, context.Cause(ctx), errRig)
		require.NoError(t, q.m.Finish(q.ctx, q.s))
	})
}

// breakable is a store.Watcher that a test cuts off, with or without a word.
type breakable struct {
	store.Watcher
	cut    atomic.Pointer[context.CancelCauseFunc]
	silent atomic.Bool
	broken atomic.Bool // no new subscription stands
	stood  atomic.Int32
}

func (b *breakable) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	if b.broken.Load() {
		return errRig
	}
	ctx, cut := context.WithCancelCause(ctx)
	defer cut(nil)
	b.cut.Store(&cut)
	b.silent.Store(false)
	_ = b.Watcher.Watch(ctx, func() { b.stood.Add(1); ready() }, func(c store.Change) {
		if !b.silent.Load() {
			changed(c)
		}
	})
	return context.Cause(ctx)
}

// The same while a subscription stands, when looks are rare: the first that fails ends
// nothing.
func TestDoneWhenTheStoreFailsWhileItTells(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		_, done := r.listen(r.start(1))
		for range 3 {
			time.Sleep(2 * time.Minute)
			r.failing(spy.Load)
			for r.store.Calls(); len(r.store.Calls()) == 0; {
				time.Sleep(time.Second)
			}
			time.Sleep(2 * session.DefaultWatchInterval)
			require.False(t, over(done))
			r.store.Hook(nil)
		}
		time.Sleep(time.Minute)
		r.failing(spy.Load)
		time.Sleep(time.Minute + 4*session.DefaultWatchInterval)
		require.True(t, over(done))
	})
}

// A subscription that is cut off is made up for by looking, and taken up again.
func TestDoneWhenTheSubscriptionIsCut(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"with a word": false, "without a word": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := notified(t)
				b := &breakable{Watcher: r.inner.(store.Watcher)}
				var log bytes.Buffer
				r.m = r.manager(func(cfg *session.Config) {
					cfg.Store = struct {
						store.Store
						store.Watcher
					}{r.store, b}
					cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
				})
				const many = 50
				var cookies [2 * many]string
				var all [2 * many]<-chan struct{}
				for i := range all {
					cookies[i] = r.start(i)
					_, all[i] = r.listen(cookies[i])
				}
				destroy := func(cookies ...string) {
					for _, cookie := range cookies {
						r.requestOn(r.telling(), cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
					}
				}
				time.Sleep(time.Hour / 2)
				require.EqualValues(t, 1, b.stood.Load())
				b.broken.Store(true)
				late := make(chan struct{}) // some are being looked at when it is cut
				var looks atomic.Int32
				r.store.Hook(func(_ context.Context, c *spy.Call) {
					c.Next()
					if looks.Add(1); c.Op == spy.Load {
						<-late
					}
				})
				for looks.Load() < 8 {
					time.Sleep(time.Second)
				}
				r.store.Hook(nil)
				if silent {
					b.silent.Store(true)
				} else {
					(*b.cut.Load())(errRig)
				}
				synctest.Wait()
				close(late)
				synctest.Wait()
				destroy(cookies[:many]...)
				if silent {
					time.Sleep(store.WatchPatience) // in which it is noticed
					(*b.cut.Load())(errRig)
				}
				time.Sleep(session.DefaultWatchInterval)
				for i, done := range all {
					require.Equal(t, i < many, over(done), "session %d", i)
				}
				b.broken.Store(false)
				time.Sleep(time.Minute)
				require.EqualValues(t, 2, b.stood.Load())
				require.False(t, over(all[many]))
				destroy(cookies[many:]...)
				for _, done := range all[many:] {
					require.True(t, over(done))
				}
				require.Equal(t, 1, strings.Count(log.String(), "not heard"), "%s", &log)
				require.Equal(t, 1, strings.Count(log.String(), "heard again"), "%s", &log)
			})
		})
	}
}

// A single notification that gets lost is made up for within six intervals.
func TestDoneWhenANotificationIsLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := notified(t)
		b := &breakable{Watcher: r.inner.(store.Watcher)}
		r.m = r.manager(func(cfg *session.Config) {
			cfg.Store = struct {
				store.Store
				store.Watcher
			}{r.store, b}
		})
		cookie := r.start(1)
		_, done := r.listen(cookie)
		time.Sleep(time.Minute)
		b.silent.Store(true)
		r.requestOn(r.telling(), cookie, func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)) })
		time.Sleep(time.Second)
		b.silent.Store(false)
		time.Sleep(6 * session.DefaultWatchInterval)
		require.True(t, over(done))
	})
}
