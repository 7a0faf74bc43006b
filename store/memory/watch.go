package memory

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/typedsession/session/store"
)

// maxPending is of how many keys a watcher keeps the news while it is busy: less
// than 8 MiB of them.
const maxPending = 1 << 16

// ErrBehind is returned by Watch when more changes wait to be told than it keeps:
// those of 65,536 keys. Some have been missed then.
var ErrBehind = errors.New("memory: watch: fell behind, too many changes wait to be told")

var _ store.Watcher = (*Store)(nil)

// Watch implements [store.Watcher]. It calls both functions itself, on the
// goroutine that has called it. Of several changes of one key that wait while
// changed is running only the last is told. It returns the error of ctx when that
// has ended, and [ErrBehind] when changed takes so long that the changes of 65,536
// keys wait for it: nobody who writes ever does.
func (s *Store) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &watcher{wake: make(chan struct{}, 1)}
	s.watchers.add(w)
	defer s.watchers.remove(w)
	ready()
	var news map[store.Key]int64
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.wake:
		}
		news = w.take(news)
		for key, version := range news {
			if err := ctx.Err(); err != nil {
				return err
			}
			if w.behind.Load() {
				break
			}
			changed(store.Change{Key: key, Version: version})
		}
		if w.behind.Load() {
			return ErrBehind
		}
	}
}

// watchers are those who watch a store. Without any, a write looks at one pointer.
type watchers struct {
	mu  sync.Mutex                 // of those who come and go
	all atomic.Pointer[[]*watcher] // nil: none; what it points to never changes
}

// tell is called by a writer with the lock of the record's shard held, so that the
// last change of a key is the last that is told.
func (ws *watchers) tell(key *store.Key, version int64) {
	all := ws.all.Load()
	if all == nil {
		return
	}
	for _, w := range *all {
		w.tell(key, version)
	}
}

func (ws *watchers) add(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var all []*watcher
	if old := ws.all.Load(); old != nil {
		all = append(all, *old...)
	}
	all = append(all, w)
	ws.all.Store(&all)
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	var all []*watcher
	for _, other := range *ws.all.Load() {
		if other != w {
			all = append(all, other)
		}
	}
	if len(all) == 0 {
		ws.all.Store(nil)
		return
	}
	ws.all.Store(&all)
}

// watcher is one Watch.
type watcher struct {
	wake    chan struct{} // holds one: there is something to take
	mu      sync.Mutex
	pending map[store.Key]int64 // the last version of each key, 0 when it was deleted
	behind  atomic.Bool         // changes have been left out
}

func (w *watcher) tell(key *store.Key, version int64) {
	w.note(key, version)
	select {
	case w.wake <- struct{}{}:
	default: // it will wake up anyway
	}
}

func (w *watcher) note(key *store.Key, version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.pending[*key]; !ok && len(w.pending) == maxPending {
		w.behind.Store(true)
		return
	}
	if w.pending == nil {
		w.pending = make(map[store.Key]int64)
	}
	w.pending[*key] = version
}

// take returns what is pending. Later changes go into told, which has been dealt
// with: it keeps its room, unless that is much.
func (w *watcher) take(told map[store.Key]int64) (news map[store.Key]int64) {
	const much = 1024
	if len(told) > much {
		told = nil
	}
	clear(told)
	w.mu.Lock()
	defer w.mu.Unlock()
	news, w.pending = w.pending, told
	return news
}
