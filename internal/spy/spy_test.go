package spy_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

var (
	key     = store.Key{1}
	errTest = errors.New("a failure made by the test")
)

func rec(version int64) store.Record {
	return store.Record{Data: []byte("data"), Version: version, Expires: time.Now().Add(time.Hour)}
}

// all calls every method once and returns their errors.
func all(t *testing.T, s store.Store) map[spy.Op]error {
	t.Helper()
	errs := map[spy.Op]error{}
	ctx := t.Context()
	errs[spy.Insert] = s.Insert(ctx, key, rec(1))
	_, errs[spy.Load] = s.Load(ctx, key)
	_, errs[spy.Swap] = s.Swap(ctx, key, 1, rec(2))
	errs[spy.Touch] = s.Touch(ctx, key, 2, time.Now().Add(2*time.Hour))
	errs[spy.Delete] = s.Delete(ctx, key)
	return errs
}

var order = []spy.Op{spy.Insert, spy.Load, spy.Swap, spy.Touch, spy.Delete}

func TestPassesOn(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	for op, err := range all(t, s) {
		require.NoError(t, err, op)
	}
	require.Equal(t, order, s.Calls())
	require.Empty(t, s.Calls(), "each call is told once")
	_, err := s.Load(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound)
	require.Equal(t, []spy.Op{spy.Load}, s.Calls())
}

func TestHidesCapabilities(t *testing.T) {
	t.Parallel()
	var s any = spy.Wrap(memory.New())
	_, owners := s.(store.OwnerIndex)
	_, sweeper := s.(store.Sweeper)
	_, fresh := s.(store.FreshLoader)
	require.False(t, owners || sweeper || fresh)
}

func TestHookSeesArgumentsAndAnswers(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	var calls []spy.Call
	s.Hook(func(_ context.Context, c *spy.Call) {
		c.Next()
		calls = append(calls, *c)
	})
	for op, err := range all(t, s) {
		require.NoError(t, err, op)
	}
	require.Len(t, calls, len(order))
	for i, c := range calls {
		require.Equal(t, order[i], c.Op)
		require.Equal(t, key, c.Key)
	}
	require.Equal(t, int64(1), calls[0].Arg.Version)
	require.Equal(t, int64(1), calls[1].Record.Version)
	require.Equal(t, int64(1), calls[2].Old)
	require.Equal(t, int64(2), calls[2].Arg.Version)
	require.Equal(t, int64(2), calls[3].Old)
	require.WithinDuration(t, time.Now().Add(2*time.Hour), calls[3].Expires, time.Minute)
}

func TestHookReplacesTheCall(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	s := spy.Wrap(inner)
	s.Hook(func(_ context.Context, c *spy.Call) { c.Err = errTest })
	for op, err := range all(t, s) {
		require.ErrorIs(t, err, errTest, op)
	}
	require.Zero(t, inner.Len())
	s.Hook(func(context.Context, *spy.Call) {})
	for op, err := range all(t, s) {
		require.NoError(t, err, op)
	}
	got, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.Zero(t, got)
	require.Zero(t, inner.Len(), "nothing happened")
}

func TestHookChangesTheCall(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	s := spy.Wrap(inner)
	s.Hook(func(_ context.Context, c *spy.Call) {
		switch c.Op {
		case spy.Insert:
			c.Arg.Version = 5
			c.Next()
			c.Next() // a driver that sends it twice
		case spy.Swap:
			c.Old = 5
			c.Next()
			c.Err = errTest // the answer is lost
		default:
			c.Next()
		}
	})
	require.ErrorIs(t, s.Insert(t.Context(), key, rec(1)), store.ErrExists)
	_, err := s.Swap(t.Context(), key, 1, rec(6))
	require.ErrorIs(t, err, errTest)
	got, err := inner.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, int64(6), got.Version)
	s.Hook(nil)
	_, err = s.Swap(t.Context(), key, 6, rec(7))
	require.NoError(t, err)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				s.Hook(func(_ context.Context, c *spy.Call) { c.Next() })
				if _, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
					t.Error(err)
				}
				s.Hook(nil)
			}
		})
	}
	wg.Wait()
	require.Len(t, s.Calls(), 400)
}
