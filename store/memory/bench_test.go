package memory_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

const benchRecords = 100_000

func filled(b *testing.B) *memory.Store {
	b.Helper()
	s := memory.New(memory.WithMaxBytes(4 << 30))
	for i := range benchRecords {
		r := record(1, time.Hour+time.Duration(i*7919%benchRecords)*time.Millisecond)
		r.Data = make([]byte, 200)
		insert(b, s, key(i), r)
	}
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

func BenchmarkLoad(b *testing.B) {
	s := filled(b)
	ctx := b.Context()
	i := 0
	for b.Loop() {
		i++
		if _, err := s.Load(ctx, key(i*7919%benchRecords)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoadParallel(b *testing.B) {
	s := filled(b)
	ctx := b.Context()
	var seed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(seed.Add(1)) * 1_000_003
		for pb.Next() {
			i++
			if _, err := s.Load(ctx, key(i*7919%benchRecords)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSwap(b *testing.B) {
	s := filled(b)
	ctx := b.Context()
	r := record(1, 2*time.Hour)
	versions := make([]int64, benchRecords)
	i := 0
	for b.Loop() {
		i++
		n := i * 7919 % benchRecords
		old := 1 + versions[n]
		versions[n]++
		r.Version = old + 1
		r.Expires = r.Expires.Add(time.Millisecond)
		if _, err := s.Swap(ctx, key(n), old, r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSwapParallel(b *testing.B) {
	s := filled(b)
	ctx := b.Context()
	var workers atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		r := record(1, 2*time.Hour)
		k := store.Key{byte(workers.Add(1)), 0xff}
		if err := s.Insert(ctx, k, r); err != nil {
			b.Error(err)
			return
		}
		for pb.Next() {
			old := r.Version
			r.Version++
			if _, err := s.Swap(ctx, k, old, r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkInsertParallel inserts records that expire soon, so that it also
// pays for those that leave.
func BenchmarkInsertParallel(b *testing.B) {
	s := filled(b)
	ctx := b.Context()
	var next atomic.Int64
	data := make([]byte, 200)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := store.Record{Data: data, Version: 1, Expires: time.Now().Add(50 * time.Millisecond)}
			if err := s.Insert(ctx, key(benchRecords+int(next.Add(1))), r); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
