package history

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

// errLost is what a node is told of a call whose request or answer was lost.
var errLost = errors.New("history: no answer")

// fault is what happens to one call of a store.
type fault uint8

const (
	none        fault = iota
	lostRequest       // it never arrives
	lostReply         // it has happened
	late              // it happens after the node has given up
	twice             // the driver repeats it, and passes on the second answer
)

// link is what lies between a node and the store: it takes time, and loses things.
type link struct {
	inner  store.Store
	unit   time.Duration
	faults atomic.Int32 // times the usual number
	late   sync.WaitGroup

	mu  sync.Mutex
	rnd *rand.Rand
}

var _ store.Store = (*link)(nil)

// draw decides about one call.
func (l *link) draw(write bool) (f fault, before, after time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, after = time.Duration(l.rnd.Int64N(int64(l.unit))), time.Duration(l.rnd.Int64N(int64(l.unit)))
	if often := int(l.faults.Load()); often > 0 {
		switch n := l.rnd.IntN(100) / often; {
		case n < 3:
			f = lostRequest
		case n < 9 && write:
			f = lostReply
		case n < 12 && write:
			f = late
		case n < 17 && write:
			f = twice
		}
	}
	return f, before, after
}

// pass sends one call.
func (l *link) pass(ctx context.Context, write bool, send func(ctx context.Context) (store.Record, error)) (store.Record, error) {
	f, before, after := l.draw(write)
	if err := pause(ctx, before); err != nil {
		return store.Record{}, err
	}
	switch f {
	case lostRequest:
		return store.Record{}, errLost
	case late:
		ctx := context.WithoutCancel(ctx)
		l.late.Go(func() {
			_ = pause(ctx, 3*after)
			_, _ = send(ctx)
		})
		return store.Record{}, errLost
	case twice:
		_, _ = send(ctx)
	}
	rec, err := send(ctx)
	if f == lostReply || f == twice && errors.Is(err, store.ErrNotFound) { // a driver that repeats cannot tell what that means
		_ = pause(ctx, 4*after) // it takes a while to be noticed
		return store.Record{}, errLost
	}
	if ended := pause(ctx, after); ended != nil {
		return store.Record{}, ended
	}
	return rec, err
}

// Load implements [store.Store].
func (l *link) Load(ctx context.Context, key store.Key) (store.Record, error) {
	return l.pass(ctx, false, func(ctx context.Context) (store.Record, error) { return l.inner.Load(ctx, key) })
}

// Insert implements [store.Store].
func (l *link) Insert(ctx context.Context, key store.Key, r store.Record) error {
	_, err := l.pass(ctx, true, func(ctx context.Context) (store.Record, error) {
		return store.Record{}, l.inner.Insert(ctx, key, r)
	})
	return err
}

// Swap implements [store.Store].
func (l *link) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	return l.pass(ctx, true, func(ctx context.Context) (store.Record, error) { return l.inner.Swap(ctx, key, old, r) })
}

// Touch implements [store.Store].
func (l *link) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	_, err := l.pass(ctx, true, func(ctx context.Context) (store.Record, error) {
		return store.Record{}, l.inner.Touch(ctx, key, old, exp)
	})
	return err
}

// Delete implements [store.Store].
func (l *link) Delete(ctx context.Context, key store.Key) error {
	_, err := l.pass(ctx, true, func(ctx context.Context) (store.Record, error) {
		return store.Record{}, l.inner.Delete(ctx, key)
	})
	return err
}

// pause waits for d, or until ctx ends: then it returns its error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
