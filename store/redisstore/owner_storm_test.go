package redisstore_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// entry is a record as its writer last knew it.
type entry struct {
	key     store.Key
	version int64
	expires time.Time
	owner   string
}

// stormWriter changes records of its own, and knows what each of them is.
type stormWriter struct {
	s    *redisstore.Store
	rng  *rand.Rand
	all  []entry
	gone []store.Key
}

var stormOwners = []string{"ada", "bob", "eve", ""}

// step does something at random, the lives of records being such that hints have
// to be renewed now and then.
func (w *stormWriter) step(t *testing.T) error {
	ctx := t.Context()
	owner := stormOwners[w.rng.IntN(len(stormOwners))]
	if len(w.all) < 4 || w.rng.IntN(6) == 0 {
		r := record(owner)
		r.Expires = soon(time.Minute + time.Duration(w.rng.IntN(5))*time.Hour)
		e := entry{newKey(), r.Version, r.Expires, owner}
		w.all = append(w.all, e)
		return w.s.Insert(ctx, e.key, r)
	}
	i := w.rng.IntN(len(w.all))
	e := &w.all[i]
	forget := func() {
		w.gone = append(w.gone, e.key)
		w.all[i] = w.all[len(w.all)-1]
		w.all = w.all[:len(w.all)-1]
	}
	switch w.rng.IntN(5) {
	case 0:
		if err := w.s.Delete(ctx, e.key); err != nil {
			return err
		}
		forget()
	case 1:
		e.expires = e.expires.Add(time.Duration(w.rng.IntN(200)) * time.Minute)
		return w.s.Touch(ctx, e.key, e.version, e.expires)
	default:
		r := record(owner)
		r.Expires = soon(time.Minute + time.Duration(w.rng.IntN(20))*time.Hour)
		_, err := w.s.Swap(ctx, e.key, e.version, r)
		if errors.Is(err, store.ErrNotFound) { // DeleteOwner came before
			forget()
			return nil
		}
		e.version, e.expires, e.owner = r.Version, r.Expires, owner
		return err
	}
	return nil
}

// Writers at random, while somebody lists and somebody deletes: afterwards every
// live record is listed by its owner and by nobody else, and DeleteOwner leaves
// none of them.
func TestStormOfOwners(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		p := redisstore.WithPrefix(prefix())
		for round := range 4 {
			var wg sync.WaitGroup
			writers := make([]*stormWriter, 6)
			for i := range writers {
				writers[i] = &stormWriter{s: redisstore.New(c, p), rng: rand.New(rand.NewPCG(uint64(i), uint64(round)))}
				wg.Go(func() {
					for range 120 {
						if err := writers[i].step(t); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			s := redisstore.New(c, p)
			wg.Go(func() {
				for i := range 12 {
					if round%2 == 1 {
						if _, err := s.DeleteOwner(t.Context(), stormOwners[i%3]); err != nil {
							t.Error(err)
						}
					}
					if _, err := s.ListOwner(t.Context(), stormOwners[i%3], store.Key{}, 1000); err != nil {
						t.Error(err)
					}
				}
			})
			wg.Wait()
			want := map[string][]store.Key{}
			for _, w := range writers {
				for _, e := range w.all {
					got, err := s.Load(t.Context(), e.key)
					if errors.Is(err, store.ErrNotFound) {
						continue // DeleteOwner
					}
					require.NoError(t, err)
					require.Equal(t, e.owner, got.Owner)
					require.Equal(t, e.expires.UnixMilli(), got.Expires.UnixMilli())
					want[e.owner] = append(want[e.owner], e.key)
				}
				for _, key := range w.gone {
					requireGone(t, s, key)
				}
			}
			require.NotEmpty(t, want[""])
			for _, owner := range stormOwners[:3] {
				require.ElementsMatch(t, want[owner], listed(t, s, owner, 11), owner)
				n, err := s.DeleteOwner(t.Context(), owner)
				require.NoError(t, err)
				require.EqualValues(t, len(want[owner]), n)
				for _, key := range want[owner] {
					requireGone(t, s, key)
				}
				require.Empty(t, listed(t, s, owner, 11))
			}
			for _, key := range want[""] {
				require.NoError(t, s.Delete(t.Context(), key))
			}
		}
	})
}

// Records that exist when DeleteOwner is called are gone when it returns, whatever
// their owners are doing with them.
func TestDeleteOwnerDuringSwaps(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s := on(c)
		for range 15 {
			entries := make([]entry, 12)
			for i := range entries {
				r := record("ada")
				entries[i] = entry{key: put(t, s, r), version: r.Version, expires: r.Expires}
			}
			var wg sync.WaitGroup
			begun := make(chan struct{})
			for i := range entries {
				wg.Go(func() {
					<-begun
					e := &entries[i]
					for {
						r := record("ada")
						r.Expires = e.expires.Add(2 * time.Hour) // with a hint each time
						_, err := s.Swap(t.Context(), e.key, e.version, r)
						if errors.Is(err, store.ErrNotFound) {
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
						e.version, e.expires = r.Version, r.Expires
					}
				})
			}
			close(begun)
			n, err := s.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
			require.EqualValues(t, len(entries), n)
			wg.Wait()
			for _, e := range entries {
				requireGone(t, s, e.key)
			}
		}
	})
}
