package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// How many round trips each operation takes, and that each command concerns one
// key, with the prefix.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		p := prefix()
		s := redisstore.New(c, redisstore.WithPrefix(p))
		for range 50 { // scripts are known then, on each node
			require.NoError(t, everything(t, on(c)))
		}
		tr := watch(c)
		r, nobody := record("ada"), record("")
		key, plain := newKey(), newKey()
		ctx := t.Context()
		for _, step := range []struct {
			name  string
			trips int
			do    func() error
		}{
			{"insert", 1, func() error { return s.Insert(ctx, plain, nobody) }},
			{"insert with an owner", 2, func() error { return s.Insert(ctx, key, r) }},
			{"load", 1, func() error { _, err := s.Load(ctx, key); return err }},
			{"swap", 1, func() error {
				next := record("ada")
				next.Expires = r.Expires.Add(50 * time.Minute)
				_, err := s.Swap(ctx, key, r.Version, next)
				r = next
				return err
			}},
			{"touch", 1, func() error { return s.Touch(ctx, key, r.Version, r.Expires.Add(time.Minute)) }},
			{"swap beyond the hint", 3, func() error {
				next := record("ada")
				next.Expires = r.Expires.Add(24 * time.Hour)
				_, err := s.Swap(ctx, key, r.Version, next)
				r = next
				return err
			}},
			{"touch beyond the hint", 3, func() error { return s.Touch(ctx, key, r.Version, r.Expires.Add(48*time.Hour)) }},
			{"swap from nobody", 3, func() error { _, err := s.Swap(ctx, plain, nobody.Version, r); return err }},
			{"swap to nobody", 1, func() error { _, err := s.Swap(ctx, plain, r.Version, nobody); return err }},
			{"conflict", 1, func() error { _, _ = s.Swap(ctx, key, 1, record("bob")); return nil }},
			{"list", 2, func() error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 10); return err }},
			{"list nobody", 1, func() error { _, err := s.ListOwner(ctx, "nobody", store.Key{}, 10); return err }},
			{"delete", 1, func() error { return s.Delete(ctx, plain) }},
			{"delete owner", 2, func() error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
			{"delete nobody", 1, func() error { _, err := s.DeleteOwner(ctx, "nobody"); return err }},
		} {
			tr.take()
			require.NoError(t, step.do(), step.name)
			trips, cmds := tr.take()
			require.Equal(t, step.trips, trips, "%s: %q", step.name, cmds)
			for _, cmd := range cmds {
				keys := keysOf(t, cmd)
				require.Len(t, keys, 1, "%v", cmd[0])
				require.True(t, strings.HasPrefix(keys[0], p))
				require.Len(t, strings.TrimPrefix(strings.TrimPrefix(keys[0], p), "owner:"), 43)
			}
		}
	})
}

func TestAllocations(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	s := on(single(t))
	ctx := context.Background()
	r := record("ada")
	r.Data = make([]byte, 1000)
	key := put(t, s, r)
	for name, c := range map[string]struct {
		most float64
		do   func() error
	}{
		"Load": {9, func() error { _, err := s.Load(ctx, key); return err }},
		"Swap": {11, func() error {
			next := r
			next.Version++
			_, err := s.Swap(ctx, key, r.Version, next)
			r = next
			return err
		}},
		"Touch": {13, func() error {
			r.Expires = r.Expires.Add(time.Millisecond)
			return s.Touch(ctx, key, r.Version, r.Expires)
		}},
	} {
		var err error
		got := testing.AllocsPerRun(200, func() {
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

func BenchmarkStore(b *testing.B) {
	ctx := context.Background()
	for name, c := range map[string]func(testing.TB) redis.UniversalClient{
		"single":  func(t testing.TB) redis.UniversalClient { return single(t) },
		"cluster": func(t testing.TB) redis.UniversalClient { return cluster(t) },
	} {
		s := on(c(b))
		for _, owner := range []string{"", "ada"} {
			r := record(owner)
			r.Data = make([]byte, 1000)
			key := put(b, s, r)
			for op, do := range map[string]func() error{
				"Load": func() error { _, err := s.Load(ctx, key); return err },
				"Swap": func() error {
					next := r
					next.Version++
					_, err := s.Swap(ctx, key, r.Version, next)
					r = next
					return err
				},
				"Touch": func() error {
					r.Expires = r.Expires.Add(time.Millisecond)
					return s.Touch(ctx, key, r.Version, r.Expires)
				},
				"Insert": func() error { return s.Insert(ctx, newKey(), r) },
			} {
				b.Run(fmt.Sprintf("%s/owner=%s/%s", name, owner, op), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if err := do(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}
