package cached

import (
	"sync/atomic"

	"github.com/maypok86/otter/v2/stats"
)

// Stats says what a Store has done since it was made, and what it holds.
type Stats struct {
	Hits          uint64 // Loads answered with a copy
	NegativeHits  uint64 // Loads answered with what WithNegative remembers
	Joined        uint64 // Loads answered with what another Load had asked for
	Misses        uint64 // Loads that asked the store beneath; LoadFresh is not counted
	DroppedFills  uint64 // answers that were not kept, because something else happened to their key meanwhile
	Invalidations uint64 // changes heard of, but for those whose result was cached already
	Entries       int    // kept now, those that are too old to be used included
	Bytes         int64  // what they count as; at least WithMaxBytes / WithMaxEntries each
	Listening     bool   // whether Run hears of changes
}

// counts are written on every call. Hits have stripes, so that cores do not wait for
// each other to count what they do not share otherwise.
type counts struct {
	hits          *stats.Counter
	negativeHits  atomic.Uint64
	joined        atomic.Uint64
	misses        atomic.Uint64
	dropped       atomic.Uint64
	invalidations atomic.Uint64
}

func (c *counts) init() { c.hits = stats.NewCounter() }

// Stats returns the counts, which next to other calls are not of one moment.
func (s *Store) Stats() Stats {
	return Stats{
		Hits:          s.counts.hits.Snapshot().Hits,
		NegativeHits:  s.counts.negativeHits.Load(),
		Joined:        s.counts.joined.Load(),
		Misses:        s.counts.misses.Load(),
		DroppedFills:  s.counts.dropped.Load(),
		Invalidations: s.counts.invalidations.Load(),
		Entries:       s.cache.EstimatedSize(),
		Bytes:         int64(s.cache.WeightedSize()), //nolint:gosec // G115: bounded by WithMaxBytes, an int64
		Listening:     s.listening.Load() > 0,
	}
}
