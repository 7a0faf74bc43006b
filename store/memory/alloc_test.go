package memory_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

func TestAllocations(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := memory.New()
	ctx := t.Context()
	r := owned(1, "ada")
	insert(t, s, key(1), r)
	// Maps and heaps have grown before it is measured.
	const grown = 100_000
	for i := range grown {
		insert(t, s, key(i+2), r)
	}
	for i := range grown {
		require.NoError(t, s.Delete(ctx, key(i+2)))
	}
	version, next := int64(1), 0
	for name, c := range map[string]struct {
		most float64
		do   func()
	}{
		"Load": {0, func() { _, _ = s.Load(ctx, key(1)) }},
		"Load of nothing": {0, func() {
			_, _ = s.Load(ctx, store.Key{9})
		}},
		"Swap": {0, func() {
			r.Version = version + 1
			if _, err := s.Swap(ctx, key(1), version, r); err != nil {
				panic(err)
			}
			version++
		}},
		"Swap with a conflict": {0, func() {
			stale := r
			stale.Version = -2
			_, _ = s.Swap(ctx, key(1), -1, stale)
		}},
		"Touch": {0, func() {
			r.Expires = r.Expires.Add(time.Second)
			_ = s.Touch(ctx, key(1), version, r.Expires)
		}},
		"Insert": {1, func() {
			next++
			if err := s.Insert(ctx, key(1+next), r); err != nil {
				panic(err)
			}
		}},
		"Delete": {0, func() { _ = s.Delete(ctx, store.Key{8}) }},
	} {
		if got := testing.AllocsPerRun(500, c.do); got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, c.most)
		}
	}
}
