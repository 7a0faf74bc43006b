package session

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session/store"
)

// listen starts the subscription, if there is to be one. r.mu is held.
func (r *watcher) listen() {
	if r.notifier == nil || r.stop != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.subscribe(ctx, r.notifier)
}

// hangUp ends the subscription and the timer: nothing is watched any more. r.mu is held.
func (r *watcher) hangUp() {
	if r.stop != nil {
		r.stop()
		r.stop, r.standing = nil, 0
	}
	if r.timer != nil {
		r.timer.Stop()
	}
	r.records, r.order = nil, nil // they may have been many
}

const (
	firstSubscribe = 100 * time.Millisecond
	lastSubscribe  = 10 * time.Second
)

// subscribe listens to the store for as long as ctx lasts.
func (r *watcher) subscribe(ctx context.Context, notifier store.Watcher) {
	log, pause, warned := r.m.cfg.Logger, firstSubscribe, false
	for {
		var stood time.Time
		err := notifier.Watch(ctx, func() {
			if warned {
				log.InfoContext(ctx, "changes of sessions are heard again")
			}
			stood, warned = time.Now(), false
			r.stands(ctx)
		}, r.changed)
		if ctx.Err() != nil {
			return
		}
		if !stood.IsZero() {
			r.cut(ctx)
			if time.Since(stood) >= lastSubscribe {
				pause = firstSubscribe
			}
		}
		if errors.Is(err, errors.ErrUnsupported) {
			r.deaf(ctx)
			return
		}
		if !warned {
			log.WarnContext(ctx, "changes of sessions are not heard, the end of one is noticed later",
				"within", r.m.cfg.WatchInterval, "error", err)
			warned = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(spread(pause)):
		}
		pause = min(2*pause, lastSubscribe)
	}
}

// deaf gives up listening for good.
func (r *watcher) deaf(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() == nil {
		r.notifier = nil
	}
}

// stands notes that the subscription tells of everything from now on. What changed
// just before is looked for, unless that would be too much at once: then it is found
// within the interval.
func (r *watcher) stands(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil { // it has been given up meanwhile
		return
	}
	r.stood++
	r.standing = r.stood
	if len(r.records) > promptLooks {
		return
	}
	for _, rec := range r.records {
		r.hurry(rec)
	}
}

// cut notes that the subscription may have missed something. Each record is looked at
// within the interval.
func (r *watcher) cut(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ctx.Err() != nil {
		return
	}
	r.standing = 0
	now := time.Now()
	for _, rec := range r.order {
		if due := now.Add(rand.N(r.m.cfg.WatchInterval * 7 / 8)); due.Before(rec.due) { //nolint:gosec // no secret
			rec.due = due
		}
	}
	heap.Init(&r.order)
	r.schedule()
}

// changed looks at a record that has changed, if it is watched.
func (r *watcher) changed(c store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec := r.records[c.Key]; rec != nil {
		r.hurry(rec)
	}
}
