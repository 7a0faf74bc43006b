package cached_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/storetest"
)

func TestLaws(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]cached.Option{
		"default":  nil,
		"short":    {cached.WithTTL(time.Millisecond)},
		"long":     {cached.WithTTL(time.Hour)},
		"negative": {cached.WithTTL(time.Hour), cached.WithNegative(time.Hour)},
		"tiny":     {cached.WithTTL(time.Hour), cached.WithMaxEntries(1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t *testing.T) store.Store {
				s := cached.New(memory.New(), opts...)
				t.Cleanup(func() { require.Zero(t, s.Flights()) })
				return s
			})
		})
	}
}

// A cache in front of a cache keeps the laws, too.
func TestLawsOfTwo(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store {
		return cached.New(cached.New(memory.New(), cached.WithTTL(time.Hour)), cached.WithTTL(time.Hour))
	})
}

// What the store beneath cannot do, the cache cannot do.
func TestUnsupported(t *testing.T) {
	t.Parallel()
	bare := struct{ store.Store }{memory.New()}
	s := cached.New(bare)
	require.Equal(t, store.Store(bare), s.Beneath())
	ctx := t.Context()
	_, errList := s.ListOwner(ctx, "ada", store.Key{}, 1)
	_, errDelete := s.DeleteOwner(ctx, "ada")
	_, errSweep := s.DeleteExpired(ctx, 1)
	for name, err := range map[string]error{
		"ListOwner":     errList,
		"DeleteOwner":   errDelete,
		"DeleteExpired": errSweep,
		"Watch":         s.Watch(ctx, func() {}, func(store.Change) {}),
		"Run":           s.Run(ctx),
	} {
		require.ErrorIs(t, err, errors.ErrUnsupported, name)
	}
	// What every store can do works.
	require.NoError(t, s.Insert(ctx, aKey, record(1)))
	fresh(t, s, 1)
}

func TestNilStore(t *testing.T) {
	t.Parallel()
	require.PanicsWithValue(t, "cached.New: the store to put it in front of is nil", func() { cached.New(nil) })
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*cached.Store{
		"none": cached.New(memory.New()),
		"zero": cached.New(memory.New(), cached.WithTTL(0), cached.WithMaxEntries(0), cached.WithMaxBytes(0),
			cached.WithNegative(0), cached.WithLogger(nil)),
		"negative": cached.New(memory.New(), cached.WithTTL(-1), cached.WithMaxEntries(-1), cached.WithMaxBytes(-1),
			cached.WithNegative(-1)),
	} {
		bound, negative := s.Bounds()
		require.Equal(t, cached.DefaultTTL, bound, name)
		require.Zero(t, negative, name)
		most, least := s.Weights()
		require.EqualValues(t, cached.DefaultMaxBytes, most, name)
		require.EqualValues(t, cached.DefaultMaxBytes/cached.DefaultMaxEntries+1, least, name)
	}
	_, negative := cached.New(memory.New(), cached.WithTTL(time.Second), cached.WithNegative(time.Minute)).Bounds()
	require.Equal(t, time.Second, negative, "no longer than the TTL")
}
