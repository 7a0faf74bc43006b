package cached

import (
	"context"
	"errors"
	"time"

	"github.com/typedsession/session/store"
)

// load is a load that is under way. The goroutine that began it sends it, and others
// may wait for it.
type load struct {
	op
	done chan struct{} // made by the first who waits, under the lock of the key

	// What follows is read once done is closed.
	rec       store.Record
	err       error
	abandoned bool // it says nothing about the store: its own context has ended, or it panicked
}

// Load implements [store.Store]. It answers from a copy that is young enough, without
// a round trip; otherwise with what the store beneath says, or an answer that it is
// about to give to another Load. It does not allocate when it answers from a copy.
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	now := time.Now()
	start := now.Sub(s.epoch)
	if e, ok := s.cache.GetIfPresent(key); ok && s.usable(e, start, now.UnixMilli()) {
		return s.hit(e)
	}
	return s.loadPast(ctx, key, start, now.UnixMilli())
}

func (s *Store) hit(e *entry) (store.Record, error) {
	if e.rec.Version == absent {
		s.counts.negativeHits.Add(1)
		return store.Record{}, store.ErrNotFound
	}
	s.counts.hits.RecordHits(1)
	return e.record(), nil
}

// loadPast is a Load that began at start, and at wall, and found no copy.
func (s *Store) loadPast(ctx context.Context, key store.Key, start time.Duration, wall int64) (store.Record, error) {
	sh := s.shard(&key)
	for {
		sh.mu.Lock()
		if e := s.peek(key); e != nil && s.usable(e, start, time.Now().UnixMilli()) {
			sh.mu.Unlock()
			return s.hit(e) // somebody was faster
		}
		l := sh.flights[key].leader(start - s.config.ttl)
		if l == nil {
			l = s.beginLoad(sh, key)
			sh.mu.Unlock()
			s.counts.misses.Add(1)
			return s.send(ctx, key, l, s.back.Load)
		}
		if l.done == nil {
			l.done = make(chan struct{})
		}
		done := l.done
		sh.mu.Unlock()
		select {
		case <-ctx.Done():
			return store.Record{}, ctx.Err()
		case <-done:
		}
		if l.abandoned {
			continue // whoever of those who waited is the first takes over
		}
		if errors.Is(l.err, store.ErrNotFound) && start-l.sent > s.config.negative {
			continue // it may have been inserted since
		}
		if l.err == nil && l.sent < start && l.rec.Expires.UnixMilli() <= wall {
			continue // it had ended before, unless somebody has lengthened it since
		}
		s.counts.joined.Add(1)
		return l.rec, l.err
	}
}

// leader returns the load that one may wait for who wants what was sent at or after
// since: one with an answer that will not be older than what is known already.
func (f *flight) leader(since time.Duration) *load {
	if f == nil || f.lead == nil || f.lead.sent < since {
		return nil
	}
	if f.lead.changes != f.changes || f.lead.answers != f.answers {
		return nil
	}
	return f.lead
}

// LoadFresh implements [store.FreshLoader]. It asks the store beneath, past its caches
// too, and never takes what was asked before. From then on Load returns nothing older.
func (s *Store) LoadFresh(ctx context.Context, key store.Key) (store.Record, error) {
	ask := s.back.Load
	if f, ok := s.back.(store.FreshLoader); ok {
		ask = f.LoadFresh
	}
	sh := s.shard(&key)
	sh.mu.Lock()
	l := s.beginLoad(sh, key)
	sh.mu.Unlock()
	return s.send(ctx, key, l, ask)
}

// beginLoad enters a load that others may wait for. The lock of sh is held.
func (s *Store) beginLoad(sh *shard, key store.Key) *load {
	l := &load{abandoned: true}
	s.begin(sh, key, &l.op, false)
	l.flight.lead = l
	return l
}

// send asks the store beneath, on behalf of all who wait for l.
func (s *Store) send(ctx context.Context, key store.Key, l *load,
	ask func(context.Context, store.Key) (store.Record, error),
) (store.Record, error) {
	defer s.endLoad(key, l) // also when ask panics
	l.rec, l.err = ask(ctx, key)
	l.abandoned = l.err != nil && !errors.Is(l.err, store.ErrNotFound) && ended(ctx)
	return l.rec, l.err
}

// ended reports whether ctx has ended. A connection with the same deadline may say so
// before the timer of ctx has fired.
func ended(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// endLoad leaves a load, and wakes those who wait for it.
func (s *Store) endLoad(key store.Key, l *load) {
	sh := s.shard(&key)
	sh.mu.Lock()
	f := l.flight
	if f.lead == l {
		f.lead = nil
	}
	if !l.abandoned && (l.err == nil || errors.Is(l.err, store.ErrNotFound)) {
		var found store.Record
		if l.err == nil {
			found = l.rec
		}
		if !s.answered(key, &l.op, found) {
			s.counts.dropped.Add(1)
		}
	}
	sh.end(key, f)
	done := l.done
	sh.mu.Unlock()
	if done != nil {
		close(done)
	}
}
