package session

import (
	"context"
	"sync"

	"github.com/typedsession/session/store"
)

// queue lets the commits of one session on one node pass one at a time, so that
// they do not fail against each other. Other nodes are met at the store. The
// zero queue is ready.
type queue struct {
	mu    sync.Mutex
	slots map[store.Key]*slot
	free  *slot // one idle slot, so that the usual commit allocates none
}

// slot exists while somebody holds or awaits it.
type slot struct {
	key  store.Key
	refs int
	turn chan struct{} // capacity 1; made by the first who waits
	rec  store.Record  // of the last commit through this slot; Version 0: none
}

// acquire returns the slot of key once it is the caller's. Waiting ends with ctx.
func (q *queue) acquire(ctx context.Context, key store.Key) (*slot, error) {
	q.mu.Lock()
	sl, ok := q.slots[key]
	if !ok {
		if sl = q.free; sl == nil {
			sl = new(slot)
		}
		q.free = nil
		*sl = slot{key: key, refs: 1}
		if q.slots == nil {
			q.slots = make(map[store.Key]*slot)
		}
		q.slots[key] = sl
		q.mu.Unlock()
		return sl, nil
	}
	sl.refs++
	if sl.turn == nil {
		sl.turn = make(chan struct{}, 1)
	}
	q.mu.Unlock()
	select {
	case <-sl.turn:
		return sl, nil
	case <-ctx.Done():
		q.mu.Lock()
		defer q.mu.Unlock()
		q.drop(sl)
		return nil, ctx.Err()
	}
}

// release passes the slot on.
func (q *queue) release(sl *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if sl.turn != nil {
		sl.turn <- struct{}{} // empty: only the holder puts something in
	}
	q.drop(sl)
}

// drop gives up one reference. q.mu is held.
func (q *queue) drop(sl *slot) {
	if sl.refs--; sl.refs == 0 {
		delete(q.slots, sl.key)
		*sl = slot{}
		q.free = sl
	}
}
