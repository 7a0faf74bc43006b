package memory

import "context"

const (
	// dropPerWrite bounds what a write does for others. Each Insert adds one
	// record and drops up to twice as many as this, so the expired ones get fewer.
	dropPerWrite = 8
	// dropPerLock bounds how long a sweep keeps others from a shard.
	dropPerLock = 256
)

// DeleteExpired implements [store.Sweeper]. It locks one shard at a time, and
// each only for a short while. A limit that is not positive removes nothing.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	removed := 0
	for i := range s.records {
		for removed < limit {
			if err := ctx.Err(); err != nil {
				return int64(removed), err
			}
			batch := min(limit-removed, dropPerLock)
			n := s.lockAndDrop(&s.records[i], batch)
			removed += n
			if n < batch {
				break
			}
		}
	}
	return int64(removed), nil
}

// visitNextShard lets expired records leave shards that nobody writes to. A
// shard that is busy is passed over: its writers do the same.
func (s *Store) visitNextShard() {
	sh := &s.records[s.turn.Add(1)%shardCount]
	if sh.mu.TryLock() {
		s.dropExpired(sh, nowMilli(), dropPerWrite)
		sh.mu.Unlock()
	}
}

// reserve counts n more bytes as used, if there is room for them. A negative n
// gives back.
func (s *Store) reserve(n int64) bool {
	if n <= 0 {
		s.used.Add(n)
		return true
	}
	for {
		used := s.used.Load()
		if used+n > s.bound() {
			return false
		}
		if s.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// makeRoom removes expired records until there is room for n bytes, and reports
// whether there is. No lock is held when it is called.
func (s *Store) makeRoom(n int64) bool {
	if n > s.bound() {
		return false
	}
	for i := range s.records {
		for s.used.Load()+n > s.bound() {
			if s.lockAndDrop(&s.records[i], dropPerLock) < dropPerLock {
				break
			}
		}
	}
	return s.used.Load()+n <= s.bound()
}

func (s *Store) bound() int64 {
	if s.maxBytes <= 0 {
		return DefaultMaxBytes
	}
	return s.maxBytes
}

func (s *Store) lockAndDrop(sh *shard, limit int) int {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return s.dropExpired(sh, nowMilli(), limit)
}

// dropExpired removes at most limit expired records from sh, whose lock is
// held, and returns how many.
func (s *Store) dropExpired(sh *shard, now int64, limit int) int {
	n := 0
	for n < limit && len(sh.order) > 0 && sh.order[0].expires <= now {
		s.remove(sh, sh.order[0])
		n++
	}
	return n
}
