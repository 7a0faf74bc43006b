package cached

import (
	"time"

	"github.com/typedsession/session/store"
)

// EntryOverhead is what a record counts as besides its data and its owner.
const EntryOverhead = entryOverhead

// Flights returns how many keys something is under way for.
func (s *Store) Flights() int {
	n := 0
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		n += len(sh.flights)
		sh.mu.Unlock()
	}
	return n
}

// Copy returns the version and the age of what is cached under key, however old.
func (s *Store) Copy(key store.Key) (version int64, age time.Duration, ok bool) {
	e := s.peek(key)
	if e == nil {
		return 0, 0, false
	}
	return e.rec.Version, s.now() - e.sent, true
}

// Bounds returns the TTL of records and of unknown keys.
func (s *Store) Bounds() (ttl, negative time.Duration) { return s.config.ttl, s.config.negative }

// Weights returns the bound of all weights together, and the least of one entry.
func (s *Store) Weights() (most uint64, least uint32) { return s.config.weights() }
