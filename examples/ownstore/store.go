// Package ownstore is a store of one's own at its smallest: a map behind a mutex.
// It is there to be read; programs use store/memory.
package ownstore

import (
	"context"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// Store is a store.Store in a map, with sweeping. Make one with New. All methods are
// safe for concurrent use.
type Store struct {
	mu      sync.Mutex // each method holds it once, from its look to its change
	records map[store.Key]store.Record
}

// New returns an empty store.
func New() *Store { return &Store{records: make(map[store.Key]store.Record)} }

// live returns the record of key unless it has expired. It looks at the clock with
// the lock held: whoever waited for the lock must not go by the time before.
func (s *Store) live(key store.Key) (store.Record, bool) {
	r, ok := s.records[key]
	return r, ok && r.Expires.After(time.Now())
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.live(key)
	if !ok {
		return store.Record{}, store.ErrNotFound
	}
	return r, nil // its Data is shared: nobody ever writes to it
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.live(key); ok {
		return store.ErrExists
	}
	s.records[key] = r
	return nil
}

// Swap implements store.Store.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	cur, ok := s.live(key)
	switch {
	case !ok:
		return store.Record{}, store.ErrNotFound // and nothing is created
	case cur.Version == r.Version:
		return store.Record{}, nil // this very swap has been here, and its answer was lost
	case cur.Version != old:
		return cur, store.ErrConflict
	}
	s.records[key] = r
	return store.Record{}, nil
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if cur, ok := s.live(key); ok && cur.Version == old && cur.Expires.Before(exp) {
		cur.Expires = exp
		s.records[key] = cur
	}
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key)
	return nil
}

// DeleteExpired implements store.Sweeper. It looks at every record with the lock
// held; with many of them, keep an order by Expires instead.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (n int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.records {
		if _, ok := s.live(key); !ok && n < int64(limit) {
			delete(s.records, key)
			n++
		}
	}
	return n, ctx.Err()
}
