package mongostore_test

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// listed returns what ListOwner returns, in pages.
func listed(t *testing.T, s *mongostore.Store, owner string, limit int) []store.Entry {
	t.Helper()
	var all []store.Entry
	for after := (store.Key{}); ; {
		page, err := s.ListOwner(t.Context(), owner, after, limit)
		require.NoError(t, err)
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		after = page[len(page)-1].Key
	}
}

// Random steps, and after each the owners have what a map says they have.
func TestOwnersAgainstAModel(t *testing.T) {
	t.Parallel()
	long(t)
	s := newStore(t, mongostore.WithBatch(2))
	owners := []string{"", "ada", "Ada", "grace", strings.Repeat("\U0001f512", 128)}
	model := map[store.Key]store.Record{}
	some := func() (store.Key, store.Record) {
		keys := slices.SortedFunc(maps.Keys(model), func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
		if len(keys) == 0 {
			return newKey(), store.Record{}
		}
		key := keys[rand.N(len(keys))]
		return key, model[key]
	}
	for range 150 {
		owner := owners[rand.N(len(owners))]
		switch rand.N(6) {
		case 0, 1:
			key, r := newKey(), newRecord(owner)
			require.NoError(t, s.Insert(t.Context(), key, r))
			model[key] = r
		case 2, 3:
			key, r := some()
			next := newRecord(owner)
			_, err := s.Swap(t.Context(), key, r.Version, next)
			if _, there := model[key]; there {
				require.NoError(t, err)
				model[key] = next
			} else {
				require.ErrorIs(t, err, store.ErrNotFound)
			}
		case 4:
			key, _ := some()
			require.NoError(t, s.Delete(t.Context(), key))
			delete(model, key)
		case 5:
			if rand.N(4) > 0 {
				continue
			}
			kept, _ := some()
			n, err := s.DeleteOwner(t.Context(), owner, kept)
			require.NoError(t, err)
			before := len(model)
			maps.DeleteFunc(model, func(key store.Key, r store.Record) bool { return owner != "" && r.Owner == owner && key != kept })
			require.EqualValues(t, before-len(model), n)
		}
		for _, owner := range owners {
			var want []store.Key
			for key, r := range model {
				if owner != "" && r.Owner == owner {
					want = append(want, key)
				}
			}
			slices.SortFunc(want, func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
			var got []store.Key
			for _, e := range listed(t, s, owner, 1+rand.N(4)) {
				got = append(got, e.Key)
				require.Equal(t, model[e.Key].Version, e.Record.Version)
				require.Equal(t, owner, e.Record.Owner)
				require.Equal(t, "data", string(e.Record.Data))
			}
			require.Equal(t, want, got, "in the order of the keys")
		}
	}
}

// DeleteOwner while records change their owner: it counts what it deletes, and
// deletes nothing of another owner.
func TestDeleteOwnerInAStorm(t *testing.T) {
	t.Parallel()
	long(t)
	s := newStore(t, mongostore.WithBatch(5))
	const workers, each = 4, 15
	var lost, deleted atomic.Int64 // records that were gone, records that were said to be
	var kept sync.Map
	var stop atomic.Bool
	var sweepers, writers sync.WaitGroup
	for range 2 {
		sweepers.Go(func() {
			for !stop.Load() {
				n, err := s.DeleteOwner(t.Context(), "ada")
				deleted.Add(n)
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range workers {
		writers.Go(func() {
			for range each {
				key, r := newKey(), newRecord("grace")
				if err := s.Insert(t.Context(), key, r); err != nil {
					t.Error(err)
					return
				}
				gone := false
				for _, owner := range []string{"ada", "grace", "", "ada", "grace"} {
					next := newRecord(owner)
					_, err := s.Swap(t.Context(), key, r.Version, next)
					if err != nil {
						if r.Owner != "ada" {
							t.Errorf("a record that was not ada's: %v", err)
						}
						gone = true
						lost.Add(1)
						break
					}
					r = next
				}
				if !gone {
					kept.Store(key, r.Version)
				}
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	sweepers.Wait()
	require.Equal(t, lost.Load(), deleted.Load())
	for _, e := range listed(t, s, "grace", 7) {
		version, ok := kept.LoadAndDelete(e.Key)
		require.True(t, ok)
		require.Equal(t, version, e.Record.Version)
	}
	kept.Range(func(any, any) bool { t.Error("a record is missing"); return false })
}

// Expired records are passed over in lists; they are deleted, but not counted.
func TestOwnerWithExpiredRecords(t *testing.T) {
	t.Parallel()
	c := newCollection(t)
	s := mongostore.New(c, mongostore.WithBatch(3))
	fill(t, c, 10, "ada")
	for _, limit := range []int{1, 3, 10, 11, 100} {
		require.Len(t, listed(t, s, "ada", limit), 10)
	}
	n, err := s.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 10, n)
	left, err := c.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.Zero(t, left)
}

// Once an owner's sessions were revoked, a node whose clock is behind cannot
// lengthen the life of one that has expired by the clock of the node that did it.
func TestDeleteOwnerByANodeThatIsAhead(t *testing.T) {
	t.Parallel()
	c := newCollection(t)
	s := mongostore.New(c)
	key, r := newKey(), newRecord("ada")
	r.Expires = time.Now().Add(-time.Second)
	require.NoError(t, s.Insert(t.Context(), key, r))
	n, err := s.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.Zero(t, n)
	// What Touch sends from a node that is a minute behind.
	behind := time.Now().Add(-time.Minute)
	_, err = c.UpdateOne(t.Context(),
		bson.D{{Key: "_id", Value: bson.Binary{Data: key[:]}}, {Key: "v", Value: r.Version}, {Key: "x", Value: bson.D{{Key: "$gt", Value: behind}}}},
		bson.D{{Key: "$max", Value: bson.D{{Key: "x", Value: behind.Add(time.Hour)}}}})
	require.NoError(t, err)
	_, err = s.Load(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func TestListOwnerLimits(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	require.NoError(t, s.Insert(t.Context(), newKey(), newRecord("ada")))
	for _, limit := range []int{0, -1} {
		list, err := s.ListOwner(t.Context(), "ada", store.Key{}, limit)
		require.NoError(t, err)
		require.Empty(t, list)
	}
	list, err := s.ListOwner(t.Context(), "ada", store.Key{}, 1<<40)
	require.NoError(t, err)
	require.Len(t, list, 1)
	list[0].Record.Data = append(list[0].Record.Data, 'x') // nothing else is in the way
}

// A record that is owned by ada all the time is deleted, however often its expiry
// moves.
func TestDeleteOwnerOfRecordsThatMove(t *testing.T) {
	t.Parallel()
	long(t)
	s := newStore(t)
	const n = 20
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range n {
		key, r := newKey(), newRecord("ada")
		require.NoError(t, s.Insert(t.Context(), key, r))
		wg.Go(func() {
			for !stop.Load() {
				next := newRecord("ada")
				next.Expires = time.Now().Add(time.Minute + rand.N(time.Hour))
				if _, err := s.Swap(t.Context(), key, r.Version, next); err != nil {
					return
				}
				r = next
			}
		})
	}
	got, err := s.DeleteOwner(t.Context(), "ada")
	stop.Store(true)
	wg.Wait()
	require.NoError(t, err)
	require.EqualValues(t, n, got)
	require.Empty(t, listed(t, s, "ada", 5))
}
