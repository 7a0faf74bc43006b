package mongostore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

// The times are those of the server that was used; the stand-in's say nothing
// about MongoDB. What they have in common is the work of the client.
func BenchmarkStore(b *testing.B) {
	s := newStore(b)
	key, r := newKey(), newRecord("ada")
	r.Data = make([]byte, 1<<10)
	require.NoError(b, s.Insert(b.Context(), key, r))
	b.Run("load", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Load(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("swap", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			old := r.Version
			r.Version = newVersion()
			if _, err := s.Swap(b.Context(), key, old, r); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("touch", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := s.Touch(b.Context(), key, r.Version, time.Now().Add(time.Hour)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.ListOwner(b.Context(), "ada", store.Key{}, 10); err != nil {
				b.Fatal(err)
			}
		}
	})
}
