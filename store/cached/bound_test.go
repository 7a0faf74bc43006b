package cached_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// The age of a copy counts from when the question or the write was sent, whatever the
// answer took.
func TestAgeCountsFromSending(t *testing.T) {
	t.Parallel()
	const slow = ttl * 8 / 10
	for name, fill := range map[string]struct {
		op   string
		want int64
		do   func(ctx context.Context, s *cached.Store) error
	}{
		"Load":      {"Load", 1, func(ctx context.Context, s *cached.Store) error { _, err := s.Load(ctx, aKey); return err }},
		"LoadFresh": {"Load", 1, func(ctx context.Context, s *cached.Store) error { _, err := s.LoadFresh(ctx, aKey); return err }},
		"Swap": {"Swap", 2, func(ctx context.Context, s *cached.Store) error {
			_, err := s.Swap(ctx, aKey, 1, record(2))
			return err
		}},
		"Swap with a conflict": {"Swap", 1, func(ctx context.Context, s *cached.Store) error {
			_, err := s.Swap(ctx, aKey, 7, record(8))
			if err == nil {
				return errBroken
			}
			return nil
		}},
		"Insert": {"Insert", 2, func(ctx context.Context, s *cached.Store) error {
			if err := s.Beneath().Delete(ctx, aKey); err != nil {
				return err
			}
			return s.Insert(ctx, aKey, record(2))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st := newPair(t)
				st.after = nth(fill.op, 1, slow) // it is done, and the answer takes long
				require.NoError(t, fill.do(t.Context(), s))
				before := st.asked()
				time.Sleep(ttl - slow)
				st.swap(t, fill.want, 9) // by another node, which is not heard of
				loads(t, s, fill.want, "the copy is exactly as old as it may be")
				require.Equal(t, before, st.asked())
				time.Sleep(time.Nanosecond)
				loads(t, s, 9, "the copy is too old")
				require.Equal(t, before+1, st.asked())
			})
		})
	}
}

// Expires ends a copy, by the clock of this node.
func TestExpiresEndsACopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		r := record(2)
		r.Expires = time.Now().Add(ttl / 2)
		_, err := s.Swap(t.Context(), aKey, 1, r)
		require.NoError(t, err)
		time.Sleep(ttl/2 - time.Millisecond)
		loads(t, s, 2)
		require.Zero(t, st.asked())
		time.Sleep(time.Millisecond)
		loads(t, s, 0)
		require.Equal(t, 1, st.asked())
	})
}

func TestHit(t *testing.T) {
	t.Parallel()
	s, st := newPair(t, cached.WithTTL(time.Hour))
	for range 3 {
		loads(t, s, 1)
	}
	require.Equal(t, 1, st.asked())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Load(ctx, aKey)
	require.ErrorIs(t, err, context.Canceled, "an ended context gets no copy")

	// Data is not copied, and Expires is in whole milliseconds.
	r := store.Record{Data: []byte("some"), Version: 2, Expires: time.Now().Add(time.Hour), Owner: "bob"}
	_, err = s.Swap(t.Context(), aKey, 1, r)
	require.NoError(t, err)
	got, err := s.Load(t.Context(), aKey)
	require.NoError(t, err)
	require.Same(t, &r.Data[0], &got.Data[0])
	require.Equal(t, time.UnixMilli(r.Expires.UnixMilli()), got.Expires)
	require.Equal(t, "bob", got.Owner)
	require.Equal(t, 1, st.asked())
}

func TestTouch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		loads(t, s, 1)
		ctx := t.Context()
		expires := func() time.Time {
			r, err := s.Load(ctx, aKey)
			require.NoError(t, err)
			return r.Expires
		}
		first := expires()
		later := first.Add(time.Hour)

		require.NoError(t, s.Touch(ctx, aKey, 7, later))
		require.Equal(t, first, expires(), "another version")
		require.NoError(t, s.Touch(ctx, aKey, 1, first.Add(-time.Minute)))
		require.Equal(t, first, expires(), "never shorter")
		st.before = failing("Touch")
		require.Equal(t, errBroken, s.Touch(ctx, aKey, 1, later))
		require.Equal(t, first, expires(), "it failed")
		st.before = nil
		time.Sleep(ttl)
		require.NoError(t, s.Touch(ctx, aKey, 1, later))
		require.Equal(t, later, expires())
		require.Equal(t, 1, st.asked())
		time.Sleep(time.Nanosecond)
		require.Equal(t, later, expires())
		require.Equal(t, 2, st.asked(), "a touch makes a copy no younger")

		// A load that was sent before does not take it back.
		st.after = nth("Load", 3, ttl/2)
		go func() { _, _ = s.LoadFresh(ctx, aKey) }()
		synctest.Wait()
		later = later.Add(time.Hour)
		require.NoError(t, s.Touch(ctx, aKey, 1, later))
		time.Sleep(ttl / 2)
		synctest.Wait()
		require.Equal(t, later, expires())
		require.Equal(t, 3, st.asked())
	})
}

// A touch brings no copy back that has ended.
func TestTouchRevivesNoCopy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t)
		r := record(2)
		r.Expires = time.Now().Add(ttl / 2)
		_, err := s.Swap(t.Context(), aKey, 1, r)
		require.NoError(t, err)
		time.Sleep(ttl / 2)
		require.NoError(t, s.Touch(t.Context(), aKey, 2, time.Now().Add(time.Hour)))
		loads(t, s, 0)
		require.Equal(t, 1, st.asked())
	})
}
