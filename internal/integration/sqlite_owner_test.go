package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

func TestListOwnerInPages(t *testing.T) {
	t.Parallel()
	const n = 250
	s := onFile(t, recommended)
	for i := range 2 * n {
		owner := "ada"
		if i%2 == 1 {
			owner = "bob"
		}
		require.NoError(t, s.Insert(t.Context(), key(i), owned(int64(1+i), owner)))
	}
	for _, limit := range []int{1, 7, n, n + 1} {
		var after store.Key
		listed := 0
		for {
			page, err := s.ListOwner(t.Context(), "ada", after, limit)
			require.NoError(t, err)
			for _, e := range page {
				require.Equal(t, key(2*listed), e.Key)
				require.EqualValues(t, 1+2*listed, e.Record.Version)
				listed++
				after = e.Key
			}
			if len(page) < limit {
				break
			}
		}
		require.Equal(t, n, listed, "in pages of %d", limit)
	}
	for _, limit := range []int{0, -1} {
		page, err := s.ListOwner(t.Context(), "ada", store.Key{}, limit)
		require.NoError(t, err)
		require.Empty(t, page)
	}
}

// More keys than SQLite takes parameters.
func TestDeleteOwnerExceptMany(t *testing.T) {
	t.Parallel()
	const kept, others = 330, 40_000
	db := openSQLite(t, dsn(newPath(t), recommended))
	s := migrated(t, db)
	var except []store.Key
	for i := range 2 * kept {
		require.NoError(t, s.Insert(t.Context(), key(i), owned(1, "ada")))
		if i%2 == 0 {
			except = append(except, key(i))
		}
	}
	require.NoError(t, s.Insert(t.Context(), store.Key{}, owned(1, "ada"))) // the first of all keys
	require.NoError(t, s.Insert(t.Context(), key(1<<20), owned(1, "bob")))
	for i := range others {
		except = append(except, key(1<<21+i))
	}
	n, err := s.DeleteOwner(t.Context(), "ada", except...)
	require.NoError(t, err)
	require.EqualValues(t, kept+1, n)
	require.Equal(t, kept+1, count(t, db))
	for i := range 2 * kept {
		_, err := s.Load(t.Context(), key(i))
		require.Equal(t, i%2 == 0, err == nil)
	}
	n, err = s.DeleteOwner(t.Context(), "ada", except[:1]...)
	require.NoError(t, err)
	require.EqualValues(t, kept-1, n)
}

// Expired ones are not counted, and do not keep DeleteOwner from those behind.
func TestDeleteOwnerPastExpired(t *testing.T) {
	t.Parallel()
	s := onFile(t, recommended)
	for i := range 450 {
		r := owned(1, "ada")
		if i%150 < 140 {
			r.Expires = time.Now().Add(-time.Second)
		}
		require.NoError(t, s.Insert(t.Context(), key(i), r))
	}
	n, err := s.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 30, n)
	require.Equal(t, 420, sweep(t, s, 100))
}
