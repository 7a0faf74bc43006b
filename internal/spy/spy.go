// Package spy wraps a store for tests: it records the calls and lets a test
// delay, break, repeat or replace them.
package spy

import (
	"context"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// Op names a method of store.Store.
type Op string

// The methods.
const (
	Load   Op = "Load"
	Insert Op = "Insert"
	Swap   Op = "Swap"
	Touch  Op = "Touch"
	Delete Op = "Delete"
)

// Call is one call of the store. Next makes it happen; Record and Err hold its
// answer then, and are what the caller gets.
type Call struct {
	Op      Op
	Key     store.Key
	Old     int64
	Arg     store.Record
	Expires time.Time // of Touch

	Record store.Record
	Err    error
	Next   func()
}

// Hook is asked for every call instead of the store. One that does nothing
// answers with the zero Record and no error.
type Hook func(ctx context.Context, c *Call)

// Store is a store.Store without further capabilities. It is safe for concurrent
// use.
type Store struct {
	inner store.Store

	mu    sync.Mutex
	hook  Hook
	calls []Op
}

// Wrap returns a spy on inner.
func Wrap(inner store.Store) *Store { return &Store{inner: inner} }

// Hook replaces the hook; nil removes it.
func (s *Store) Hook(h Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = h
}

// Calls returns the calls since the last time it was called.
func (s *Store) Calls() []Op {
	s.mu.Lock()
	defer s.mu.Unlock()
	calls := s.calls
	s.calls = nil
	return calls
}

func (s *Store) call(ctx context.Context, c *Call) {
	s.mu.Lock()
	s.calls = append(s.calls, c.Op)
	hook := s.hook
	s.mu.Unlock()
	if hook == nil {
		c.Next()
		return
	}
	hook(ctx, c)
}

// Load implements store.Store.
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	c := &Call{Op: Load, Key: key}
	c.Next = func() { c.Record, c.Err = s.inner.Load(ctx, key) }
	s.call(ctx, c)
	return c.Record, c.Err
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	c := &Call{Op: Insert, Key: key, Arg: r}
	c.Next = func() { c.Err = s.inner.Insert(ctx, key, c.Arg) }
	s.call(ctx, c)
	return c.Err
}

// Swap implements store.Store.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	c := &Call{Op: Swap, Key: key, Old: old, Arg: r}
	c.Next = func() { c.Record, c.Err = s.inner.Swap(ctx, key, c.Old, c.Arg) }
	s.call(ctx, c)
	return c.Record, c.Err
}

// Touch implements store.Store.
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	c := &Call{Op: Touch, Key: key, Old: old, Expires: exp}
	c.Next = func() { c.Err = s.inner.Touch(ctx, key, c.Old, c.Expires) }
	s.call(ctx, c)
	return c.Err
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	c := &Call{Op: Delete, Key: key}
	c.Next = func() { c.Err = s.inner.Delete(ctx, key) }
	s.call(ctx, c)
	return c.Err
}
