package mongostore_test

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// Two nodes that count together lose nothing.
func TestIncrements(t *testing.T) {
	t.Parallel()
	long(t)
	const workers, each = 16, 12
	uri := newDatabase(t)
	nodes := []*mongostore.Store{mongostore.New(collection(t, uri)), mongostore.New(collection(t, uri))}
	key, r := newKey(), newRecord("")
	r.Data = []byte("0")
	require.NoError(t, nodes[0].Insert(t.Context(), key, r))
	var conflicts atomic.Int64
	var wg sync.WaitGroup
	for i := range 2 * workers {
		s := nodes[i%2]
		wg.Go(func() {
			cur, err := s.Load(t.Context(), key)
			for done := 0; done < each; {
				if err != nil {
					t.Error(err)
					return
				}
				n, atoiErr := strconv.Atoi(string(cur.Data))
				if atoiErr != nil {
					t.Error(atoiErr)
					return
				}
				next := newRecord("")
				next.Data = strconv.AppendInt(nil, int64(n)+1, 10)
				var found store.Record
				found, err = s.Swap(t.Context(), key, cur.Version, next)
				switch {
				case err == nil:
					done++
					cur = next
				case errors.Is(err, store.ErrConflict):
					conflicts.Add(1)
					cur, err = found, nil
				}
			}
		})
	}
	wg.Wait()
	got, err := nodes[1].Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(2*workers*each), string(got.Data))
	require.Positive(t, conflicts.Load(), "they did not meet")
}

// Of many that insert under one key, one does.
func TestOneInsertWins(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	key := newKey()
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			switch err := s.Insert(t.Context(), key, newRecord("")); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrExists):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
}
