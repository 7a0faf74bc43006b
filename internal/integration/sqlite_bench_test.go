package integration_test

import (
	"context"
	"encoding/binary"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

const benchRecords = 10_000

// filled returns a store with records of size bytes, all owned: most that are
// written often are.
func filled(b *testing.B, size int) *sqlstore.Store {
	b.Helper()
	db := openSQLite(b, dsn(newPath(b), recommended))
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	s := migrated(b, db)
	for i := range benchRecords {
		if err := s.Insert(b.Context(), key(i), benchRecord(1, size)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

// benchRecord returns other data for each version: SQLite would skip what is
// the same.
func benchRecord(version int64, size int) store.Record {
	r := owned(version, "ada")
	r.Data = binary.BigEndian.AppendUint64(make([]byte, 0, size), uint64(version))[:size]
	return r
}

func BenchmarkSQLiteLoad(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := filled(b, size)
			i := 0
			for b.Loop() {
				i++
				if _, err := s.Load(context.Background(), key(i*7919%benchRecords)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkSQLiteLoadParallel(b *testing.B) {
	s := filled(b, 1<<10)
	var seed atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		i := int(seed.Add(1)) * 1_000_003
		for pb.Next() {
			i++
			if _, err := s.Load(context.Background(), key(i*7919%benchRecords)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkSQLiteSwap(b *testing.B) {
	for _, size := range []int{1 << 10, 8 << 10} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			s := filled(b, size)
			i, version := 0, int64(1)
			for b.Loop() {
				n := i * 7919 % benchRecords
				if i++; i%benchRecords == 1 && i > 1 {
					version++
				}
				if _, err := s.Swap(context.Background(), key(n), version, benchRecord(version+1, size)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// One writes at a time: this is what the wait for one's turn costs.
func BenchmarkSQLiteSwapParallel(b *testing.B) {
	s := filled(b, 1<<10)
	var workers atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		k := key(1<<20 + int(workers.Add(1)))
		r := benchRecord(1, 1<<10)
		if err := s.Insert(context.Background(), k, r); err != nil {
			b.Error(err)
			return
		}
		for pb.Next() {
			next := benchRecord(r.Version+1, 1<<10)
			if _, err := s.Swap(context.Background(), k, r.Version, next); err != nil {
				b.Error(err)
				return
			}
			r = next
		}
	})
}

func BenchmarkSQLiteTouch(b *testing.B) {
	s := filled(b, 1<<10)
	exp := time.Now().Add(2 * time.Hour)
	i := 0
	for b.Loop() {
		i++
		exp = exp.Add(time.Millisecond)
		if err := s.Touch(context.Background(), key(i*7919%benchRecords), 1, exp); err != nil {
			b.Fatal(err)
		}
	}
}
