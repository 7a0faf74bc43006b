package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// loggedIn returns a visitor who has logged in.
func loggedIn(t testing.TB, m *session.Manager, owner string) *visitor {
	t.Helper()
	vis := newVisitor(t, m)
	vis.request(func(ctx context.Context) {
		require.NoError(t, session.FromContext(ctx).Login(ctx, owner))
		require.NoError(t, counter.Set(ctx, 1))
	})
	return vis
}

// idsOf lists the handles of an owner's sessions.
func idsOf(t testing.TB, m *session.Manager, owner string) (ids []string) {
	t.Helper()
	for info, err := range m.Sessions(t.Context(), owner) {
		require.NoError(t, err)
		require.Equal(t, owner, info.Owner)
		ids = append(ids, info.ID)
	}
	return ids
}

func TestSessionsOfAnOwner(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	require.Empty(t, idsOf(t, m, "ann"))
	first, second, other := loggedIn(t, m, "ann"), loggedIn(t, m, "ann"), loggedIn(t, m, "bob")
	newVisitor(t, m).request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
	require.ElementsMatch(t, []string{first.info().ID, second.info().ID}, idsOf(t, m, "ann"))
	require.Equal(t, []string{other.info().ID}, idsOf(t, m, "bob"))
	require.Empty(t, idsOf(t, m, "an"))
	require.Empty(t, idsOf(t, m, "annn"))
	for info, err := range m.Sessions(t.Context(), "bob") {
		require.NoError(t, err)
		require.Equal(t, other.info(), info, "the same as the session says")
	}

	first.request(func(ctx context.Context) { require.NoError(t, session.FromContext(ctx).Login(ctx, "bob")) })
	require.Equal(t, []string{second.info().ID}, idsOf(t, m, "ann"))
	require.Len(t, idsOf(t, m, "bob"), 2)
	first.request(func(ctx context.Context) { require.NoError(t, session.FromContext(ctx).Destroy(ctx)) })
	require.Len(t, idsOf(t, m, "bob"), 1)
}

// TestManySessions: more than fit on two pages.
func TestManySessions(t *testing.T) {
	t.Parallel()
	counting := &countingStore{Store: memory.New()}
	m := newManager(t, on(counting))
	var want []string
	for range 230 {
		want = append(want, loggedIn(t, m, "ann").info().ID)
	}
	for range 100 {
		loggedIn(t, m, "bob")
	}
	got := idsOf(t, m, "ann")
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(t, want, got)
	require.Equal(t, int64(3), counting.lists, "a page at a time")
	require.Len(t, idsOf(t, m, "bob"), 100)
	require.Equal(t, int64(5), counting.lists)

	seen := 0
	for _, err := range m.Sessions(t.Context(), "ann") {
		require.NoError(t, err)
		if seen++; seen == 5 {
			break
		}
	}
	require.Equal(t, int64(6), counting.lists, "who stops early does not read on")
	all := m.Sessions(t.Context(), "ann")
	for range 2 { // it can be ranged over again
		n := 0
		for _, err := range all {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, 230, n)
	}

	keep := []string{want[0], want[100], want[229]}
	require.NoError(t, m.RevokeOwner(t.Context(), "ann", keep...))
	require.ElementsMatch(t, keep, idsOf(t, m, "ann"))
	require.Len(t, idsOf(t, m, "bob"), 100)
	require.NoError(t, m.RevokeOwner(t.Context(), "ann"))
	require.Empty(t, idsOf(t, m, "ann"))
}

// countingStore counts what the owner index is asked, and can fail.
type countingStore struct {
	*memory.Store
	lists int64
	fail  error
}

func (s *countingStore) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	if s.lists++; s.fail != nil {
		return nil, s.fail
	}
	return s.Store.ListOwner(ctx, owner, after, limit)
}

func (s *countingStore) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	if s.fail != nil {
		return 1, s.fail
	}
	return s.Store.DeleteOwner(ctx, owner, except...)
}

// TestSessionsWithACorruptOne: it is reported with its handle, for Revoke, and
// does not hide the others.
func TestSessionsWithACorruptOne(t *testing.T) {
	t.Parallel()
	s := memory.New()
	m := newManager(t, on(s))
	var ids []string
	for range 150 {
		ids = append(ids, loggedIn(t, m, "ann").info().ID)
	}
	slices.Sort(ids)
	for _, id := range []string{ids[0], ids[70], ids[149]} {
		rec, err := s.Load(t.Context(), keyOf(t, id))
		require.NoError(t, err)
		broken := rec
		broken.Data, broken.Version = []byte("broken"), 1
		_, err = s.Swap(t.Context(), keyOf(t, id), rec.Version, broken)
		require.NoError(t, err)
	}
	good, bad := 0, []string(nil)
	for info, err := range m.Sessions(t.Context(), "ann") {
		if err == nil {
			good++
			continue
		}
		var failure *session.StoreError
		require.ErrorAs(t, err, &failure)
		require.Equal(t, "list", failure.Op)
		bad = append(bad, info.ID)
	}
	require.Equal(t, 147, good)
	require.ElementsMatch(t, []string{ids[0], ids[70], ids[149]}, bad)
	for _, id := range bad {
		require.NoError(t, m.Revoke(t.Context(), id))
	}
	require.Len(t, idsOf(t, m, "ann"), 147)
	n := 0
	for _, err := range m.Sessions(t.Context(), "ann") {
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 147, n)
}

func TestSessionsWithAFailingStore(t *testing.T) {
	t.Parallel()
	s := &countingStore{Store: memory.New(), fail: errTest}
	m := newManager(t, on(s))
	n := 0
	for info, err := range m.Sessions(t.Context(), "ann") {
		n++
		require.Zero(t, info)
		requireStoreError(t, "list", err)
	}
	require.Equal(t, 1, n, "once, and then the end")
	requireStoreError(t, "delete", m.RevokeOwner(t.Context(), "ann"))
}

func requireStoreError(t testing.TB, op string, err error) {
	t.Helper()
	var failure *session.StoreError
	require.ErrorAs(t, err, &failure)
	require.Equal(t, op, failure.Op)
	require.ErrorIs(t, err, errTest)
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	ann, bob := loggedIn(t, m, "ann"), loggedIn(t, m, "bob")
	id := ann.info().ID
	_, err := ann.try(func(ctx context.Context) {
		require.Equal(t, 1, counter.Value(ctx))
		require.NoError(t, m.Revoke(ctx, id))
		require.NoError(t, counter.Set(ctx, 2))
	})
	require.ErrorIs(t, err, session.ErrDestroyed)
	require.False(t, ann.alive())
	require.True(t, bob.alive())
	require.NoError(t, m.Revoke(t.Context(), id), "gone is no error")
	require.NoError(t, m.Revoke(t.Context(), strings.Repeat("A", 43)), "nor is unknown")

	for name, bad := range map[string]string{
		"empty": "", "a credential": bob.cookie, "short": id[:42], "long": id + "A", "padded": id + "=",
		"another alphabet": strings.Repeat("+", 43), "line break": id[:42] + "\n" + id[42:], "unused bits": strings.Repeat("A", 42) + "B", "text": "not an id",
	} {
		require.Error(t, m.Revoke(t.Context(), bad), name)
		requireValueError(t, "id", m.Revoke(t.Context(), bad), name)
		requireValueError(t, "id", m.RevokeOwner(t.Context(), "bob", bob.info().ID, bad), name)
		require.NotContains(t, m.Revoke(t.Context(), bob.cookie).Error(), bob.cookie)
	}
	require.True(t, bob.alive(), "a malformed exception revokes nothing")
}

func TestRevokeWithAFailingStore(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	m := newManager(t, on(s))
	id := loggedIn(t, m, "ann").info().ID
	s.Hook(func(_ context.Context, c *spy.Call) { c.Err = errTest })
	requireStoreError(t, "delete", m.Revoke(t.Context(), id))
}

func TestOwnerRules(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	for _, owner := range []string{"a", " ", "ann@example.org", "zoë", "🎉", ":", "a:b", "\n", strings.Repeat("x", 255), strings.Repeat("é", 127)} {
		vis := loggedIn(t, m, owner)
		require.Equal(t, owner, vis.info().Owner)
		require.Equal(t, []string{vis.info().ID}, idsOf(t, m, owner))
	}
	limit := session.LimitError{Limit: session.LimitOwner, Max: 255, Got: 256}
	for name, owner := range map[string]string{
		"empty": "", "NUL": "a\x00", "invalid": "a\xff", "surrogate": "\xed\xa0\x80", "long": strings.Repeat("x", 256),
	} {
		errs := []error{m.RevokeOwner(t.Context(), owner)}
		for info, err := range m.Sessions(t.Context(), owner) {
			require.Zero(t, info)
			errs = append(errs, err)
		}
		vis := newVisitor(t, m)
		vis.request(func(ctx context.Context) {
			errs = append(errs, session.FromContext(ctx).Login(ctx, owner))
		})
		require.Empty(t, vis.cookie, name)
		require.Len(t, errs, 3, name)
		for _, err := range errs {
			if name == "long" {
				requireLimit(t, err, limit)
			} else {
				require.EqualError(t, err, "session: an owner must be non-empty, valid UTF-8 without NUL", name)
			}
		}
	}
}

// TestOwnersOfScopes: one name in two scopes is two owners, on one store.
func TestOwnersOfScopes(t *testing.T) {
	t.Parallel()
	s := memory.New()
	managers := map[string]*session.Manager{}
	for _, name := range []string{"", "admin", "a"} {
		scope := session.NewScope(name)
		m := newManager(t, on(s), func(cfg *session.Config) { cfg.Scope = scope })
		managers[name] = m
		s := m.Open(session.Opening{})
		ctx := session.NewContext(t.Context(), s)
		require.NoError(t, scope.FromContext(ctx).Login(ctx, "admin:ann"))
		_, err := m.Commit(ctx, s)
		require.NoError(t, err)
		require.NoError(t, m.Finish(ctx, s))
	}
	for name, m := range managers {
		require.Len(t, idsOf(t, m, "admin:ann"), 1, "%q", name)
		require.Empty(t, idsOf(t, m, "ann"), "%q", name)
	}
	require.NoError(t, managers["admin"].RevokeOwner(t.Context(), "admin:ann"))
	require.Empty(t, idsOf(t, managers["admin"], "admin:ann"))
	require.Len(t, idsOf(t, managers[""], "admin:ann"), 1)
}

func TestStoreWithoutCapabilities(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	m := newManager(t, on(s))
	n := 0
	for info, err := range m.Sessions(t.Context(), "ann") {
		n++
		require.Zero(t, info)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	}
	require.Equal(t, 1, n)
	require.ErrorIs(t, m.RevokeOwner(t.Context(), "ann"), errors.ErrUnsupported)
	_, err := m.DeleteExpired(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	err = m.RunSweeper(t.Context(), 1)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, fmt.Sprintf("%T", s), "it names the store")
	require.Empty(t, s.Calls())
	require.NoError(t, m.Revoke(t.Context(), loggedIn(t, m, "ann").info().ID), "what needs no capability works")
}
