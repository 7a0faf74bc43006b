package cached_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// Who waits for the answer to another Load does not get a record that had ended when it
// began to wait.
func TestJoinedPastItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t, cached.WithTTL(time.Hour))
		r := record(2)
		r.Expires = time.Now().Add(time.Second)
		_, err := st.Store.Swap(t.Context(), aKey, 1, r)
		require.NoError(t, err)
		st.after = nth("Load", 1, time.Minute) // it has been read, and the answer is slow
		var first sync.WaitGroup
		defer first.Wait()
		first.Go(func() { _, _ = s.Load(t.Context(), aKey) })
		synctest.Wait()
		time.Sleep(30 * time.Second)
		_, err = s.Load(t.Context(), aKey)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

// A Touch that changes nothing, because the record is gone, does not make a copy last.
func TestTouchOfWhatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, st := newPair(t, cached.WithTTL(time.Hour))
		r := record(2)
		r.Expires = time.Now().Add(time.Second)
		_, err := s.Swap(t.Context(), aKey, 1, r)
		require.NoError(t, err)
		require.NoError(t, st.Store.Delete(t.Context(), aKey))
		require.NoError(t, s.Touch(t.Context(), aKey, 2, time.Now().Add(30*time.Minute)))
		time.Sleep(2 * time.Second)
		_, err = s.Load(t.Context(), aKey)
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}
