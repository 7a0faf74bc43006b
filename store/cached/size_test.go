package cached_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// Both bounds hold, whichever is met first.
func TestSize(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts    []cached.Option
		data    int
		entries int   // at most
		bytes   int64 // at most
	}{
		"entries": {[]cached.Option{cached.WithMaxEntries(100), cached.WithMaxBytes(1 << 20)}, 10, 100, 1 << 20},
		"bytes":   {[]cached.Option{cached.WithMaxEntries(1e6), cached.WithMaxBytes(100_000)}, 1000 - cached.EntryOverhead - 3, 100, 100_000},
		"one":     {[]cached.Option{cached.WithMaxEntries(1)}, 10, 1, cached.DefaultMaxBytes},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cached.New(memory.New(), append(c.opts, cached.WithTTL(time.Hour))...)
			r := record(1)
			r.Data = make([]byte, c.data)
			for i := range 5000 {
				require.NoError(t, s.Insert(t.Context(), key(i), r))
				if i%100 == 0 {
					stats := s.Stats()
					require.LessOrEqual(t, stats.Entries, c.entries)
					require.LessOrEqual(t, stats.Bytes, c.bytes)
				}
			}
			stats := s.Stats()
			require.GreaterOrEqual(t, stats.Entries, c.entries*9/10)
			require.GreaterOrEqual(t, stats.Bytes, c.bytes*8/10)
			_, err := s.Load(t.Context(), key(17))
			require.NoError(t, err, "what was evicted is loaded")
		})
	}
}

func TestTooLargeToKeep(t *testing.T) {
	t.Parallel()
	s := cached.New(memory.New(), cached.WithTTL(time.Hour), cached.WithMaxBytes(1000))
	r := record(1)
	r.Data = make([]byte, 1000)
	require.NoError(t, s.Insert(t.Context(), aKey, r))
	require.Zero(t, s.Stats().Entries)
	loads(t, s, 1)
}

func TestWeightsOfLargeBounds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		entries int
		bytes   int64
		most    uint64
		least   uint32
	}{
		{1, 1, 1, 1},
		{10, 9, 9, 1},
		{10, 10, 10, 1},
		{10, 11, 11, 2},
		{1, math.MaxInt64, math.MaxUint32, math.MaxUint32},
		{2, math.MaxInt64, 2 * math.MaxUint32, math.MaxUint32},
		{math.MaxInt, math.MaxInt64, math.MaxInt64, 1},
	} {
		s := cached.New(memory.New(), cached.WithMaxEntries(c.entries), cached.WithMaxBytes(c.bytes))
		most, least := s.Weights()
		require.Equal(t, c.most, most, "%+v", c)
		require.Equal(t, c.least, least, "%+v", c)
	}
}

func TestStats(t *testing.T) {
	t.Parallel()
	s, st := newPair(t, cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
	for range 3 {
		loads(t, s, 1)
	}
	for range 3 {
		_, err := s.Load(t.Context(), key(9))
		require.ErrorIs(t, err, store.ErrNotFound)
	}
	fresh(t, s, 1)
	require.Equal(t, cached.Stats{Hits: 2, NegativeHits: 2, Misses: 2, Entries: 2, Bytes: s.Stats().Bytes}, s.Stats())
	require.EqualValues(t, 2*(cached.DefaultMaxBytes/cached.DefaultMaxEntries+1), s.Stats().Bytes)
	hear(t, s, st, store.Change{Key: aKey})
	hear(t, s, st, store.Change{Key: key(5)})
	stats := s.Stats()
	require.EqualValues(t, 2, stats.Invalidations)
	require.Equal(t, 1, stats.Entries)
}
