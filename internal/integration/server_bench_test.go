package integration_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"
)

// onServersWith runs a benchmark in the ways in which drivers can be used.
func onServersWith(b *testing.B, run func(b *testing.B, sub *subject)) {
	b.Helper()
	for _, c := range []struct {
		name string
		srv  server
	}{
		{"PostgreSQL", postgres},
		{"PostgreSQL,exec", postgres.with("default_query_exec_mode=exec")},
		{"MariaDB", maria},
		{"MariaDB,interpolated", maria.with("interpolateParams=true")},
	} {
		b.Run(c.name, func(b *testing.B) {
			sub := c.srv.newSubject(b)
			for i := range benchRecords / 10 {
				if err := sub.Insert(b.Context(), key(i), benchRecord(1, 1<<10)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			run(b, sub)
		})
	}
}

func BenchmarkServerLoad(b *testing.B) {
	onServersWith(b, func(b *testing.B, sub *subject) {
		i := 0
		for b.Loop() {
			i++
			if _, err := sub.Load(context.Background(), key(i*7919%(benchRecords/10))); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkServerSwap(b *testing.B) {
	onServersWith(b, func(b *testing.B, sub *subject) {
		i, version := 0, int64(1)
		for b.Loop() {
			n := i * 7919 % (benchRecords / 10)
			if i++; i%(benchRecords/10) == 1 && i > 1 {
				version++
			}
			if _, err := sub.Swap(context.Background(), key(n), version, benchRecord(version+1, 1<<10)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkServerSwapParallel(b *testing.B) {
	onServersWith(b, func(b *testing.B, sub *subject) {
		var workers atomic.Int64
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			k := key(1<<20 + int(workers.Add(1)))
			r := benchRecord(1, 1<<10)
			if err := sub.Insert(context.Background(), k, r); err != nil {
				b.Error(err)
				return
			}
			for pb.Next() {
				next := benchRecord(r.Version+1, 1<<10)
				if _, err := sub.Swap(context.Background(), k, r.Version, next); err != nil {
					b.Error(err)
					return
				}
				r = next
			}
		})
	})
}

func BenchmarkServerTouch(b *testing.B) {
	onServersWith(b, func(b *testing.B, sub *subject) {
		exp := time.Now().Add(2 * time.Hour)
		i := 0
		for b.Loop() {
			i++
			exp = exp.Add(time.Millisecond)
			if err := sub.Touch(context.Background(), key(i*7919%(benchRecords/10)), 1, exp); err != nil {
				b.Fatal(err)
			}
		}
	})
}
