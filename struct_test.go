package session_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// guestVisit is the session of these tests, as one program knows it; others know more
// of it or less.
type guestVisit struct {
	Pageviews int       `json:"pageviews" validate:"gte=0"`
	FirstSeen time.Time `json:"first_seen"`
	Name      string    `json:"name,omitempty"`
}

var guest = session.Struct[guestVisit]()

func countPage(ctx context.Context) error {
	_, err := guest.Update(ctx, func(v *guestVisit) error { v.Pageviews++; return nil })
	return err
}

func TestStruct(t *testing.T) {
	t.Parallel()
	s := memory.New()
	v := newVisitor(t, newManager(t, on(s)))
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	v.request(func(ctx context.Context) {
		got, ok, err := guest.Lookup(ctx)
		require.NoError(t, err)
		require.False(t, ok)
		require.Zero(t, got)
		require.NoError(t, countPage(ctx))
	})
	require.Equal(t, map[string]string{"pageviews": "1"}, v.stored(s), "an Update writes what it changes, and nothing else")

	v.request(func(ctx context.Context) {
		got, err := guest.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, guestVisit{Pageviews: 1}, got)
		got.FirstSeen, got.Name = seen, "ann"
		require.NoError(t, guest.Set(ctx, got))
	})
	require.Equal(t, map[string]string{"pageviews": "1", "first_seen": `"2026-01-02T03:04:05Z"`, "name": `"ann"`}, v.stored(s))

	v.request(func(ctx context.Context) {
		require.NoError(t, guest.Set(ctx, guestVisit{Pageviews: 1, FirstSeen: seen}))
	})
	require.NotContains(t, v.stored(s), "name", "what omitempty leaves out is removed")

	other := session.Key[string]("other")
	v.request(func(ctx context.Context) {
		require.NoError(t, other.Set(ctx, "kept"))
		got, ok, err := guest.Take(ctx)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, guestVisit{Pageviews: 1, FirstSeen: seen}, got)
		_, ok, err = guest.Lookup(ctx)
		require.NoError(t, err)
		require.False(t, ok)
	})
	require.Equal(t, map[string]string{"other": `"kept"`}, v.stored(s))

	v.request(func(ctx context.Context) {
		got, err := guest.GetOrSet(ctx, func() (guestVisit, error) { return guestVisit{Pageviews: 7}, nil })
		require.NoError(t, err)
		require.Equal(t, 7, got.Pageviews)
		require.NoError(t, guest.Delete(ctx))
	})
	require.Equal(t, map[string]string{"other": `"kept"`}, v.stored(s))
}

func TestPromise1_UpdatesOfOneStructCount(t *testing.T) {
	t.Parallel()
	s := memory.New()
	first, second := newManager(t, on(s)), newManager(t, on(s))
	v := newVisitor(t, first)
	v.request(func(ctx context.Context) { require.NoError(t, countPage(ctx)) })

	w := newVisitor(t, second)
	w.cookie = v.cookie
	ctx1, s1 := v.open()
	ctx2, s2 := w.open()
	require.NoError(t, countPage(ctx1))
	require.NoError(t, countPage(ctx2))
	_, err := guest.Update(ctx2, func(v *guestVisit) error { v.Name = "ann"; return nil })
	require.NoError(t, err)
	_, err = v.end(ctx1, s1)
	require.NoError(t, err)
	_, err = w.end(ctx2, s2)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"pageviews": "3", "name": `"ann"`}, v.stored(s))
}

// A Set decides, also where it equals what an Update of the same request has made.
func TestStructSetBehindAnUpdateDecides(t *testing.T) {
	t.Parallel()
	s := memory.New()
	first, second := newVisitor(t, newManager(t, on(s))), newVisitor(t, newManager(t, on(s)))
	first.request(func(ctx context.Context) { require.NoError(t, countPage(ctx)) })
	second.cookie = first.cookie

	ctx, sess := first.open()
	require.NoError(t, countPage(ctx))
	require.NoError(t, guest.Set(ctx, guestVisit{Pageviews: 2}))
	second.request(func(ctx context.Context) {
		require.NoError(t, session.Key[string]("other").Set(ctx, "kept"))
	})
	_, err := first.end(ctx, sess)
	require.NoError(t, err, "nothing of the struct has changed meanwhile")
	require.Equal(t, "2", first.stored(s)["pageviews"])

	ctx, sess = first.open()
	require.NoError(t, countPage(ctx))
	require.NoError(t, guest.Set(ctx, guestVisit{Pageviews: 3}))
	second.request(func(ctx context.Context) { require.NoError(t, countPage(ctx)) })
	_, err = first.end(ctx, sess)
	var conflict *session.ConflictError
	require.ErrorAs(t, err, &conflict, "it replaces what it had read")
	require.Equal(t, []string{"pageviews"}, conflict.Keys)
}
