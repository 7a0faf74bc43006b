package memory_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

func owned(version int64, owner string) store.Record {
	r := record(version, time.Hour)
	r.Owner = owner
	return r
}

func TestEmptyOwnerIsNobody(t *testing.T) {
	t.Parallel()
	s := memory.New()
	insert(t, s, key(1), owned(1, ""))
	list, err := s.ListOwner(t.Context(), "", store.Key{}, 10)
	require.NoError(t, err)
	require.Empty(t, list)
	n, err := s.DeleteOwner(t.Context(), "")
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, 1, s.Len())
}

func TestListOwnerWithoutLimit(t *testing.T) {
	t.Parallel()
	s := memory.New()
	insert(t, s, key(1), owned(1, "ada"))
	for _, limit := range []int{0, -1} {
		list, err := s.ListOwner(t.Context(), "ada", store.Key{}, limit)
		require.NoError(t, err)
		require.Empty(t, list)
	}
}

// One owner of very many records, most of them expired, in pages.
func TestListOwnerOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var want []store.Key
		for _, i := range rand.Perm(3000) {
			r := owned(1, "ada")
			if i%5 != 0 {
				r.Expires = time.Now().Add(time.Minute)
			} else {
				want = append(want, key(i))
			}
			insert(t, s, key(i), r)
		}
		slices.SortFunc(want, func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
		time.Sleep(time.Minute)
		for _, limit := range []int{1, 7, 100, 599, 600, 601, 1 << 62} {
			var got []store.Key
			var after store.Key
			for {
				page, err := s.ListOwner(t.Context(), "ada", after, limit)
				require.NoError(t, err)
				for _, e := range page {
					got = append(got, e.Key)
					after = e.Key
				}
				if len(page) < limit {
					break
				}
			}
			require.Equal(t, want, got, "limit %d", limit)
		}
		n, err := s.DeleteOwner(t.Context(), "ada", want[0], want[1])
		require.NoError(t, err)
		require.EqualValues(t, len(want)-2, n)
	})
}

// Eight workers insert, move, touch and delete; afterwards the index equals
// what the records say.
func TestOwnerIndexUnderChurn(t *testing.T) {
	t.Parallel()
	const workers, keys, owners, steps = 8, 64, 5, 3000
	s := memory.New()
	ctx := t.Context()
	name := func(n int) string {
		if n == 0 {
			return ""
		}
		return "owner-" + strconv.Itoa(n)
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 1))
			for range steps {
				k := key(rng.IntN(keys))
				r := owned(1+rng.Int64N(1<<62), name(rng.IntN(owners)))
				switch rng.IntN(10) {
				case 0, 1:
					_ = s.Insert(ctx, k, r) // may exist
				case 2, 3, 4, 5:
					if cur, err := s.Load(ctx, k); err == nil {
						_, _ = s.Swap(ctx, k, cur.Version, r) // may be lost to another
					}
				case 6:
					_ = s.Delete(ctx, k)
				case 7:
					_, _ = s.ListOwner(ctx, r.Owner, store.Key{}, 3)
				case 8:
					r.Expires = time.Now()
					_ = s.Insert(ctx, k, r)
				case 9:
					if rng.IntN(20) == 0 {
						_, _ = s.DeleteOwner(ctx, r.Owner, k)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, s.Check())

	want := make(map[string][]store.Key)
	for i := range keys {
		if r, err := s.Load(ctx, key(i)); err == nil && r.Owner != "" {
			want[r.Owner] = append(want[r.Owner], key(i))
		}
	}
	for n := range owners {
		list, err := s.ListOwner(ctx, name(n), store.Key{}, 1000)
		require.NoError(t, err)
		var got []store.Key
		for _, e := range list {
			got = append(got, e.Key)
		}
		require.ElementsMatch(t, want[name(n)], got, "owner %q", name(n))
		deleted, err := s.DeleteOwner(ctx, name(n))
		require.NoError(t, err)
		require.EqualValues(t, len(got), deleted)
	}
	for i := range keys {
		require.NoError(t, s.Delete(ctx, key(i)))
	}
	require.Zero(t, s.Used())
	require.NoError(t, s.Check())
}
