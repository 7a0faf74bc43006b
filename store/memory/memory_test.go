package memory_test

import (
	"context"
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/storetest"
)

func TestLaws(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memory.New()
		t.Cleanup(func() { require.NoError(t, s.Check()) })
		return s
	})
}

// key returns the nth key; the keys are spread over all shards.
func key(n int) store.Key {
	var k store.Key
	k[0] = byte(n)
	binary.BigEndian.PutUint64(k[1:], uint64(n)+1)
	return k
}

// record returns a record that lives for d.
func record(version int64, d time.Duration) store.Record {
	return store.Record{Data: []byte("data"), Version: version, Expires: time.Now().Add(d)}
}

func insert(t testing.TB, s *memory.Store, k store.Key, r store.Record) {
	t.Helper()
	require.NoError(t, s.Insert(t.Context(), k, r))
}

func TestZeroStoreIsReady(t *testing.T) {
	t.Parallel()
	var s memory.Store
	ctx := t.Context()
	_, err := s.Load(ctx, key(1))
	require.ErrorIs(t, err, store.ErrNotFound)
	_, err = s.Swap(ctx, key(1), 1, record(2, time.Hour))
	require.ErrorIs(t, err, store.ErrNotFound)
	require.NoError(t, s.Touch(ctx, key(1), 1, time.Now()))
	require.NoError(t, s.Delete(ctx, key(1)))
	list, err := s.ListOwner(ctx, "ada", store.Key{}, 10)
	require.NoError(t, err)
	require.Empty(t, list)
	n, err := s.DeleteOwner(ctx, "ada")
	require.NoError(t, err)
	require.Zero(t, n)
	n, err = s.DeleteExpired(ctx, 10)
	require.NoError(t, err)
	require.Zero(t, n)
	require.Zero(t, s.Len())

	r := record(1, time.Hour)
	r.Owner = "ada"
	insert(t, &s, key(1), r)
	got, err := s.Load(ctx, key(1))
	require.NoError(t, err)
	require.Equal(t, "data", string(got.Data))
	require.Equal(t, 1, s.Len())
}

func TestDataIsShared(t *testing.T) {
	t.Parallel()
	s := memory.New()
	r := record(1, time.Hour)
	insert(t, s, key(1), r)
	got, err := s.Load(t.Context(), key(1))
	require.NoError(t, err)
	require.Same(t, &r.Data[0], &got.Data[0])
}

func TestConflictReturnsTheRecord(t *testing.T) {
	t.Parallel()
	s := memory.New()
	r := record(1, time.Hour)
	insert(t, s, key(1), r)
	cur, err := s.Swap(t.Context(), key(1), 7, record(8, time.Hour))
	require.ErrorIs(t, err, store.ErrConflict)
	require.Equal(t, r.Version, cur.Version)
	require.Equal(t, r.Data, cur.Data)
}

func TestEndedContextDoesNothing(t *testing.T) {
	t.Parallel()
	s := memory.New()
	r := record(1, time.Hour)
	r.Owner = "ada"
	insert(t, s, key(1), r)
	insert(t, s, key(40), record(1, -time.Hour)) // in a shard that nothing visits
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	for name, do := range map[string]func() error{
		"Load":          func() error { _, err := s.Load(ctx, key(1)); return err },
		"Insert":        func() error { return s.Insert(ctx, key(3), r) },
		"Swap":          func() error { _, err := s.Swap(ctx, key(1), 1, record(2, time.Hour)); return err },
		"Touch":         func() error { return s.Touch(ctx, key(1), 1, r.Expires.Add(time.Hour)) },
		"Delete":        func() error { return s.Delete(ctx, key(1)) },
		"ListOwner":     func() error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 1); return err },
		"DeleteOwner":   func() error { _, err := s.DeleteOwner(ctx, "ada"); return err },
		"DeleteExpired": func() error { _, err := s.DeleteExpired(ctx, 10); return err },
	} {
		require.ErrorIs(t, do(), context.Canceled, name)
	}
	require.Equal(t, 2, s.Len())
	got, err := s.Load(t.Context(), key(1))
	require.NoError(t, err)
	require.Equal(t, int64(1), got.Version)
	require.Equal(t, r.Expires.UnixMilli(), got.Expires.UnixMilli())
}
