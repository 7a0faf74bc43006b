package session

import (
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// hurry has a record looked at as soon as possible. r.mu is held.
func (r *watcher) hurry(rec *watchedRecord) {
	if rec.looking {
		rec.again = true
		return
	}
	if rec.urgent {
		return
	}
	rec.urgent = true
	if rec.index >= 0 {
		heap.Remove(&r.order, rec.index)
	}
	r.urgent = append(r.urgent, rec)
	r.work()
}

// put has a record looked at when it is due. r.mu is held.
func (r *watcher) put(rec *watchedRecord, due time.Time) {
	rec.due = due
	if rec.index >= 0 {
		heap.Fix(&r.order, rec.index)
	} else {
		heap.Push(&r.order, rec)
	}
	if r.order[0] == rec {
		r.schedule()
	}
}

// schedule sets the timer for the next look. r.mu is held.
func (r *watcher) schedule() {
	if len(r.order) == 0 {
		return
	}
	d := max(0, time.Until(r.order[0].due))
	if r.timer == nil {
		r.timer = time.AfterFunc(d, r.tick)
	} else {
		r.timer.Reset(d)
	}
}

func (r *watcher) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ready() {
		r.work()
	} else { // what was due has gone
		r.schedule()
	}
}

// work starts a looker if there is something to look at. r.mu is held.
func (r *watcher) work() {
	if r.lookers < maxLookers && r.ready() {
		r.lookers++
		go r.look()
	}
}

// ready reports whether a record is to be looked at now. r.mu is held.
func (r *watcher) ready() bool {
	return len(r.urgent) > 0 || len(r.order) > 0 && !r.order[0].due.After(time.Now())
}

// look looks at records until there are none to be looked at.
func (r *watcher) look() {
	for {
		rec, standing := r.take()
		if rec == nil {
			return
		}
		sent := time.Now()
		epoch, stored, err := r.m.peek(rec.key)
		tell(r.seen(rec, sent, standing, epoch, stored, err))
	}
}

var errStorePanicked = errors.New("session: the store panicked")

// peek returns the epoch of a record and the record. Nobody is there who would recover
// from a panic of the store. One that hangs must not hold up the looks at others.
func (m *Manager) peek(key store.Key) (epoch uint64, rec store.Record, err error) {
	defer func() {
		if recover() != nil {
			err = errStorePanicked
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), min(m.cfg.Timeout, max(m.cfg.WatchInterval/4, time.Second)))
	defer cancel()
	if rec, err = m.load(ctx, key, true); err != nil {
		return 0, rec, err
	}
	view, err := record.Parse(rec.Data)
	return view.Epoch, rec, err
}

// take returns what is to be looked at next, nil for nothing: then the looker ends.
func (r *watcher) take() (rec *watchedRecord, standing uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.urgent) > 0 && rec == nil {
		rec, r.urgent = r.urgent[0], r.urgent[1:]
		rec.urgent = false
		if rec.first == nil { // nobody watches it any more
			rec = nil
		}
	}
	if rec == nil && r.ready() {
		rec = heap.Pop(&r.order).(*watchedRecord)
	}
	if rec == nil {
		r.lookers--
		r.urgent = nil
		r.schedule() // what the timer fired for may have gone
		return nil, 0
	}
	rec.looking = true
	for w := rec.first; w != nil; w = w.after {
		w.late = false
	}
	r.schedule()
	r.work()
	return rec, r.standing
}

// seen notes what a look that began at sent has found, and returns what it ends.
func (r *watcher) seen(rec *watchedRecord, sent time.Time, standing, epoch uint64, stored store.Record, err error) (ended []ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := errors.Is(err, store.ErrNotFound)
	again := rec.again
	rec.looking, rec.again = false, false
	interval := r.m.cfg.WatchInterval
	switch {
	case err == nil:
		rec.failing = time.Time{}
	case rec.failing.IsZero():
		rec.failing = sent
	}
	for w := rec.first; w != nil; {
		next := w.after
		var cause error
		switch {
		case gone:
			cause = ErrDestroyed
		case err == nil && w.epoch != epoch && !w.paused && !w.late:
			cause = ErrSuperseded
		case err != nil && sent.Sub(rec.failing) > failedFactor*interval:
			cause = storeError("load", err)
		}
		if cause != nil {
			w.ended = true
			r.unlink(w)
			ended = append(ended, ending{w, cause})
		}
		w = next
	}
	switch {
	case rec.first == nil:
	case again:
		r.hurry(rec)
	case err != nil:
		r.put(rec, time.Now().Add(spread(min(interval/4, time.Second))))
	default:
		if standing != 0 && standing == r.standing {
			interval *= subscribedFactor
		}
		r.put(rec, earlier(sent.Add(spread(interval)), stored.Expires))
	}
	return ended
}

// spread returns three quarters of d to d, so that nodes and records do not keep step,
// and that a look is over in time.
func spread(d time.Duration) time.Duration {
	return d - d/4 + rand.N(d/8+1) //nolint:gosec // no secret
}

// earlier returns when to look: when it is due, or when the record expires.
func earlier(due, expires time.Time) time.Time {
	left := time.Until(expires)
	if left <= 0 {
		left = lateEnd
	}
	if end := time.Now().Add(left); end.Before(due) {
		return end
	}
	return due
}

// dueHeap is a min-heap by due for container/heap, in which each record knows its
// place.
type dueHeap []*watchedRecord

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h dueHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *dueHeap) Push(x any) {
	rec := x.(*watchedRecord)
	rec.index = len(*h)
	*h = append(*h, rec)
}

func (h *dueHeap) Pop() any {
	last := len(*h) - 1
	rec := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	rec.index = -1
	return rec
}
