package cached_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// DeleteOwner drops the copies of that owner's records, also when it fails, and no
// others.
func TestDeleteOwnerDropsCopies(t *testing.T) {
	t.Parallel()
	st := newStage()
	s := cached.New(st, cached.WithTTL(time.Hour))
	ctx := t.Context()
	const records = 500
	for i := range records {
		r := record(int64(i + 1))
		r.Owner = []string{"ada", "bob", ""}[i%3]
		require.NoError(t, s.Insert(ctx, key(i), r))
	}
	copies := func(owner int) int {
		n := 0
		for i := owner; i < records; i += 3 {
			if _, _, ok := s.Copy(key(i)); ok {
				n++
			}
		}
		return n
	}
	all := copies(1)
	require.Positive(t, copies(0))

	_, err := s.DeleteOwner(ctx, "")
	require.NoError(t, err)
	require.Equal(t, records/3, copies(2), "nobody's records are not an owner's")

	st.before = failing("DeleteOwner")
	_, err = s.DeleteOwner(ctx, "ada")
	require.Equal(t, errBroken, err, "unchanged")
	require.Zero(t, copies(0))
	st.before = nil

	n, err := s.DeleteOwner(ctx, "ada", key(0))
	require.NoError(t, err)
	require.EqualValues(t, (records+2)/3-1, n)
	_, err = s.Load(ctx, key(0))
	require.NoError(t, err)
	_, err = s.Load(ctx, key(3))
	require.ErrorIs(t, err, store.ErrNotFound)
	require.Equal(t, all, copies(1))

	list, err := s.ListOwner(ctx, "ada", store.Key{}, 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func TestDeleteExpiredPassesThrough(t *testing.T) {
	t.Parallel()
	s := cached.New(newStage())
	r := record(1)
	r.Expires = time.Now().Add(-time.Hour)
	require.NoError(t, s.Insert(t.Context(), key(40), r)) // the store beneath does not look there by itself
	n, err := s.DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}
