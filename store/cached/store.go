package cached

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/typedsession/session/store"
)

var (
	_ store.Store       = (*Store)(nil)
	_ store.FreshLoader = (*Store)(nil)
	_ store.OwnerIndex  = (*Store)(nil)
	_ store.Sweeper     = (*Store)(nil)
	_ store.Watcher     = (*Store)(nil)
	_ store.Layer       = (*Store)(nil)
)

// Store is a near cache in front of another store. Make one with New; the zero Store
// is of no use.
//
// All methods are safe for concurrent use. Errors are those of the store beneath,
// unchanged; the Store adds that of a context that ended while it waited, and says
// that the store beneath lacks a capability, with an error that wraps
// errors.ErrUnsupported.
//
// Records come out with Expires in whole milliseconds. The slices passed as Data are
// kept and handed out as they are, never copied.
type Store struct {
	back      store.Store
	config    config
	epoch     time.Time // what durations count from, on the monotonic clock
	cache     *otter.Cache[store.Key, *entry]
	counts    counts
	listening atomic.Int32 // subscriptions of Run that stand
	shards    [shardCount]shard
}

// New returns a cache in front of back, which stays the caller's, to close for
// example. The cache itself needs no closing: nothing runs when no method does. New
// panics when back is nil.
func New(back store.Store, opts ...Option) *Store {
	if back == nil {
		panic("cached.New: the store to put it in front of is nil")
	}
	s := &Store{back: back, config: newConfig(opts), epoch: time.Now()}
	s.counts.init()
	most, least := s.config.weights()
	// No expiry of its own: that starts a goroutine which nobody stops, and reads the
	// wall clock. Upkeep is done by whoever reads or writes: an executor of its own
	// would start goroutines, too.
	s.cache = otter.Must(&otter.Options[store.Key, *entry]{
		MaximumWeight: most,
		Weigher:       func(_ store.Key, e *entry) uint32 { return weigh(e, least) },
		Executor:      func(upkeep func()) { upkeep() },
		Logger:        &otter.NoopLogger{}, // it reports panics of what is given to it here, which do not panic
	})
	return s
}

// now returns the time since the Store was made, by the monotonic clock.
func (s *Store) now() time.Duration { return time.Since(s.epoch) }

// Beneath implements [store.Layer]: it returns the store that New was given, which
// has the capabilities that this one can have.
func (s *Store) Beneath() store.Store { return s.back }

// Insert implements [store.Store]. What was inserted is cached.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	w := s.beginWrite(key, unknown, r.Version, true)
	var found store.Record
	defer func() { s.endWrite(key, w, found) }() // also when the store beneath panics
	err := s.back.Insert(ctx, key, r)
	if err == nil {
		found = r
	}
	return err
}

// Swap implements [store.Store]. What was written is cached, and so is the record that
// a conflict returns.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	w := s.beginWrite(key, old, r.Version, false)
	var found store.Record
	defer func() { s.endWrite(key, w, found) }()
	cur, err := s.back.Swap(ctx, key, old, r)
	switch {
	case err == nil:
		found = r
	case errors.Is(err, store.ErrConflict):
		found = cur // the zero Record where the store cannot tell
	}
	return cur, err
}

// Touch implements [store.Store]. The copy shows the later end, but gets no younger, and
// is used no longer: a Touch that has changed nothing is no error.
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	if err := s.back.Touch(ctx, key, old, exp); err != nil {
		return err
	}
	sh := s.shard(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	// A copy that has ended stays so: the record may have ended as well.
	if e := s.peek(key); e != nil && e.rec.Version == old && time.Now().UnixMilli() < e.expires.Load() {
		e.lengthen(exp.UnixMilli())
	}
	return nil
}

// Delete implements [store.Store]. The copy is dropped before and after, also when the
// store beneath fails; its error is returned.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	w := s.beginWrite(key, unknown, absent, true)
	defer s.endWrite(key, w, store.Record{})
	return s.back.Delete(ctx, key)
}
