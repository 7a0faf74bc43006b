package cached

import (
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// shardCount is a power of two, so that a byte of the key chooses evenly.
const shardCount = 64

// shard holds the flights of some keys. Its lock is held by whoever caches something
// under one of them, so that looking and caching are one step; a copy may leave at any
// time. Nothing but the cache is called while it is held.
type shard struct {
	mu      sync.Mutex
	flights map[store.Key]*flight
	_       [48]byte // fills a cache line: neighbours do not slow each other down
}

// flight is what happens to one key while anything of it is under way. It is gone
// when nothing is, so that there are no more of them than calls.
type flight struct {
	ops     int    // under way
	changes uint64 // counts what may have made a copy old: invalidations, and each write twice, as it begins and as it ends
	answers uint64 // counts the loads that were answered
	answer  int64  // the version that the last of them found, absent or unclear
	lead    *load  // the load that others may wait for, nil if there is none
	write   *op    // the write that began last, nil when it has ended
}

// op is one load or write that is under way.
type op struct {
	flight  *flight
	sent    time.Duration // since the Store was made
	changes uint64        // of the flight when it was sent
	answers uint64
	old     int64 // of a write: the version that a Swap replaces, unknown for others
	version int64 // of a write: the version that it writes, absent if none
}

func (s *Store) shard(key *store.Key) *shard { return &s.shards[key[0]%shardCount] }

// begin enters an operation. The lock of sh is held; changed says that what is sent
// before must not be kept any more.
func (s *Store) begin(sh *shard, key store.Key, o *op, changed bool) {
	f := sh.flights[key]
	if f == nil {
		if sh.flights == nil {
			sh.flights = make(map[store.Key]*flight)
		}
		f = new(flight)
		sh.flights[key] = f
	}
	f.ops++
	if changed {
		f.changes++
	}
	o.flight, o.sent, o.changes, o.answers = f, s.now(), f.changes, f.answers
}

// end leaves an operation. The lock of sh is held.
func (sh *shard) end(key store.Key, f *flight) {
	if f.ops--; f.ops == 0 {
		delete(sh.flights, key)
	}
}

// answered takes in what a load has found; the lock of the key is held. It reports
// whether the answer is kept.
//
// Two answers that overlap in time and differ cannot be put in order, whichever was
// sent first: a question may be read late. To keep the wrong one would show what is
// older than somebody has been given. So neither is kept.
func (s *Store) answered(key store.Key, o *op, rec store.Record) bool {
	f := o.flight
	changed := f.changes != o.changes
	overlapped := f.answers != o.answers && f.answer != rec.Version
	f.answers++
	f.answer = rec.Version
	if overlapped {
		f.answer = unclear
	}
	if !changed && !overlapped {
		s.keep(key, o, rec)
		return true
	}
	if e := s.peek(key); e != nil && e.rec.Version != rec.Version {
		s.cache.Invalidate(key) // the answer may be the newer one
	}
	return false
}

// keep caches what is known to be no older than what is cached already.
func (s *Store) keep(key store.Key, o *op, rec store.Record) {
	if rec.Version == absent && s.config.negative == 0 {
		s.cache.Invalidate(key)
		return
	}
	e := newEntry(rec, o.sent) // not when the answer came: it may have been old by then
	if cur := s.peek(key); cur != nil && cur.rec.Version == rec.Version {
		e.sent = max(e.sent, cur.sent)
		e.lengthen(cur.expires.Load()) // one version never ends sooner than it was going to
	}
	s.cache.Set(key, e)
}

// beginWrite enters a write of version in place of old. forget drops the copy before
// anything is sent.
func (s *Store) beginWrite(key store.Key, old, version int64, forget bool) *op {
	w := &op{old: old, version: version}
	sh := s.shard(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s.begin(sh, key, w, true)
	w.flight.write = w
	if forget {
		s.cache.Invalidate(key)
	}
	return w
}

// endWrite leaves a write. found is the record that it is known to have left behind,
// the zero Record when that is not known. It is kept unless something else may have
// come after it; then nothing is.
func (s *Store) endWrite(key store.Key, w *op, found store.Record) {
	sh := s.shard(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	f := w.flight
	last := f.changes == w.changes && (f.answers == w.answers || f.answer == found.Version || f.answer == w.old)
	f.changes++
	if f.write == w {
		f.write = nil
	}
	if found.Version != absent && last {
		s.keep(key, w, found)
	} else {
		s.cache.Invalidate(key)
		if found.Version != absent {
			s.counts.dropped.Add(1)
		}
	}
	sh.end(key, f)
}

// invalidate drops what is older than a change that was heard of, and what is under
// way.
func (s *Store) invalidate(c store.Change) {
	sh := s.shard(&c.Key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := s.peek(c.Key)
	if e != nil && c.Version != absent && e.rec.Version == c.Version {
		return // an own write comes back
	}
	if e != nil {
		s.cache.Invalidate(c.Key)
	}
	s.counts.invalidations.Add(1)
	f := sh.flights[c.Key]
	if f == nil {
		return
	}
	f.changes++
	if w := f.write; w != nil && c.Version != absent && w.version == c.Version && w.changes+1 == f.changes {
		w.changes = f.changes // an own write comes back before its answer does
	}
}

// spoil makes sure that nothing is kept of what is under way. When it has returned,
// all that was kept of it can be found in the cache.
func (s *Store) spoil() {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, f := range sh.flights {
			f.changes++
		}
		sh.mu.Unlock()
	}
}

// peek returns the copy of a key, however old, or nil. It does not count as a use.
func (s *Store) peek(key store.Key) *entry {
	e, ok := s.cache.GetEntryQuietly(key)
	if !ok {
		return nil
	}
	return e.Value
}
