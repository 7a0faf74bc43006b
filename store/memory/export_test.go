package memory

import "fmt"

// EntryOverhead is what a record costs besides its data and its owner.
const EntryOverhead = entryOverhead

// Used returns how many bytes are counted as used.
func (s *Store) Used() int64 { return s.used.Load() }

// Check looks for contradictions inside s, which nobody else may be using: all
// that is found in one of maps, heaps, owner lists and the counter must be in
// the others.
func (s *Store) Check() error {
	var used int64
	owned := make(map[*entry]bool)
	for i := range s.records {
		sh := &s.records[i]
		if len(sh.entries) != len(sh.order) {
			return fmt.Errorf("shard %d: %d entries, %d in order", i, len(sh.entries), len(sh.order))
		}
		for j, e := range sh.order {
			switch {
			case e.index != j:
				return fmt.Errorf("shard %d: the entry at %d believes to be at %d", i, j, e.index)
			case sh.entries[e.key] != e:
				return fmt.Errorf("shard %d: an entry in order is not in the map", i)
			case j > 0 && sh.order[(j-1)/2].expires > e.expires:
				return fmt.Errorf("shard %d: the entry at %d expires before its parent", i, j)
			}
			used += e.size()
			if e.owner != "" {
				owned[e] = true
			}
		}
	}
	if got := s.used.Load(); got != used {
		return fmt.Errorf("%d bytes are counted, %d are used", got, used)
	}
	listed := 0
	for i := range s.owners {
		for owner, first := range s.owners[i].first {
			if first == nil {
				return fmt.Errorf("owner %q has an empty list", owner)
			}
			var prev *entry
			for e := first; e != nil; prev, e = e, e.next {
				switch {
				case e.prev != prev:
					return fmt.Errorf("owner %q: the list does not lead back", owner)
				case e.owner != owner:
					return fmt.Errorf("owner %q has an entry of %q", owner, e.owner)
				case !owned[e]:
					return fmt.Errorf("owner %q has an entry that is not stored", owner)
				}
				listed++
			}
		}
	}
	if listed != len(owned) {
		return fmt.Errorf("%d entries are owned, %d are listed", len(owned), listed)
	}
	return nil
}

// MaxPending is of how many keys a watcher keeps the news.
const MaxPending = maxPending

// Watched reports whether writes have anybody to tell.
func (s *Store) Watched() bool { return s.watchers.all.Load() != nil }
