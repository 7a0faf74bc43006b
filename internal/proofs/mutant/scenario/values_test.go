package scenario_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// meanwhile lets another request happen right before the first node's next swap.
func (s *site) meanwhile(do func(ctx context.Context, r *session.Session)) {
	s.tap.Hook(once(spy.Swap, func(c *spy.Call) {
		s.request(s.second, do)
		c.Next()
	}))
}

// Of two values that replace each other one remains, whole.
func TestValuesAreReplacedWhole(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	cart := session.Key[map[string]int]("cart")
	s.meanwhile(func(ctx context.Context, _ *session.Session) {
		require.NoError(t, cart.Set(ctx, map[string]int{"apples": 1}))
	})
	s.request(s.first, func(ctx context.Context, _ *session.Session) {
		require.NoError(t, cart.Set(ctx, map[string]int{"pears": 1}))
	})
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		got, err := cart.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"pears": 1}, got)
	})
}

type visit struct {
	Count int    `json:"count"`
	Page  string `json:"page"`
}

var visits = session.Struct[visit]()

// Two Updates of one struct count both.
func TestStructUpdates(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	look := func(ctx context.Context, _ *session.Session) {
		_, err := visits.Update(ctx, func(v *visit) error { v.Count++; return nil })
		require.NoError(t, err)
	}
	s.meanwhile(look)
	s.request(s.first, look)
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		v, err := visits.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, 2, v.Count)
	})
}

// What a struct does not know stays.
func TestStructOfAnOlderProgram(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	theme := session.Key[string]("theme")
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		require.NoError(t, theme.Set(ctx, "dark"))
	})
	s.request(s.first, func(ctx context.Context, _ *session.Session) {
		require.NoError(t, visits.Set(ctx, visit{Count: 7, Page: "/"}))
	})
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		got, err := theme.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, "dark", got)
	})
}

// The function of an Update that runs again begins with what is stored then.
func TestUpdateRunsAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.begin()
	list := session.Key[[]string]("list")
	put := func(item string) func(ctx context.Context, _ *session.Session) {
		return func(ctx context.Context, _ *session.Session) {
			_, err := list.Update(ctx, func(l *[]string) error {
				*l = append(*l, item)
				return nil
			})
			require.NoError(t, err)
		}
	}
	s.meanwhile(put("theirs"))
	s.request(s.first, put("mine"))
	s.request(s.second, func(ctx context.Context, _ *session.Session) {
		got, err := list.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"theirs", "mine"}, got)
	})
}
