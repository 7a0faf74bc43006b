package memory

import (
	"container/heap"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// entry is a record in its shard. The lock of that shard guards it, except for
// key, which never changes, and next and prev, which belong to the owner index.
type entry struct {
	data    []byte
	owner   string
	version int64
	expires int64 // in milliseconds since 1970; live while this lies after now
	index   int   // in the shard's heap
	next    *entry
	prev    *entry
	key     store.Key
}

// entryOverhead is what one record takes up besides its data and its owner: the
// entry (112 bytes), its slots in the shard's map (41 bytes, of which up to
// half stay empty) and heap (8, up to twice that while it grows), and the slot
// of its owner in the index (25, up to half empty).
const entryOverhead = 256

func size(r *store.Record) int64 {
	return entryOverhead + int64(len(r.Data)) + int64(len(r.Owner))
}

func (e *entry) size() int64 {
	return entryOverhead + int64(len(e.data)) + int64(len(e.owner))
}

func (e *entry) set(r *store.Record) {
	e.data, e.owner, e.version, e.expires = r.Data, r.Owner, r.Version, r.Expires.UnixMilli()
}

func (e *entry) record() store.Record {
	return store.Record{Data: e.data, Version: e.version, Expires: time.UnixMilli(e.expires), Owner: e.owner}
}

// shard holds the records of some keys, and the order in which they expire.
type shard struct {
	mu      sync.RWMutex
	entries map[store.Key]*entry
	order   expiryHeap
	_       [8]byte // fills a cache line: neighbours do not slow each other down
}

func (s *Store) shard(key *store.Key) *shard {
	return &s.records[key[0]%shardCount]
}

// live returns the record of key, or nil if there is none or it has expired.
func (sh *shard) live(key *store.Key, now int64) *entry {
	if e := sh.entries[*key]; e != nil && e.expires > now {
		return e
	}
	return nil
}

func (sh *shard) add(e *entry) {
	if sh.entries == nil {
		sh.entries = make(map[store.Key]*entry)
	}
	sh.entries[e.key] = e
	heap.Push(&sh.order, e)
}

// moved puts the order right after e.expires has changed.
func (sh *shard) moved(e *entry) { heap.Fix(&sh.order, e.index) }

// remove takes e, which is in sh, out of the store. The lock of sh is held.
func (s *Store) remove(sh *shard, e *entry) {
	delete(sh.entries, e.key)
	heap.Remove(&sh.order, e.index)
	s.owners.remove(e)
	s.used.Add(-e.size())
}

// expiryHeap is a min-heap by expiry for container/heap, in which each entry
// knows its place.
type expiryHeap []*entry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }

func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *expiryHeap) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil // or the array would keep the record from the collector
	*h = (*h)[:last]
	return e
}
