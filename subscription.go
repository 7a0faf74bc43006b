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
	go r.subscribe(ctx)
}

// hangUp ends the subscription and the timer: nothing is watched any more. r.mu is held.
func (r *watcher) hangUp() {
	if r.stop != nil {
		r.stop()
		r.stop, r.subscribed = nil, false
	}
	if r.timer != nil {
		r.timer.Stop()
	}
}

const (
	firstSubscribe = 100 * time.Millisecond
	lastSubscribe  = 10 * time.Second
)

// subscribe listens to the store for as long as ctx lasts.
func (r *watcher) subscribe(ctx context.Context) {
	log, pause, warned := r.m.cfg.Logger, firstSubscribe, false
	for {
		stood := false
		err := r.notifier.Watch(ctx, func() {
			if warned {
				log.InfoContext(ctx, "changes of sessions are heard again")
			}
			stood, warned, pause = true, false, firstSubscribe
			r.stands(ctx)
		}, r.changed)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errors.ErrUnsupported) {
			r.deaf()
			return
		}
		if stood {
			r.cut()
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
func (r *watcher) deaf() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notifier = nil
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
	r.subscribed = true
	if len(r.records) > promptLooks {
		return
	}
	for _, rec := range r.records {
		r.hurry(rec)
	}
}

// cut notes that the subscription may have missed something. Each record is looked at
// within the interval.
func (r *watcher) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscribed = false
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
