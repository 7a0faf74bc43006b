package integration_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

// Listing and deleting by owner while others come and go.
func TestServerOwnerWhileOthersComeAndGo(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		const fixed, workers, rounds = 130, 8, 40
		sub := srv.newSubject(t)
		for i := range fixed {
			require.NoError(t, sub.Insert(t.Context(), key(3*i), owned(1, "ada")))
		}
		var wg sync.WaitGroup
		for w := range workers {
			s := sub.Store
			if w%2 == 0 {
				s = sub.another(t)
			}
			wg.Go(func() {
				for n := range rounds {
					if err := comeAndGo(t, s, w, n); err != nil {
						t.Errorf("worker %d, round %d: %v", w, n, err)
						return
					}
				}
			})
		}
		done := make(chan struct{})
		go func() { wg.Wait(); close(done) }()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			seen := 0
			for _, e := range listAll(t, sub, "ada", 50) {
				if e.Key[27] == 0 && (int(e.Key[30])<<8+int(e.Key[31]))%3 == 0 {
					seen++
				}
			}
			require.Equal(t, fixed, seen, "one that was there all the time is missing")
		}
		require.Len(t, listAll(t, sub, "ada", 7), fixed)
		n, err := sub.DeleteOwner(t.Context(), "ada", key(0), key(3), key(1<<20))
		require.NoError(t, err)
		require.EqualValues(t, fixed-2, n)
		require.EqualValues(t, 2, sub.rows(t))
	})
}

// comeAndGo makes sessions of a guest and of ada, and ends them in several ways.
func comeAndGo(t *testing.T, s store.Store, w, n int) error {
	t.Helper()
	ctx, owners := t.Context(), s.(store.OwnerIndex)
	guest := fmt.Sprintf("guest %d", w)
	a, b := key(100_000+w*1000+n), key(200_000+w*1000+n)
	a[27], b[27] = 1, 1
	if err := s.Insert(ctx, a, owned(1, guest)); err != nil {
		return err
	}
	if err := s.Insert(ctx, b, owned(1, "ada")); err != nil {
		return err
	}
	if _, err := s.Swap(ctx, a, 1, owned(2, "ada")); err != nil {
		return err
	}
	if _, err := s.Swap(ctx, b, 1, owned(2, guest)); err != nil {
		return err
	}
	if err := s.Delete(ctx, a); err != nil {
		return err
	}
	if deleted, err := owners.DeleteOwner(ctx, guest); err != nil || deleted != 1 {
		return fmt.Errorf("DeleteOwner returned %d, %w", deleted, err)
	}
	return nil
}

func listAll(t *testing.T, s store.OwnerIndex, owner string, limit int) (all []store.Entry) {
	t.Helper()
	var after store.Key
	for {
		page, err := s.ListOwner(t.Context(), owner, after, limit)
		require.NoError(t, err)
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		after = page[len(page)-1].Key
	}
}

// Many delete what overlaps, in one table.
func TestServerDeleteOwnerTogether(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		const n = 350
		sub := srv.newSubject(t)
		for i := range n {
			require.NoError(t, sub.Insert(t.Context(), key(i), owned(1, "ada")))
		}
		counts := make(chan int64, 6)
		var wg sync.WaitGroup
		for range cap(counts) {
			wg.Go(func() {
				deleted, err := sub.DeleteOwner(t.Context(), "ada")
				if err != nil {
					t.Error(err)
				}
				counts <- deleted
			})
		}
		wg.Wait()
		close(counts)
		var total int64
		for c := range counts {
			total += c
		}
		require.EqualValues(t, n, total)
		require.Zero(t, sub.rows(t))
	})
}
