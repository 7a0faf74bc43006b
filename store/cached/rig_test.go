package cached_test

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// ttl is the bound in tests that let time pass in a bubble.
const ttl = 100 * time.Millisecond

var (
	errBroken = errors.New("the store is broken")
	aKey      = key(1)
)

// stage is a store that counts its calls, and lets a test delay and fail them.
type stage struct {
	*memory.Store
	// Called with the name of a method and how often it has been called. What they
	// return is returned instead of the answer: before, nothing has been done.
	before, after func(ctx context.Context, op string, n int) error
	watch         func(ctx context.Context, ready func(), changed func(store.Change)) error

	mu    sync.Mutex
	calls map[string]int
}

func newStage() *stage {
	return &stage{Store: memory.New(), calls: make(map[string]int)}
}

// asked returns how many Loads there were.
func (s *stage) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls["Load"]
}

func (s *stage) do(ctx context.Context, op string, f func() error) error {
	s.mu.Lock()
	s.calls[op]++
	n := s.calls[op]
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(ctx, op, n); err != nil {
			return err
		}
	}
	err := f()
	if s.after != nil {
		if err := s.after(ctx, op, n); err != nil {
			return err
		}
	}
	return err
}

func (s *stage) Load(ctx context.Context, key store.Key) (r store.Record, err error) {
	err = s.do(ctx, "Load", func() error { r, err = s.Store.Load(ctx, key); return err })
	return r, err
}

func (s *stage) Insert(ctx context.Context, key store.Key, r store.Record) error {
	return s.do(ctx, "Insert", func() error { return s.Store.Insert(ctx, key, r) })
}

func (s *stage) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (cur store.Record, err error) {
	err = s.do(ctx, "Swap", func() error { cur, err = s.Store.Swap(ctx, key, old, r); return err })
	return cur, err
}

func (s *stage) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	return s.do(ctx, "Touch", func() error { return s.Store.Touch(ctx, key, old, exp) })
}

func (s *stage) Delete(ctx context.Context, key store.Key) error {
	return s.do(ctx, "Delete", func() error { return s.Store.Delete(ctx, key) })
}

func (s *stage) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (n int64, err error) {
	err = s.do(ctx, "DeleteOwner", func() error { n, err = s.Store.DeleteOwner(ctx, owner, except...); return err })
	return n, err
}

func (s *stage) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	if s.watch == nil {
		return s.Store.Watch(ctx, ready, changed)
	}
	return s.watch(ctx, ready, changed)
}

// nth delays the nth call of op by d.
func nth(op string, n int, d time.Duration) func(context.Context, string, int) error {
	return func(ctx context.Context, got string, i int) error {
		if got != op || i != n {
			return nil
		}
		return pause(ctx, d)
	}
}

// failing fails every call of op.
func failing(op string) func(context.Context, string, int) error {
	return func(_ context.Context, got string, _ int) error {
		if got == op {
			return errBroken
		}
		return nil
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// key returns the nth key; the keys are spread over all shards.
func key(n int) store.Key {
	var k store.Key
	k[0] = byte(n)
	binary.BigEndian.PutUint64(k[1:], uint64(n)+1)
	return k
}

// record returns a record that lives for an hour.
func record(version int64) store.Record {
	return store.Record{Data: []byte("data"), Version: version, Expires: time.Now().Add(time.Hour), Owner: "ada"}
}

// newPair returns a cache in front of a stage that holds version 1, which the cache
// has not seen.
func newPair(t *testing.T, opts ...cached.Option) (*cached.Store, *stage) {
	t.Helper()
	st := newStage()
	require.NoError(t, st.Store.Insert(t.Context(), aKey, record(1)))
	return cached.New(st, append([]cached.Option{cached.WithTTL(ttl)}, opts...)...), st
}

// swap lets another node replace the record.
func (s *stage) swap(t *testing.T, old, version int64) {
	t.Helper()
	_, err := s.Store.Swap(t.Context(), aKey, old, record(version))
	require.NoError(t, err)
}

// loads checks which version Load returns, absent being 0.
func loads(t *testing.T, s *cached.Store, want int64, msg ...any) {
	t.Helper()
	r, err := s.Load(t.Context(), aKey)
	if want == 0 {
		require.ErrorIs(t, err, store.ErrNotFound, msg...)
		return
	}
	require.NoError(t, err, msg...)
	require.Equal(t, want, r.Version, msg...)
}

// fresh checks which version LoadFresh returns.
func fresh(t *testing.T, s *cached.Store, want int64) {
	t.Helper()
	r, err := s.LoadFresh(t.Context(), aKey)
	require.NoError(t, err)
	require.Equal(t, want, r.Version)
}

// silent logs nothing.
var silent = slog.New(slog.DiscardHandler)
