package session_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// TestGetOrSetFirstWriterWins: whoever is slower gets the value of the other, and
// its own is dropped.
func TestGetOrSetFirstWriterWins(t *testing.T) {
	t.Parallel()
	key := session.Key[string]("k")
	for name, started := range map[string]bool{"stored session": true, "with changes": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
			vis.request(func(ctx context.Context) {
				if !started {
					require.NoError(t, counter.Set(ctx, 2))
				}
				got, err := key.GetOrSet(ctx, func() (string, error) {
					other := *vis
					other.request(func(ctx context.Context) {
						got, err := key.GetOrSet(ctx, func() (string, error) { return "first", nil })
						require.NoError(t, err)
						require.Equal(t, "first", got)
					})
					return "second", nil
				})
				require.NoError(t, err)
				require.Equal(t, "first", got)
				require.Equal(t, "first", key.Value(ctx))
			})
			require.Equal(t, `"first"`, vis.stored(s)["k"])
		})
	}
}

func TestGetOrSetWrongTypeOfTheWinner(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
	vis.request(func(ctx context.Context) {
		key := session.Key[int]("k")
		got, err := key.GetOrSet(ctx, func() (int, error) {
			other := *vis
			other.request(func(ctx context.Context) { require.NoError(t, session.Key[string]("k").Set(ctx, "text")) })
			return 7, nil
		})
		requireValueError(t, "k", err)
		require.Zero(t, got)
		requireValueError(t, "k", key.Set(ctx, 1))
	})
	require.Equal(t, `"text"`, vis.stored(s)["k"])
}

// TestTakeExactlyOnce and GetOrSet with many requests at once.
func TestTakeExactlyOnce(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	token, group := session.Key[string]("token"), session.Key[int64]("group")
	vis.request(func(ctx context.Context) { require.NoError(t, token.Set(ctx, "once")) })
	var (
		wg           sync.WaitGroup
		taken, drawn atomic.Int64
		groups       [16]int64
	)
	for i := range groups {
		wg.Go(func() {
			sess := vis.m.Open(session.Opening{Credentials: []string{vis.cookie}})
			ctx := session.NewContext(t.Context(), sess)
			switch got, ok, err := token.Take(ctx); {
			case err != nil:
				t.Error(err)
			case ok != (got == "once"):
				t.Errorf("%q, %t", got, ok)
			case ok:
				taken.Add(1)
			}
			var err error
			if groups[i], err = group.GetOrSet(ctx, func() (int64, error) { return drawn.Add(1), nil }); err != nil {
				t.Error(err)
			}
			if _, err := counter.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
				t.Error(err)
			}
			if _, err := vis.m.Commit(ctx, sess); err != nil {
				t.Error(err)
			}
			if err := vis.m.Finish(ctx, sess); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(1), taken.Load())
	require.Positive(t, groups[0])
	for _, g := range groups {
		require.Equal(t, groups[0], g)
	}
	vis.request(func(ctx context.Context) {
		require.Equal(t, len(groups), counter.Value(ctx))
		require.Equal(t, groups[0], group.Value(ctx))
	})
}

// TestTakeOfOwnValue: what this request has set is seen by its Take, and is not
// stored afterwards.
func TestTakeOfOwnValue(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	key := session.Key[string]("k")
	for range 2 { // without a record and with one
		vis.request(func(ctx context.Context) {
			require.NoError(t, counter.Set(ctx, 1))
			require.NoError(t, key.Set(ctx, "own"))
			got, ok, err := key.Take(ctx)
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, "own", got)
			_, ok, err = key.Take(ctx)
			require.NoError(t, err)
			require.False(t, ok)
		})
		require.Equal(t, map[string]string{"counter": "1"}, vis.stored(s))
	}
}

// TestSettledStands whatever the response becomes.
func TestSettledStands(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	token, group := session.Key[string]("token"), session.Key[int]("group")
	vis.request(func(ctx context.Context) { require.NoError(t, token.Set(ctx, "once")) })
	ctx, sess := vis.open()
	require.NoError(t, counter.Set(ctx, 9))
	_, ok, err := token.Take(ctx)
	require.NoError(t, err)
	require.True(t, ok)
	_, err = group.GetOrSet(ctx, func() (int, error) { return 4, nil })
	require.NoError(t, err)
	ticket, err := vis.m.Discard(ctx, sess)
	require.NoError(t, err)
	require.Equal(t, session.ActionNone, ticket.Action())
	require.ErrorIs(t, counter.Set(ctx, 1), session.ErrClosed)
	require.NoError(t, vis.m.Finish(ctx, sess))
	require.Equal(t, map[string]string{"group": "4"}, vis.stored(s))
}
