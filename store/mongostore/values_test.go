package mongostore_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

func TestLargeData(t *testing.T) {
	t.Parallel()
	long(t)
	s := newStore(t)
	for _, n := range []int{0, 1, 1 << 10, 1 << 20, 5 << 20} {
		key, r := newKey(), newRecord("ada")
		r.Data = make([]byte, n)
		for i := range r.Data {
			r.Data[i] = byte(i * 7)
		}
		require.NoError(t, s.Insert(t.Context(), key, r))
		r.Version = newVersion()
		_, err := s.Swap(t.Context(), key, r.Version-1, r)
		require.ErrorIs(t, err, store.ErrConflict)
		got, err := s.Load(t.Context(), key)
		require.NoError(t, err)
		require.Len(t, got.Data, n)
		require.True(t, string(r.Data) == string(got.Data), "%d bytes", n)
	}
	require.Len(t, listed(t, s, "ada", 10), 5)
}

// A document has 16 MiB. The stand-in takes more, so this is about the store; what
// is just within the limit goes through.
func TestSizeLimit(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	key, small := newKey(), newRecord("ada")
	require.NoError(t, s.Insert(t.Context(), key, small))
	r := newRecord("ada")
	r.Data = nil
	r.Data = make([]byte, mongostore.MaxDocument-mongostore.DocumentSize(&r)+1)
	err := s.Insert(t.Context(), newKey(), r)
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorContains(t, err, "16777217 bytes")
	_, err = s.Swap(t.Context(), key, small.Version, r)
	require.ErrorIs(t, err, store.ErrRefused)
	got, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, small.Version, got.Version)

	r.Data = r.Data[1:]
	require.NoError(t, s.Insert(t.Context(), newKey(), r))
	r.Version = newVersion()
	_, err = s.Swap(t.Context(), key, small.Version, r)
	require.NoError(t, err)
}

// Owners are compared byte by byte, whatever text they are.
func TestAnyOwner(t *testing.T) {
	t.Parallel()
	long(t)
	s := newStore(t)
	owners := []string{
		strings.Repeat("a", 512), strings.Repeat("\u00e9", 256), strings.Repeat("\U0010ffff", 128), "\x01", "$o", "o.x", `"`, "e\u0301", "\u00e9", "\ufeff",
		"ADA", "ada", "ada ", "stra\u00dfe", "strasse",
	}
	for range 20 {
		var b strings.Builder
		for b.Len() < 500 {
			if c := 1 + rand.N(utf8.MaxRune); utf8.ValidRune(c) {
				b.WriteRune(c)
			}
		}
		owners = append(owners, b.String())
	}
	keys := map[string]store.Key{}
	for _, owner := range owners {
		keys[owner] = newKey()
		require.NoError(t, s.Insert(t.Context(), keys[owner], newRecord(owner)))
	}
	for _, owner := range owners {
		list := listed(t, s, owner, 2)
		require.Len(t, list, 1, "%q", owner)
		require.Equal(t, keys[owner], list[0].Key)
		require.Equal(t, owner, list[0].Record.Owner)
		n, err := s.DeleteOwner(t.Context(), owner)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
}
