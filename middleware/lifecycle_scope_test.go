package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

var vAdmin = session.NewScope("admin")

func inScope(s session.Scope) func(*session.Config) { return func(c *session.Config) { c.Scope = s } }

// sessionsOf returns the handles of the owner's sessions, sorted.
func sessionsOf(t *testing.T, m *session.Manager, owner string) (ids []string) {
	t.Helper()
	for i, err := range m.Sessions(t.Context(), owner) {
		require.NoError(t, err)
		require.Equal(t, owner, i.Owner)
		require.False(t, i.New)
		ids = append(ids, i.ID)
	}
	slices.Sort(ids)
	return ids
}

func TestSessionsAndRevoke(t *testing.T) {
	t.Parallel()
	site := newVisitSite(t, memory.New())
	phone, laptop, desk := site.known(login("ada")), site.known(login("ada")), site.known(login("ada"))
	eve := site.known(login("eve"), setTo(vCount, 1))
	ids := []string{phone.info().ID, laptop.info().ID, desk.info().ID}
	slices.Sort(ids)
	require.Equal(t, ids, sessionsOf(t, site.m, "ada"))
	require.Empty(t, sessionsOf(t, site.m, "nobody"))
	for _, v := range []*visitor{phone, laptop, desk} {
		require.NotContains(t, v.credential(), v.info().ID, "the handle is not the credential")
	}

	require.NoError(t, site.m.Revoke(t.Context(), phone.info().ID))
	require.True(t, phone.info().New)
	require.NotEmpty(t, phone.credential(), "nobody told the browser")
	require.Len(t, sessionsOf(t, site.m, "ada"), 2)

	require.NoError(t, site.m.RevokeOwner(t.Context(), "ada", desk.info().ID))
	require.True(t, laptop.info().New)
	require.Equal(t, []string{desk.info().ID}, sessionsOf(t, site.m, "ada"))

	// The index follows a login of somebody else, and the logout.
	was := desk.info().ID
	desk.do(login("bob")).requirePage(t)
	require.Empty(t, sessionsOf(t, site.m, "ada"))
	require.Equal(t, []string{was}, sessionsOf(t, site.m, "bob"))
	require.NoError(t, site.m.RevokeOwner(t.Context(), "ada"))
	require.False(t, desk.info().New)
	desk.do(destroy).requirePage(t)
	require.Empty(t, sessionsOf(t, site.m, "bob"))

	require.NoError(t, site.m.Revoke(t.Context(), ids[0]), "gone already")
	for _, id := range []string{"", "x", eve.credential(), eve.key()} {
		require.Error(t, site.m.Revoke(t.Context(), id))
		require.Error(t, site.m.RevokeOwner(t.Context(), "eve", id), "or one would be logged out by a typing error")
	}
	requireStored(eve, vCount, 1)
}

// A store without an index says so.
func TestNoOwnerIndex(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	v := site.known(login("ada"))
	require.ErrorIs(t, site.m.RevokeOwner(t.Context(), "ada"), errors.ErrUnsupported)
	n := 0
	for _, err := range site.m.Sessions(t.Context(), "ada") {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		n++
	}
	require.Equal(t, 1, n)
	require.False(t, v.info().New)
}

// Managers of two scopes on one store never meet.
func TestScopesAreApart(t *testing.T) {
	t.Parallel()
	st := memory.New()
	site, admin := newVisitSite(t, st), newVisitSite(t, st, inScope(vAdmin))
	v := site.known(login("ada"), setTo(vCount, 1))
	w := admin.visitor()
	w.do(func(ctx context.Context) error { return vAdmin.FromContext(ctx).Login(ctx, "ada") }, setTo(vCount.In(vAdmin), 2)).requirePage(t)

	for _, c := range []struct {
		v   *visitor // with the other's cookie
		key session.Typed[int]
		s   session.Scope
	}{{v.at(admin), vCount.In(vAdmin), vAdmin}, {w.at(site), vCount, session.Scope{}}} {
		requireAbsent(c.v, c.key)
		a := c.v.do(func(ctx context.Context) error { return c.s.FromContext(ctx).Destroy(ctx) })
		a.requirePage(t)
		require.Zero(t, a.cookies)
	}
	require.Len(t, sessionsOf(t, site.m, "ada"), 1)
	require.Len(t, sessionsOf(t, admin.m, "ada"), 1)
	require.NoError(t, site.m.RevokeOwner(t.Context(), "ada"))
	requireAbsent(v, vCount)
	requireStored(w, vCount.In(vAdmin), 2)
}

// Two kinds of session in one request: each its own cookie, keys and end.
func TestTwoScopesInOneRequest(t *testing.T) {
	t.Parallel()
	st := memory.New()
	site, admin := newVisitSite(t, st), newVisitSite(t, st, inScope(vAdmin))
	adminMW, err := middleware.New(admin.m, middleware.Config{Name: "__Host-admin", ErrorHandler: visitError, Report: visitReport})
	require.NoError(t, err)
	v := site.visitor()
	both := func(h http.HandlerFunc) *visitAnswer {
		a := v.send(t.Context(), site.mw.Handler(adminMW.Handler(h)))
		require.Nil(t, a.panicked)
		return a
	}
	a := both(func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, vCount.Set(r.Context(), 1))
		require.NoError(t, vCount.In(vAdmin).Set(r.Context(), 2))
	})
	require.Len(t, a.header["Set-Cookie"], 2)
	require.Equal(t, 1, a.cookies)
	var name string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == "__Host-admin" {
			name = c.Value
		}
	}
	require.NotEmpty(t, name)
	require.NotEqual(t, v.credential(), name)

	a = v.send(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Add("Cookie", "__Host-admin="+name)
		site.mw.Handler(adminMW.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			one, err := vCount.Get(r.Context())
			require.NoError(t, err)
			two, err := vCount.In(vAdmin).Get(r.Context())
			require.NoError(t, err)
			require.Equal(t, [2]int{1, 2}, [2]int{one, two})
			require.NoError(t, vAdmin.FromContext(r.Context()).Destroy(r.Context()))
		}))).ServeHTTP(w, r)
	}))
	require.Nil(t, a.panicked)
	require.Len(t, a.header["Set-Cookie"], 1, "the admin's removal")
	requireStored(v, vCount, 1)
}

func TestOneManagerTwice(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.visitor()
	a := v.send(t.Context(), site.mw.Handler(site.mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		require.NoError(t, increment(vCount)(r.Context()))
	}))))
	require.Nil(t, a.panicked)
	require.Len(t, a.header["Set-Cookie"], 1)
	require.Equal(t, calls(spy.Insert), sp.Calls())
	requireStored(v, vCount, 1)
}

func TestTwoManagersOfOneScope(t *testing.T) {
	t.Parallel()
	for _, scope := range []session.Scope{{}, vAdmin} {
		site := newVisitSite(t, memory.New(), inScope(scope))
		a := site.visitor().send(t.Context(), site.mw.Handler(site.twin().mw.Handler(http.NotFoundHandler())))
		require.Contains(t, a.panicked, "Config.Scope")
	}
}

// The keys of a scope name the fix where its middleware is missing.
func TestScopeWithoutMiddleware(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	a := site.visitor().serve(func(_ http.ResponseWriter, r *http.Request) { _, _ = vCount.In(vAdmin).Get(r.Context()) })
	require.Contains(t, a.panicked, `"admin"`)
	require.Contains(t, a.panicked, "middleware.New(")
}

func TestWithoutMiddleware(t *testing.T) {
	t.Parallel()
	_, ok := session.Lookup(t.Context())
	require.False(t, ok)
	for _, f := range []func(){
		func() { session.FromContext(t.Context()) },
		func() { _, _ = vCount.Get(t.Context()) },
		func() { _ = vCount.Set(t.Context(), 1) },
	} {
		func() {
			defer func() {
				message, _ := recover().(string)
				require.Contains(t, message, "middleware.New(")
			}()
			f()
			t.Error("no panic")
		}()
	}
}
