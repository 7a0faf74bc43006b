package memory_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// sized returns a record that counts as n bytes and lives for d.
func sized(version, n int64, d time.Duration) store.Record {
	r := record(version, d)
	r.Owner = "ada"
	r.Data = make([]byte, n-memory.EntryOverhead-int64(len(r.Owner)))
	return r
}

func TestFullStoreRefuses(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.WithMaxBytes(10_000))
	ctx := t.Context()
	for i := range 10 {
		insert(t, s, key(i), sized(1, 1000, time.Hour))
	}
	require.ErrorIs(t, s.Insert(ctx, key(10), sized(1, 1000, time.Hour)), memory.ErrFull)
	require.Equal(t, 10, s.Len(), "no live record was evicted")
	_, err := s.Load(ctx, key(10))
	require.ErrorIs(t, err, store.ErrNotFound)

	// What is there already, or is not, is still said rightly.
	require.ErrorIs(t, s.Insert(ctx, key(1), sized(2, 5000, time.Hour)), store.ErrExists)
	_, err = s.Swap(ctx, key(10), 1, sized(2, 5000, time.Hour))
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.Swap(ctx, key(1), 9, sized(2, 5000, time.Hour))
	require.ErrorIs(t, err, store.ErrConflict)
	_, err = s.Swap(ctx, key(1), 9, sized(1, 5000, time.Hour))
	require.NoError(t, err, "this swap has happened before")

	// A Swap that grows is refused, and leaves the record.
	_, err = s.Swap(ctx, key(1), 1, sized(2, 1001, time.Hour))
	require.ErrorIs(t, err, memory.ErrFull)
	got, err := s.Load(ctx, key(1))
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Version)

	// One that does not grow has room, and one that shrinks makes some.
	_, err = s.Swap(ctx, key(1), 1, sized(2, 1000, time.Hour))
	require.NoError(t, err)
	require.NoError(t, s.Touch(ctx, key(1), 2, time.Now().Add(2*time.Hour)))
	_, err = s.Swap(ctx, key(1), 2, sized(3, 600, time.Hour))
	require.NoError(t, err)
	insert(t, s, key(11), sized(1, 400, time.Hour))
	require.NoError(t, s.Delete(ctx, key(1)))
	insert(t, s, key(12), sized(1, 600, time.Hour))
	require.EqualValues(t, 10_000, s.Used())

	for i := range 13 {
		require.NoError(t, s.Delete(ctx, key(i)))
	}
	require.Zero(t, s.Used())
	require.NoError(t, s.Check())
}

func TestExpiredMakeRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New(memory.WithMaxBytes(100_000))
		ctx := t.Context()
		insert(t, s, key(0), sized(1, 1000, time.Hour))
		for i := range 99 {
			insert(t, s, key(1+i), sized(1, 1000, time.Minute))
		}
		require.ErrorIs(t, s.Insert(ctx, key(200), sized(1, 1000, time.Hour)), memory.ErrFull)
		time.Sleep(time.Minute)
		// More than a write removes in passing: most of the other shards give.
		_, err := s.Swap(ctx, key(0), 1, sized(2, 90_000, time.Hour))
		require.NoError(t, err)
		insert(t, s, key(201), sized(1, 10_000, time.Hour))
		require.Equal(t, 2, s.Len())
		require.ErrorIs(t, s.Insert(ctx, key(202), sized(1, 300, time.Hour)), memory.ErrFull)
		require.NoError(t, s.Check())
	})
}

func TestTooLargeForAnyRoom(t *testing.T) {
	t.Parallel()
	s := memory.New(memory.WithMaxBytes(1000))
	insert(t, s, key(1), sized(1, 500, -time.Hour))
	require.ErrorIs(t, s.Insert(t.Context(), key(2), sized(1, 1001, time.Hour)), memory.ErrFull)
	require.NoError(t, s.Check())
}

func TestDefaultBound(t *testing.T) {
	t.Parallel()
	const half = memory.DefaultMaxBytes / 2
	for name, s := range map[string]*memory.Store{
		"New":      memory.New(),
		"zero":     new(memory.Store),
		"0":        memory.New(memory.WithMaxBytes(0)),
		"negative": memory.New(memory.WithMaxBytes(-1)),
	} {
		data := make([]byte, half-memory.EntryOverhead) // shared by both records
		r := store.Record{Data: data, Version: 1, Expires: time.Now().Add(time.Hour)}
		insert(t, s, key(1), r)
		insert(t, s, key(2), r)
		r.Data = nil
		require.ErrorIs(t, s.Insert(t.Context(), key(3), r), memory.ErrFull, name)
	}
}

// Many at once neither exceed the bound nor are refused while there is room.
func TestBoundUnderConcurrency(t *testing.T) {
	t.Parallel()
	const room, workers, each = 500, 8, 200
	s := memory.New(memory.WithMaxBytes(room * 1000))
	var in atomic.Int64
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				if s.Insert(t.Context(), key(w*each+i), sized(1, 1000, time.Hour)) == nil {
					in.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, room, in.Load())
	require.Equal(t, room, s.Len())
	require.NoError(t, s.Check())
}
