package session

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

const (
	maxLookers  = 16   // records that are loaded at a time
	promptLooks = 1000 // up to so many records are looked at as soon as a subscription stands

	// A subscription tells of each end. What gets lost on the way all the same is made
	// up for by looking, more rarely.
	subscribedFactor = 6
	// failedFactor is for how many intervals a store may fail before a session
	// counts as over.
	failedFactor = 3

	// lateEnd is when to look again at a record that should have expired: the
	// store's clock is behind.
	lateEnd = 250 * time.Millisecond
)

// watcher looks after all watched sessions of a manager. While there are any, one
// goroutine listens to the store, if that tells of changes, and up to maxLookers load
// records that have changed or have not been looked at for some time. All of them end
// when nothing is watched any more.
type watcher struct {
	m        *Manager
	notifier store.Watcher // nil when the store does not tell

	mu       sync.Mutex
	records  map[store.Key]*watchedRecord
	order    dueHeap
	urgent   []*watchedRecord
	lookers  int
	timer    *time.Timer
	stop     context.CancelFunc // of the subscription; nil when there is none
	standing uint64             // the number of the subscription that stands; 0 for none
	stood    uint64             // so many have
}

// watchedRecord is a record that is watched. watcher.mu guards it.
type watchedRecord struct {
	key     store.Key
	first   *watch
	index   int // in the order, -1 when it is not there
	due     time.Time
	failing time.Time // when the first of the looks began that have failed since one found the record
	urgent  bool
	looking bool
	again   bool // it has changed meanwhile
}

// follow makes w watch a record at an epoch; from then on it is told where the epoch
// changes. Where it is the request itself that is about to change it, that is no
// end.
func (r *watcher) follow(w *watch, key store.Key, epoch uint64, paused bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.ended || w.record != nil && w.epoch == epoch && w.paused == paused {
		return
	}
	w.epoch, w.paused = epoch, paused
	rec, found := w.record, true
	if rec == nil {
		if rec, found = r.records[key]; !found {
			rec = &watchedRecord{key: key, index: -1}
			if r.records == nil {
				r.records = make(map[store.Key]*watchedRecord)
			}
			r.records[key] = rec
			r.listen()
		}
		w.record, w.after = rec, rec.first
		if rec.first != nil {
			rec.first.before = w
		}
		rec.first = w
	}
	w.late = rec.looking
	if !paused || !found {
		r.hurry(rec) // it may have ended before it was watched
	}
}

// end ends w, unless it has ended. A nil cause only forgets it.
func (r *watcher) end(w *watch, cause error) {
	if ended := r.remove(nil, w, cause); cause != nil {
		tell(ended)
	}
}

// remove takes w out, and appends it to what is to be told, unless it has ended.
func (r *watcher) remove(to []ending, w *watch, cause error) []ending {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.ended {
		return to
	}
	w.ended = true
	r.unlink(w)
	return append(to, ending{w, cause})
}

// unended returns a list of watches of one request, without those that have ended.
func (r *watcher) unended(all *watch) *watch {
	r.mu.Lock()
	defer r.mu.Unlock()
	last := &all
	for w := all; w != nil; w = w.next {
		if w.ended {
			*last = w.next
		} else {
			last = &w.next
		}
	}
	return all
}

// unlink is called with r.mu held.
func (r *watcher) unlink(w *watch) {
	rec := w.record
	if rec == nil {
		return
	}
	switch {
	case w.before != nil:
		w.before.after = w.after
	default:
		rec.first = w.after
	}
	if w.after != nil {
		w.after.before = w.before
	}
	w.record, w.before, w.after = nil, nil, nil
	if rec.first != nil {
		return
	}
	delete(r.records, rec.key)
	if rec.index >= 0 {
		heap.Remove(&r.order, rec.index)
	}
	if len(r.records) == 0 {
		r.hangUp()
	}
}
