package cached

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

// entry is a copy of a record, or the knowledge that there is none: then its version
// is absent. All but expires never changes.
type entry struct {
	rec     store.Record
	sent    time.Duration // when the question or the write was sent, since the Store was made
	expires atomic.Int64  // in milliseconds since 1970; later than rec.Expires after a Touch
}

// Versions that no record has.
const (
	absent  int64 = 0  // there is no record
	unclear int64 = -1 // answers differ, and nobody can say which is older
	unknown int64 = -2 // what an Insert and a Delete replace: equal to nothing
)

// entryOverhead is what one entry takes up besides its data and its owner: 212 bytes
// with a full table, as measured, and what the allocator adds to data and owner.
const entryOverhead = 256

func newEntry(rec store.Record, sent time.Duration) *entry {
	e := &entry{rec: rec, sent: sent}
	e.expires.Store(rec.Expires.UnixMilli())
	return e
}

// lengthen moves the end of e to ms, unless it is that late already.
func (e *entry) lengthen(ms int64) {
	for cur := e.expires.Load(); cur < ms; cur = e.expires.Load() {
		if e.expires.CompareAndSwap(cur, ms) {
			return
		}
	}
}

// record returns the record with the end that is known now.
func (e *entry) record() store.Record {
	r := e.rec
	r.Expires = time.UnixMilli(e.expires.Load())
	return r
}

// weigh returns what e counts as. least keeps the number of entries within its bound.
func weigh(e *entry, least uint32) uint32 {
	size := uint64(entryOverhead) + uint64(len(e.rec.Data)) + uint64(len(e.rec.Owner))
	return max(uint32(min(size, math.MaxUint32)), least)
}

// usable reports whether a Load that began at start may return what e says. wall is
// the time in milliseconds since 1970.
func (s *Store) usable(e *entry, start time.Duration, wall int64) bool {
	if e.rec.Version == absent {
		return start-e.sent <= s.config.negative
	}
	return start-e.sent <= s.config.ttl && wall < e.rec.Expires.UnixMilli()
}
