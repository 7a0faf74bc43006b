package history_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/proofs/history"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// nearCache is younger than the grace, and older than most of what happens.
func nearCache(st store.Store) store.Store { return cached.New(st, cached.WithTTL(5*time.Millisecond)) }

// inBubble makes a history over nodes that share a store in memory, in a time of its
// own.
func inBubble(t *testing.T, seed uint64, faults bool, cache func(store.Store) store.Store, st store.Store) *history.History {
	t.Helper()
	var h *history.History
	synctest.Test(t, func(t *testing.T) {
		o := history.Options{
			Seed: seed, Where: "memory", Faults: faults, Cache: cache,
			Unit: time.Millisecond, Margin: 2 * time.Millisecond,
		}
		for range 2 + seed%2 {
			o.Stores = append(o.Stores, st)
		}
		var err error
		h, err = history.Run(t.Context(), o)
		require.NoError(t, err)
	})
	return h
}

// What clients are told could have happened one after the other, whatever they do at
// once and whatever gets lost.
func TestHistories(t *testing.T) {
	e := effort.Of(t)
	for _, c := range []struct {
		name        string
		faults      bool
		cache       func(store.Store) store.Store
		short, long int
	}{
		{"without faults", false, nil, 500, 20_000},
		{"with faults", true, nil, 500, 20_000},
		{"behind a cache", false, nearCache, 300, 20_000},
		{"behind a cache with faults", true, nearCache, 300, 20_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var tally history.Tally
			defer func() { t.Log(&tally) }()
			for i := range e.Count(c.short, c.long) {
				if e.Over() {
					break
				}
				h := inBubble(t, e.Rand(uint64(i)).Uint64(), c.faults, c.cache, memory.New())
				require.LessOrEqual(t, h.Operations(), 110, "a history has 100 operations, and touches")
				if v := h.Check(); tally.Add(h, v) {
					t.Fatal(v.Text)
				}
			}
			require.Less(t, 5*tally.Thrown, tally.Histories+5, "many histories say too little")
		})
	}
}
