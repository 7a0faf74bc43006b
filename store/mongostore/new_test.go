package mongostore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// What New cannot return every method does, and no write is done.
func TestWrongConfiguration(t *testing.T) {
	t.Parallel()
	c := collection(t, "mongodb://127.0.0.1:1/shop")
	for want, s := range map[string]*mongostore.Store{
		"the collection is nil": mongostore.New(nil),
		"WithBatch(0)":          mongostore.New(c, mongostore.WithBatch(0)),
		"WithBatch(10001)":      mongostore.New(nil, mongostore.WithBatch(10_001)),
		"made with New":         {},
	} {
		ctx, key, r := t.Context(), newKey(), newRecord("")
		_, load := s.Load(ctx, key)
		_, list := s.ListOwner(ctx, "ada", key, 1)
		for _, err := range []error{load, list, s.EnsureIndexes(ctx)} {
			require.ErrorContains(t, err, want)
			require.NotErrorIs(t, err, store.ErrRefused)
		}
		_, swap := s.Swap(ctx, key, 1, r)
		_, sweep := s.DeleteExpired(ctx, 1)
		_, owner := s.DeleteOwner(ctx, "ada")
		for _, err := range []error{swap, sweep, owner, s.Insert(ctx, key, r), s.Touch(ctx, key, 1, time.Now()), s.Delete(ctx, key)} {
			require.ErrorContains(t, err, want)
			require.ErrorIs(t, err, store.ErrRefused)
		}
	}
}
