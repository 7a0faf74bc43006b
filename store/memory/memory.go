// Package memory keeps sessions in this process: for programs that run on one
// node, and for tests. Everything is lost when the process ends.
package memory

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

// DefaultMaxBytes is how much a Store holds unless WithMaxBytes says otherwise.
const DefaultMaxBytes int64 = 256 << 20

// shardCount is a power of two, so that a byte of the key chooses evenly.
const shardCount = 64

// ErrFull is returned by Insert, and by a Swap to a larger record, when the
// store has reached its bound and nothing in it has expired. Nothing has been
// changed then, and a record that was to be replaced is still there; it wraps
// [store.ErrRefused].
//
// A full store refuses what is new and never drops a live record to make room
// for it: otherwise anybody could log other visitors out by starting enough
// sessions. Replacing a record by one that is no larger, Touch and Delete
// always have room.
var ErrFull = fmt.Errorf("memory: store is full: %w", store.ErrRefused)

var (
	_ store.Store      = (*Store)(nil)
	_ store.OwnerIndex = (*Store)(nil)
	_ store.Sweeper    = (*Store)(nil)
)

// Store is a [store.Store] in memory, with an owner index, sweeping and change
// notification. Its clock is this process's, and a record is live until the
// millisecond of its Expires.
//
// Expired records leave by themselves, without a goroutine or a timer: each
// write removes a few from the shard it works on, and each Insert also from one
// other shard, in turn. More leave than come, so DeleteExpired need not be
// called; it is for who wants the memory back while nobody writes.
//
// All methods are safe for concurrent use. Given a context that has already
// ended they return its error and do nothing. The slices passed as Data are
// kept and handed out as they are, never copied.
//
// The zero Store is empty, ready for use, and bounded by DefaultMaxBytes. A
// Store must not be copied after its first use.
type Store struct {
	maxBytes int64 // not positive: DefaultMaxBytes
	used     atomic.Int64
	turn     atomic.Uint32 // the shard that the last Insert visited
	// Locks are taken in one order: a shard of records, then one of owners. No
	// two shards of one kind are ever locked together.
	records  [shardCount]shard
	owners   ownerIndex
	watchers watchers // each has a lock of its own, which is the last to be taken
}

// Option changes what New makes.
type Option func(*Store)

// WithMaxBytes bounds what the store holds to n bytes; see [ErrFull]. Counted
// are the data and the owner of each record, expired ones too until they are
// removed, and a fixed amount for the room that a record takes up besides.
// The default, which also stands in for an n that is not positive, is
// DefaultMaxBytes: there is no unbounded Store.
func WithMaxBytes(n int64) Option {
	return func(s *Store) { s.maxBytes = n }
}

// New returns an empty store.
func New(opts ...Option) *Store {
	s := new(Store)
	for _, opt := range opts {
		opt(s)
	}
	return s
}

// Len returns how many records the store holds, expired ones that have not been
// removed yet included. The shards are counted one after the other, so next to
// writes the answer is approximate.
func (s *Store) Len() int {
	n := 0
	for i := range s.records {
		sh := &s.records[i]
		sh.mu.RLock()
		n += len(sh.entries)
		sh.mu.RUnlock()
	}
	return n
}

// Load implements [store.Store]. It does not allocate.
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	sh := s.shard(&key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.live(&key, nowMilli())
	if e == nil {
		return store.Record{}, store.ErrNotFound
	}
	return e.record(), nil
}

// Insert implements [store.Store]. It takes the place of an expired record, and
// returns [ErrFull] if there is no room.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := s.insert(&key, &r)
	if errors.Is(err, ErrFull) && s.makeRoom(size(&r)) {
		err = s.insert(&key, &r)
	}
	s.visitNextShard()
	return err
}

func (s *Store) insert(key *store.Key, r *store.Record) error {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := nowMilli()
	s.dropExpired(sh, now, dropPerWrite)
	if e := sh.entries[*key]; e != nil {
		if e.expires > now {
			return store.ErrExists
		}
		s.remove(sh, e)
	}
	if !s.reserve(size(r)) {
		return ErrFull
	}
	e := &entry{key: *key}
	e.set(r)
	sh.add(e)
	s.owners.add(e)
	return nil
}

// Swap implements [store.Store]. It does not allocate unless the owner changes;
// when r is larger than what it replaces and there is no room it returns
// [ErrFull]. With a conflict it returns the current record.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	cur, err := s.swap(&key, old, &r)
	if errors.Is(err, ErrFull) && s.makeRoom(size(&r)) {
		cur, err = s.swap(&key, old, &r)
	}
	return cur, err
}

func (s *Store) swap(key *store.Key, old int64, r *store.Record) (store.Record, error) {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := nowMilli()
	s.dropExpired(sh, now, dropPerWrite)
	e := sh.live(key, now)
	switch {
	case e == nil:
		return store.Record{}, store.ErrNotFound
	case e.version == r.Version:
		return store.Record{}, nil // this very swap has been here before
	case e.version != old:
		return e.record(), store.ErrConflict
	}
	if !s.reserve(size(r) - e.size()) {
		return store.Record{}, ErrFull
	}
	if e.owner == r.Owner {
		e.set(r)
	} else {
		s.owners.remove(e)
		e.set(r)
		s.owners.add(e)
	}
	sh.moved(e)
	s.watchers.tell(key, r.Version)
	return store.Record{}, nil
}

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := s.shard(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := nowMilli()
	s.dropExpired(sh, now, dropPerWrite)
	ms := exp.UnixMilli()
	if e := sh.live(&key, now); e != nil && e.version == old && e.expires < ms {
		e.expires = ms
		sh.moved(e)
	}
	return nil
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sh := s.shard(&key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	now := nowMilli()
	s.dropExpired(sh, now, dropPerWrite)
	if e := sh.entries[key]; e != nil {
		s.remove(sh, e)
		if e.expires > now {
			s.watchers.tell(&key, 0)
		}
	}
	return nil
}

// nowMilli is called with the lock of a shard held: an operation that had to
// wait for the lock must not judge expiry by the time before the wait, or it
// could write to what another one has already reported as expired.
func nowMilli() int64 { return time.Now().UnixMilli() }
