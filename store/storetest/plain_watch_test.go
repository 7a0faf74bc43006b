package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// plainWatch is one Watch of a plain store. Its lock is the store's.
type plainWatch struct {
	wake    chan struct{}
	pending []store.Change
}

// tell tells those who watch. The lock is held.
func (p *plain) tell(c store.Change) {
	for _, w := range p.ears {
		switch p.bug {
		case watchDropsWhenBusy:
			if len(w.pending) > 0 {
				continue
			}
		case watchKeepsFirst, watchKeepsLast: // one change of each key
			i := slices.IndexFunc(w.pending, func(other store.Change) bool { return other.Key == c.Key })
			if i >= 0 {
				if p.is(watchKeepsLast) {
					w.pending[i] = c
				}
				continue
			}
		case watchChatty:
			w.pending = append(w.pending, store.Change{Key: c.Key, Version: 1}, store.Change{Key: store.Key{1}}, c)
		}
		w.pending = append(w.pending, c)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (p *plain) tellOfSwap(key store.Key, old, version int64) {
	switch p.bug {
	case watchDeafToSwaps, watchTellsTooSoon:
	case watchTellsOldVersion:
		p.tell(store.Change{Key: key, Version: old})
	default:
		p.tell(store.Change{Key: key, Version: version})
	}
}

// tellTooSoon tells of a swap, and lets others in before it happens.
func (p *plain) tellTooSoon(key store.Key, version int64) {
	if p.is(watchTellsTooSoon) {
		p.tell(store.Change{Key: key, Version: version})
		p.mu.Unlock()
		<-time.After(2 * time.Millisecond)
		p.mu.Lock()
	}
}

func (p *plain) tellOfDelete(key store.Key, last int64) {
	switch p.bug {
	case watchDeafToDeletes:
	case watchTellsDeadVersion:
		p.tell(store.Change{Key: key, Version: last})
	default:
		p.tell(store.Change{Key: key})
	}
}

func (p *plain) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	switch p.bug {
	case watchNotSetUp:
		return fmt.Errorf("shelf 7: %w", errors.ErrUnsupported)
	case watchFails:
		return errors.New("shelf 7 is out of order")
	case watchReadyLate:
	case watchReadyEarly:
		ready()
		<-time.After(time.Millisecond)
	}
	w := &plainWatch{wake: make(chan struct{}, 1)}
	p.mu.Lock()
	if p.is(watchAlone) {
		p.ears = nil
	}
	p.ears = append(p.ears, w)
	p.mu.Unlock()
	leave := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.ears = slices.DeleteFunc(p.ears, func(other *plainWatch) bool {
			return other == w || p.is(watchEndsAll)
		})
	}
	switch p.bug {
	case watchReadyLate:
		p.listen(ctx, w, changed, 1)
		ready()
	case watchReadyTwice:
		ready()
		ready()
	case watchReadyEarly:
	case watchGoesOn:
		ready()
		p.listen(ctx, w, changed, 0)
		later, cancel := context.WithTimeout(context.WithoutCancel(ctx), 100*time.Millisecond)
		go func() { defer cancel(); defer leave(); p.listen(later, w, changed, 0) }()
		return ctx.Err()
	default:
		ready()
	}
	defer leave()
	p.listen(ctx, w, changed, 0)
	switch p.bug {
	case watchEndsWithNil:
		return nil
	case watchDeafToContext:
		<-time.After(time.Second) // longer than the law waits
	}
	return ctx.Err()
}

// listen passes on what is told until ctx ends, or until so many were, if it is not
// 0.
func (p *plain) listen(ctx context.Context, w *plainWatch, changed func(store.Change), most int) {
	var calls sync.WaitGroup
	defer calls.Wait()
	for told := 0; most == 0 || told < most; {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		p.mu.Lock()
		news := w.pending
		w.pending = nil
		p.mu.Unlock()
		for _, c := range news {
			if ctx.Err() != nil {
				return
			}
			told++
			if p.is(watchOverlaps) {
				for range 2 {
					calls.Go(func() { changed(c); runtime.Gosched() })
				}
				continue
			}
			changed(c)
		}
		if p.is(watchEndsEarly) {
			return
		}
	}
}
