package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
)

const unknownCredential = "AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"

// Who sends a request of TestOneRequest.
const (
	nobody  = ""
	unknown = unknownCredential
	mangled = "../../etc/passwd"
	known   = "known" // a stored session with count = 1 and name = "ada"
)

// What a response does to the cookie.
const (
	kept    = ""
	fresh   = "new session"
	rotated = "new secret"
	removed = "removed"
)

type oneRequest struct {
	name   string
	from   string
	later  time.Duration // that the known session is not used
	do     []visitStep
	status int // of the handler; 0: 200
	calls  []spy.Op
	cookie string
	keys   string // that the browser's session has afterwards
	gone   bool   // the cookie of the request no longer opens the session
	why    string // this is not what tower-sessions does
}

func steps(s ...visitStep) []visitStep { return s }

func calls(ops ...spy.Op) []spy.Op { return ops }

// wrongName declares the string under "name" as something else.
// It is no package variable: NewManager would refuse the two types.
func wrongName() session.Typed[int] { return session.Key[int]("name") }

func take[T any](k session.Typed[T]) visitStep {
	return func(ctx context.Context) error {
		_, _, err := k.Take(ctx)
		return err
	}
}

func orSet[T any](k session.Typed[T], v T) visitStep {
	return func(ctx context.Context) error {
		_, err := k.GetOrSet(ctx, func() (T, error) { return v, nil })
		return err
	}
}

// refusedTake expects the value to be of another type.
func refusedTake(ctx context.Context) error {
	if _, _, err := wrongName().Take(ctx); err != nil {
		return nil //nolint:nilerr // the error is what is expected
	}
	return context.Canceled
}

func wrongRemove(ctx context.Context) error { return wrongName().Delete(ctx) }

// What tower-sessions was observed to do, scenario by scenario, and what happens
// here. The store calls are exact.
var oneRequests = []oneRequest{
	{name: "no cookie, only a get", do: steps(load(vCount))},
	{name: "no cookie, untouched", do: steps(nothing)},
	{name: "no cookie, insert", do: steps(setTo(vCount, 1)), calls: calls(spy.Insert), cookie: fresh, keys: "count"},
	{name: "no cookie, insert then remove", do: steps(setTo(vCount, 1), remove(vCount))},
	{name: "no cookie, insert then clear", do: steps(setTo(vCount, 1), empty)},
	{name: "no cookie, insert, 404", do: steps(setTo(vCount, 1)), status: 404, calls: calls(spy.Insert), cookie: fresh, keys: "count"},
	{name: "no cookie, insert, 500", do: steps(setTo(vCount, 1)), status: 500},
	{name: "no cookie, rotate", do: steps(rotate), why: "there is nothing to delete"},
	{name: "no cookie, elevate", do: steps(elevate)},
	{name: "no cookie, login", do: steps(login("ada")), calls: calls(spy.Insert), cookie: fresh},
	{name: "no cookie, insert then destroy", do: steps(setTo(vCount, 1), destroy)},
	{name: "no cookie, get or set, 500", do: steps(orSet(vCount, 1)), status: 500, calls: calls(spy.Insert), cookie: fresh, keys: "count"},
	{name: "no cookie, insert then save, 500", do: steps(setTo(vCount, 1), save), status: 500, calls: calls(spy.Insert), cookie: fresh, keys: "count"},

	{name: "unknown id, untouched", from: unknown, do: steps(nothing)},
	{name: "unknown id, get", from: unknown, do: steps(load(vCount)), calls: calls(spy.Load), why: "a removal may overtake a fresh cookie"},
	{name: "unknown id, insert", from: unknown, do: steps(setTo(vCount, 1)), calls: calls(spy.Load, spy.Insert), cookie: fresh, keys: "count"},
	{name: "unknown id, clear then insert", from: unknown, do: steps(empty, setTo(vCount, 1)), calls: calls(spy.Load, spy.Insert), cookie: fresh, keys: "count", why: "a client never chooses its id"},
	{name: "unknown id, clear", from: unknown, do: steps(empty), calls: calls(spy.Load), why: "an id is not adopted"},
	{name: "unknown id, rotate", from: unknown, do: steps(rotate), calls: calls(spy.Load)},
	{name: "unknown id, destroy", from: unknown, do: steps(destroy), calls: calls(spy.Load), why: "a removal may overtake a fresh cookie"},
	{name: "malformed id, get", from: mangled, do: steps(load(vCount)), why: "it never reaches the store"},
	{name: "malformed id, untouched", from: mangled, do: steps(nothing), why: "no removal"},
	{name: "malformed id, insert", from: mangled, do: steps(setTo(vCount, 1)), calls: calls(spy.Insert), cookie: fresh, keys: "count"},

	{name: "valid, untouched", from: known, do: steps(nothing), keys: "count name"},
	{name: "valid, get", from: known, do: steps(load(vCount)), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, get when a touch is due", from: known, later: 2 * time.Minute, do: steps(load(vCount)), calls: calls(spy.Load, spy.Touch), keys: "count name", why: "reads count as activity"},
	{name: "valid, untouched when a touch is due", from: known, later: 2 * time.Minute, do: steps(nothing), keys: "count name"},
	{name: "valid, get when a touch is due, 500", from: known, later: 2 * time.Minute, do: steps(load(vCount)), status: 500, calls: calls(spy.Load), keys: "count name"},
	{name: "valid, write when a touch is due", from: known, later: 2 * time.Minute, do: steps(increment(vCount)), calls: calls(spy.Load, spy.Swap), keys: "count name"},
	{name: "valid, insert", from: known, do: steps(setTo(vOther, 1)), calls: calls(spy.Load, spy.Swap), keys: "count name other", why: "a cookie is sent only when it changes"},
	{name: "valid, insert, 404", from: known, do: steps(setTo(vOther, 1)), status: 404, calls: calls(spy.Load, spy.Swap), keys: "count name other"},
	{name: "valid, insert, 500", from: known, do: steps(setTo(vOther, 1)), status: 500, calls: calls(spy.Load), keys: "count name"},
	{name: "valid, insert of an equal value", from: known, do: steps(setTo(vCount, 1)), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, insert and back again", from: known, do: steps(setTo(vCount, 2), setTo(vCount, 1)), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, update that changes nothing", from: known, do: steps(func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(*int) error { return nil })
		return err
	}), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, remove of an absent key", from: known, do: steps(remove(vOther)), calls: calls(spy.Load), keys: "count name", why: "no change is no write"},
	{name: "valid, insert and explicit save", from: known, do: steps(setTo(vOther, 1), save), calls: calls(spy.Load, spy.Swap), keys: "count name other", why: "the middleware has nothing left to save"},
	{name: "valid, insert and save, 500", from: known, do: steps(setTo(vOther, 1), save, setTo(vCount, 5)), status: 500, calls: calls(spy.Load, spy.Swap), keys: "count name other"},
	{name: "valid, remove", from: known, do: steps(remove(vName)), calls: calls(spy.Load, spy.Swap), keys: "count"},
	{name: "valid, remove the last key", from: known, do: steps(remove(vName), remove(vCount)), calls: calls(spy.Load, spy.Swap), why: "the record stays, but no cookie is sent"},
	{name: "valid, clear", from: known, do: steps(empty), calls: calls(spy.Load, spy.Swap), why: "the record stays, but no cookie is sent"},
	{name: "valid, remove of another type", from: known, do: steps(wrongRemove), calls: calls(spy.Load, spy.Swap), keys: "count", why: "Delete decodes nothing, so it cannot fail halfway"},
	{name: "valid, take of another type", from: known, do: steps(refusedTake), calls: calls(spy.Load), keys: "count name", why: "Take removes only what it has decoded"},
	{name: "valid, take, 500", from: known, do: steps(take(vName), setTo(vCount, 5)), status: 500, calls: calls(spy.Load, spy.Swap), keys: "count", why: "Take is done at once"},
	{name: "valid, take of an absent key", from: known, do: steps(take(vOther)), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, get or set of a present key", from: known, do: steps(orSet(vCount, 9)), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, get or set of an absent key", from: known, do: steps(orSet(vOther, 9)), calls: calls(spy.Load, spy.Swap), keys: "count name other"},
	{name: "valid, insert then destroy", from: known, do: steps(setTo(vOther, 1), destroy), calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true, why: "gone stays gone"},
	// tower-sessions deletes without a look; here only the right secret may.
	{name: "valid, destroy", from: known, do: steps(destroy), calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true},
	{name: "valid, destroy, 500", from: known, do: steps(destroy), status: 500, calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true},
	{name: "valid, destroy twice", from: known, do: steps(destroy, destroy), calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true},
	{name: "valid, destroy then insert", from: known, do: steps(destroy, setTo(vOther, 1)), calls: calls(spy.Load, spy.Delete, spy.Insert), cookie: fresh, keys: "other", gone: true, why: "the old id is never used again"},
	{name: "valid, destroy then insert, 500", from: known, do: steps(destroy, setTo(vOther, 1)), status: 500, calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true},
	{name: "valid, destroy, insert, destroy", from: known, do: steps(destroy, setTo(vOther, 1), destroy), calls: calls(spy.Load, spy.Delete), cookie: removed, gone: true},
	{name: "valid, destroy then login", from: known, do: steps(destroy, login("eve")), calls: calls(spy.Load, spy.Delete, spy.Insert), cookie: fresh, gone: true},
	{name: "valid, rotate", from: known, later: 2 * time.Minute, do: steps(rotate), calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name", why: "one swap of one record"},
	{name: "valid, rotate too soon", from: known, do: steps(rotate), calls: calls(spy.Load), keys: "count name"},
	{name: "valid, rotate and save", from: known, later: 2 * time.Minute, do: steps(rotate, save), calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name"},
	{name: "valid, rotate and save, 500", from: known, later: 2 * time.Minute, do: steps(rotate, save), status: 500, calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name", why: "Save is done at once, so the secret is needed"},
	{name: "valid, rotate, 500", from: known, later: 2 * time.Minute, do: steps(rotate), status: 500, calls: calls(spy.Load), keys: "count name", why: "nothing is lost"},
	{name: "valid, login", from: known, do: steps(login("ada")), calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name"},
	{name: "valid, login, 500", from: known, do: steps(login("ada")), status: 500, calls: calls(spy.Load), keys: "count name"},
	{name: "valid, elevate", from: known, do: steps(elevate), calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name"},
	{name: "valid, set expiry", from: known, do: steps(setExpiry(session.OnSessionEnd().WithIdle(time.Minute))), calls: calls(spy.Load, spy.Swap), keys: "count name", why: "no cookie: it does not change with the idle limit"},
	{name: "valid, set expiry of a persistent cookie", from: known, do: steps(setExpiry(session.OnInactivity(time.Minute))), calls: calls(spy.Load, spy.Swap), cookie: rotated, keys: "count name"},
	{name: "valid, set expiry, 500", from: known, do: steps(setExpiry(session.OnInactivity(time.Minute))), status: 500, calls: calls(spy.Load), keys: "count name"},
}

func TestOneRequest(t *testing.T) {
	t.Parallel()
	for _, c := range oneRequests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { c.run(t) })
		})
	}
}

func (c *oneRequest) run(t *testing.T) {
	site, sp := newSpySite(t)
	v := site.visitor()
	if v.cookie = c.from; c.from == known {
		v = site.known(setTo(vCount, 1), setTo(vName, "ada"))
	}
	before := v.tab()
	time.Sleep(c.later)
	sp.Calls()
	if c.status == 0 {
		c.status = http.StatusOK
	}
	a := v.doStatus(c.status, c.do...)
	require.NoError(t, a.err)
	require.NoError(t, a.failed)
	require.Empty(t, a.reported)
	require.Equal(t, c.status, a.code)
	require.Equal(t, c.calls, sp.Calls(), "store calls (%s)", c.why)

	switch c.cookie {
	case kept:
		require.Zero(t, a.cookies, "a cookie was sent (%s)", c.why)
	case removed:
		require.Equal(t, 1, a.cookies)
		require.Negative(t, a.cookie.MaxAge)
		require.Empty(t, a.cookie.Value)
	default:
		require.Equal(t, 1, a.cookies)
		require.NotEqual(t, before.credential(), v.credential())
		require.Equal(t, c.cookie == rotated, before.key() == v.key(), "the key of the session (%s)", c.why)
		require.GreaterOrEqual(t, a.cookie.MaxAge, 0, "removed")
	}
	if a.cookie != nil {
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Equal(t, "/", a.cookie.Path)
		require.True(t, a.cookie.Secure && a.cookie.HttpOnly)
		require.Equal(t, http.SameSiteLaxMode, a.cookie.SameSite)
	}

	require.Equal(t, c.keys, strings.Join(keysOf(v), " "))
	alive := !before.info().New
	require.Equal(t, c.from == known && !c.gone, alive, "the cookie of the request opens a session (%s)", c.why)
}

func keysOf(v *visitor) (keys []string) {
	v.site.t.Helper()
	a := v.do(func(ctx context.Context) (err error) {
		keys, err = session.FromContext(ctx).Keys(ctx)
		return err
	})
	require.NoError(v.site.t, a.err)
	return keys
}

// Every use of the session, and nothing else, makes the response vary.
func TestPromise5_UntouchedCostsNothing(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	for _, from := range []string{nobody, unknown, mangled, site.known(setTo(vCount, 1)).credential()} {
		sp.Calls()
		v := site.visitor()
		v.cookie = from
		a := v.do(nothing, func(ctx context.Context) error {
			_ = session.FromContext(ctx).String()
			return nil
		})
		a.requirePage(t)
		require.Empty(t, sp.Calls())
		require.NotContains(t, a.header, "Set-Cookie")
		require.NotContains(t, a.header, "Vary")
		require.NotContains(t, a.header, "Cache-Control")

		a = v.do(load(vCount))
		require.Equal(t, "Cookie", a.header.Get("Vary"))
		require.NotContains(t, a.header, "Set-Cookie")
	}
}

func TestPromise4_NoIDFromClient(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	real := site.known(setTo(vCount, 1)).credential()
	dead := site.known(setTo(vCount, 1))
	old := dead.credential()
	require.NoError(t, dead.do(destroy).err)
	key, secret, _ := strings.Cut(real, ".")
	chosen := []string{
		unknown, mangled, old, "", ".", key, key + ".", secret + "." + key, real + "A", " " + real[1:], strings.ToUpper(real),
		key + "." + strings.Repeat("A", 22), key + "%2E" + secret, key + "." + secret[:21] + "=", strings.Repeat("A", 1<<16),
	}
	for _, c := range chosen {
		for _, step := range []visitStep{load(vCount), setTo(vCount, 7), increment(vCount), orSet(vCount, 7), login("eve")} {
			for _, first := range []visitStep{nothing, empty, destroy, rotate, elevate, save} {
				v := site.visitor()
				v.cookie = c
				a := v.do(first, step)
				if a.cookie == nil {
					continue
				}
				require.NotEqual(t, c, a.cookie.Value)
				require.NotEqual(t, strings.Split(c, ".")[0], v.key(), "the key that the client sent was taken: %.60q", c)
			}
		}
	}
	survivor := site.visitor()
	survivor.cookie = real
	requireStored(survivor, vCount, 1)

	// Of duplicated cookies the one that opens a live session counts.
	sp.Calls()
	for _, header := range []string{
		middleware.HostName + "=" + old + "; " + middleware.HostName + "=" + real,
		middleware.HostName + "=" + real + "; " + middleware.HostName + "=" + unknown,
		middleware.HostName + "=" + mangled + "; " + middleware.HostName + "=" + real,
	} {
		var n int
		a := survivor.send(t.Context(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Cookie", header)
			site.mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				n, _ = vCount.Get(r.Context())
			})).ServeHTTP(w, r)
		}))
		require.Zero(t, a.cookies)
		require.Equal(t, 1, n, header[:20])
	}
	require.NotContains(t, sp.Calls(), spy.Insert)
}

// Two requests at once: both have loaded the session before either commits.
func TestTwoRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		slow, quick  []visitStep // slow begins first and ends last
		code         int         // of the slow one
		err          error
		count, other int
	}{
		{name: "both add 1 to 42", slow: steps(increment(vCount)), quick: steps(increment(vCount)), code: 200, count: 44},
		{name: "different keys", slow: steps(setTo(vCount, 1)), quick: steps(setTo(vOther, 2)), code: 200, count: 1, other: 2},
		{name: "both set the same key", slow: steps(setTo(vCount, 1)), quick: steps(setTo(vCount, 2)), code: 200, count: 1},
		// Equal to what is found is not equal to what was loaded: one would count for two.
		{name: "both get, then set 43", slow: steps(load(vCount), setTo(vCount, 43)), quick: steps(load(vCount), setTo(vCount, 43)), code: 409, err: new(session.ConflictError), count: 43},
		{name: "a set of the loaded value is no write", slow: steps(setTo(vCount, 42)), quick: steps(setTo(vCount, 1)), code: 200, count: 1},
		{name: "clear and a new key", slow: steps(empty), quick: steps(setTo(vOther, 2)), code: 200},
		{name: "rotate and add", slow: steps(increment(vCount)), quick: steps(rotate), code: 200, count: 43},
		{name: "login and add", slow: steps(increment(vCount)), quick: steps(login("ada")), code: 409, err: session.ErrSuperseded, count: 42},
		{name: "elevate and add", slow: steps(increment(vCount)), quick: steps(elevate), code: 409, err: session.ErrSuperseded, count: 42},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			site, _ := newSpySite(t, func(c *session.Config) { c.Grace, c.MinRotate = time.Millisecond, time.Millisecond })
			v := site.known(setTo(vCount, 42))
			slow := v.tab().hold(load(vName), c.slow...)
			v.do(c.quick...).requirePage(t)
			a := slow.finish()
			if c.err != nil {
				requireSameError(t, c.err, a.failed)
				a.requireRefused(t, c.code, a.failed)
			} else {
				a.requirePage(t)
			}
			require.Zero(t, a.cookies)
			count, _ := stored(v, vCount)
			other, _ := stored(v, vOther)
			require.Equal(t, c.count, count)
			require.Equal(t, c.other, other)
		})
	}
}

// requireSameError compares a typed error by its type, others with errors.Is.
func requireSameError(t testing.TB, want, got error) {
	t.Helper()
	if conflict, ok := errors.AsType[*session.ConflictError](want); ok {
		require.ErrorAs(t, got, &conflict)
		return
	}
	require.ErrorIs(t, got, want)
}

// A policy that a session was given is kept with it. tower-sessions falls back
// to the layer's at the next write.
func TestExpiryKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		site, _ := newSpySite(t, func(c *session.Config) { c.Lifetime = 40 * day })
		month := session.AtTime(time.Now().Add(30 * day))
		v := site.known(setTo(vCount, 1), setExpiry(month))
		v.do(increment(vCount)).requirePage(t)
		time.Sleep(29 * day)
		require.Equal(t, month, v.info().Expiry)
		v.do(increment(vCount)).requirePage(t)
		requireStored(v, vCount, 3)
		time.Sleep(day)
		require.True(t, v.info().New, "after its end")
	})
}

// What the response says about the cookie's life.
func TestCookieLife(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		expiry session.Expiry
		maxAge int
	}{
		{"session end", session.OnSessionEnd(), 0},
		{"inactivity", session.OnInactivity(time.Hour), 24 * 60 * 60}, // the absolute end: idle is the server's
		{"time", session.AtTime(time.Date(2000, 1, 1, 2, 0, 0, 0, time.UTC)), 2 * 60 * 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // where it is midnight, the 1st of January 2000
				site, _ := newSpySite(t, func(cfg *session.Config) { cfg.Expiry = c.expiry })
				a := site.visitor().do(setTo(vCount, 1))
				a.requirePage(t)
				require.Equal(t, c.maxAge, a.cookie.MaxAge)
				require.True(t, a.cookie.Expires.IsZero())
			})
		})
	}
}
