package integration_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/typedsession/session/store/sqlstore"
)

// What it costs to go through a pgxpool.Pool: docs/stores.md has the ratio. Both
// take turns, so that what else the machine does meets both.
func BenchmarkSetupPool(b *testing.B) {
	const records = 100
	sub := postgres.newSubject(b)
	_, pooled := openPool(b, sub.dsn, 8)
	ways := []*sqlstore.Store{sub.Store, sub.server.newStore(b, pooled, sub.table)}
	for i := range len(ways) * records {
		if err := sub.Insert(b.Context(), key(i), benchRecord(1, 1<<10)); err != nil {
			b.Fatal(err)
		}
	}
	operations := []struct {
		name string
		do   func(s *sqlstore.Store, way, n int) error
	}{
		{"Load", func(s *sqlstore.Store, way, n int) error {
			_, err := s.Load(context.Background(), key(way*records+n%records))
			return err
		}},
		{"Swap", func(s *sqlstore.Store, way, n int) error {
			version := int64(1 + n/records)
			_, err := s.Swap(context.Background(), key(way*records+n%records), version, benchRecord(version+1, 1<<10))
			return err
		}},
	}
	for _, op := range operations {
		n := 0 // goes on: the versions do
		b.Run(op.name, func(b *testing.B) {
			took := make([][]time.Duration, len(ways))
			for b.Loop() {
				for i := range ways {
					way := (i + n) % len(ways) // in turns who comes first
					begun := time.Now()
					if err := op.do(ways[way], way, n); err != nil {
						b.Fatal(err)
					}
					took[way] = append(took[way], time.Since(begun))
				}
				n++
			}
			report(b, took)
		})
	}
	b.Run("LoadParallel", func(b *testing.B) {
		const workers, each = 16, 20 // twice as many as there are connections
		took := make([][]time.Duration, len(ways))
		for n := 0; b.Loop(); n++ {
			for i := range ways {
				way := (i + n) % len(ways)
				begun := time.Now()
				var wg sync.WaitGroup
				for w := range workers {
					wg.Go(func() {
						for i := range each {
							if _, err := ways[way].Load(context.Background(), key(w+i)); err != nil {
								b.Error(err)
							}
						}
					})
				}
				wg.Wait()
				took[way] = append(took[way], time.Since(begun)/(workers*each))
			}
		}
		report(b, took)
	})
}

// report gives the medians of both ways, and their ratio.
func report(b *testing.B, took [][]time.Duration) {
	b.Helper()
	direct, pool := median(took[0]), median(took[1])
	b.ReportMetric(float64(direct.Nanoseconds()), "direct-ns")
	b.ReportMetric(float64(pool.Nanoseconds()), "pool-ns")
	b.ReportMetric(float64(pool)/float64(direct), "pool/direct")
}

func median(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)/2]
}
