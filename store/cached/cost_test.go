package cached_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

func TestAllocations(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	ctx := t.Context()
	back := memory.New()
	s := cached.New(back, cached.WithTTL(time.Hour))
	none := cached.New(memory.New(), cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
	r := record(1)
	for i := range 1000 { // maps and buffers have grown before it is measured
		require.NoError(t, s.Insert(ctx, key(i), r))
	}
	version := int64(1)
	for name, c := range map[string]struct {
		most float64
		do   func() error
	}{
		"Load of a copy": {0, func() error { _, err := s.Load(ctx, aKey); return err }},
		"Load of a known absence": {0, func() error {
			if _, err := none.Load(ctx, aKey); err == nil {
				return errBroken
			}
			return nil
		}},
		"Touch": {0, func() error {
			r.Expires = r.Expires.Add(time.Second)
			return s.Touch(ctx, key(2), 1, r.Expires)
		}},
		"LoadFresh": {4, func() error { _, err := s.LoadFresh(ctx, key(3)); return err }},
		"Swap": {4, func() error {
			next := r
			next.Version = version + 1
			_, err := s.Swap(ctx, key(4), version, next)
			version++
			return err
		}},
	} {
		var err error
		got := testing.AllocsPerRun(500, func() {
			if err == nil {
				err = c.do()
			}
		})
		require.NoError(t, err, name)
		t.Logf("%s: %v", name, got)
		if got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", name, got, c.most)
		}
	}
}

const benchRecords = 10_000

// BenchmarkLoadHit compares a Load that a copy answers with one of the memory store:
// what a hit costs at the least, and what a store without a network costs.
func BenchmarkLoadHit(b *testing.B) {
	back := memory.New()
	near := cached.New(back, cached.WithTTL(time.Hour))
	for i := range benchRecords {
		r := record(1)
		r.Data = make([]byte, 200)
		require.NoError(b, near.Insert(b.Context(), key(i), r))
	}
	for _, c := range []struct {
		name string
		s    store.Store
	}{{"cached", near}, {"memory", back}} {
		b.Run(c.name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if _, err := c.s.Load(ctx, key(i*7919%benchRecords)); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, keys := range []int{benchRecords, 1} {
			name := c.name + "/parallel"
			if keys == 1 {
				name += "/one key"
			}
			b.Run(name, func(b *testing.B) {
				ctx := b.Context()
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					i := rand.IntN(keys)
					for pb.Next() {
						i++
						if _, err := c.s.Load(ctx, key(i*7919%keys)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
	if misses := near.Stats().Misses; misses > 0 {
		b.Fatalf("%d misses", misses)
	}
}
