package middleware_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// spaced writes structs of this test as other libraries might: not as JSON
// would.
type spaced struct{ session.JSON }

type oddValue struct {
	A float64 `json:"a"`
}

const oddJSON = `{ "b" : [ 1.0, 1e0 ],"a":1.50 }`

func (c spaced) Marshal(v any) ([]byte, error) {
	switch v.(type) {
	case oddValue, *oddValue:
		return []byte(oddJSON), nil
	}
	return c.JSON.Marshal(v)
}

var vOdd = session.Key[oddValue]("odd")

// vOddRaw is no package variable: NewManager would refuse the two types.
func vOddRaw() session.Typed[json.RawMessage] { return session.Key[json.RawMessage]("odd") }

// A value that cannot be decoded is an error on its key alone, and blocks what
// would overwrite it; everything else stays byte for byte.
func TestPromise7_OneBadValue(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]visitStep{
		"Set":      setTo(wrongName(), 1),
		"Update":   increment(wrongName()),
		"GetOrSet": orSet(wrongName(), 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := memory.New()
			odd := newVisitSite(t, st, func(c *session.Config) { c.Codec = spaced{} })
			site := newVisitSite(t, st)
			v := odd.known(setTo(vOdd, oddValue{}), setTo(vName, "ada"), setTo(vCount, 1)).at(site)

			a := v.do(ignoring(load(wrongName())), refused)
			var bad *session.ValueError
			require.ErrorAs(t, a.err, &bad)
			require.Equal(t, "name", bad.Key)
			require.Equal(t, http.StatusOK, a.code, "the rest of the session works")

			v.do(ignoring(load(wrongName())), ignoring(refused), increment(vCount), increment(vOther)).requirePage(t)
			requireStored(v, vName, "ada")
			requireStored(v, vCount, 2)
			var raw json.RawMessage
			v.do(read(vOddRaw(), &raw)).requirePage(t)
			require.Equal(t, oddJSON, string(raw))

			v.do(ignoring(load(wrongName())), remove(wrongName()), refused).requirePage(t)
			n, ok := stored(v, wrongName())
			require.True(t, ok)
			require.Equal(t, 1, n)
			v.do(ignoring(load(vName)), empty, setTo(vName, "eve")).requirePage(t)
			requireStored(v, vName, "eve")
		})
	}
}

// null is no int, whatever a decoder makes of it.
func TestNull(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t)
	raw := session.Key[json.RawMessage]("count")
	v := site.known(setTo(raw, json.RawMessage("null")))
	var bad *session.ValueError
	require.ErrorAs(t, v.do(load(vCount)).err, &bad)
	require.ErrorAs(t, v.do(increment(vCount)).err, &bad)
	v.do(load(session.Key[*int]("count"))).requirePage(t)
}

// Value cannot return an error, so the response is one.
func TestValue(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(setTo(vCount, 1), setTo(vName, "ada"))
	value := func(k session.Typed[int], want int) visitStep {
		return func(ctx context.Context) error {
			if got := k.Value(ctx); got != want {
				return fmt.Errorf("%s is %d, want %d", k.Name(), got, want)
			}
			return nil
		}
	}
	v.do(value(vCount, 1), value(vOther, 0), value(vOther.WithDefault(9), 9)).requirePage(t)

	a := v.do(setTo(vCount, 2), value(wrongName(), 0))
	require.NoError(t, a.err)
	var bad *session.ValueError
	require.ErrorAs(t, a.failed, &bad)
	a.requireRefused(t, http.StatusInternalServerError, bad)
	requireStored(v, vCount, 1)

	// Nor may the page be sent when it was only the caller that stopped waiting.
	a = v.do(func(ctx context.Context) error {
		gone, cancel := context.WithCancel(ctx)
		cancel()
		return value(vCount, 0)(gone)
	})
	require.NoError(t, a.err)
	require.ErrorIs(t, a.failed, context.Canceled)
	require.Equal(t, errorBody, a.body)

	sp.Hook(failing(spy.Load))
	a = v.do(value(vCount, 0))
	require.NoError(t, a.err)
	a.requireRefused(t, http.StatusServiceUnavailable, errDown)
}

// A record that cannot be read is a failure of the store, never an empty
// session, and is not written to.
func TestPromise6_CorruptRecord(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(login("ada"), setTo(vCount, 41), setTo(vName, "ada"))
	var whole []byte
	sp.Hook(func(_ context.Context, c *spy.Call) {
		if c.Next(); c.Op == spy.Load {
			whole = c.Record.Data
		}
	})
	v.do(load(vCount)).requirePage(t)
	attempt := func(data []byte) *visitAnswer {
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Op != spy.Load {
				t.Errorf("%s, of a session that cannot be read", c.Op)
				return
			}
			c.Next()
			c.Record.Data = data
		})
		defer sp.Hook(nil)
		return v.tab().do(ignoring(load(vName)), getThenSet)
	}
	for n := range whole {
		var failure *session.StoreError
		a := attempt(whole[:n])
		require.ErrorAs(t, a.err, &failure, "%d of %d bytes", n, len(whole))
		a.requireRefused(t, http.StatusServiceUnavailable, failure)
	}
	for _, data := range [][]byte{nil, []byte("{}"), append(bytes.Clone(whole), 0), append([]byte{whole[0] + 1}, whole[1:]...)} {
		a := attempt(data)
		require.Equal(t, http.StatusServiceUnavailable, a.code)
		require.Error(t, a.err)
	}
	requireStored(v, vCount, 41)
}

// No byte that is wrong in a record makes a request panic.
func TestDamagedRecord(t *testing.T) {
	t.Parallel()
	site, sp := newSpySite(t)
	v := site.known(login("ada"), setTo(vCount, 41), setTo(vName, "ada"))
	v.do(login("eve"), setTo(vCount, 1)).requirePage(t) // with an earlier secret in it
	for i, more := 0, true; more; i++ {
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			sp.Hook(func(_ context.Context, c *spy.Call) {
				c.Next()
				if c.Op == spy.Load && i < len(c.Record.Data) {
					c.Record.Data = bytes.Clone(c.Record.Data)
					c.Record.Data[i] ^= mask
				} else if c.Op == spy.Load {
					more = false
				}
			})
			a := v.tab().doStatus(http.StatusInternalServerError, ignoring(load(vCount)), ignoring(load(vName)), increment(vCount))
			require.Nil(t, a.panicked)
			require.Zero(t, a.cookies)
		}
	}
	sp.Hook(nil)
	requireStored(v, vCount, 1)
}

func limits(bytes, keys, depth int) func(*session.Config) {
	return func(c *session.Config) { c.MaxBytes, c.MaxKeys, c.MaxDepth = bytes, keys, depth }
}

// A limit that a change would break is reported there and then; what was there
// stays, and so does what else the request did.
func TestPromise10_Limits(t *testing.T) {
	t.Parallel()
	type tree []tree
	vTree := session.Key[tree]("tree")
	deep := func(levels int) tree {
		v := tree{}
		for range levels - 1 {
			v = tree{v}
		}
		return v
	}
	vLong := session.Key[string]("long")
	for name, c := range map[string]struct {
		config   func(*session.Config)
		fits     visitStep
		tooMuch  visitStep
		limit    session.Limit
		key      string
		max, got int
	}{
		"bytes, set":      {limits(100, 0, 0), setTo(vLong, strings.Repeat("x", 40)), setTo(vLong, strings.Repeat("x", 200)), session.LimitBytes, "long", 100, 0},
		"bytes, get set":  {limits(100, 0, 0), nothing, orSet(vLong, strings.Repeat("x", 200)), session.LimitBytes, "", 100, 0},
		"keys, set":       {limits(0, 3, 0), setTo(vName, "ada"), setTo(vOther, 1), session.LimitKeys, "other", 3, 4},
		"keys, update":    {limits(0, 3, 0), setTo(vName, "ada"), increment(vOther), session.LimitKeys, "other", 3, 4},
		"keys, get set":   {limits(0, 3, 0), setTo(vName, "ada"), func(ctx context.Context) error { _ = save(ctx); return orSet(vOther, 1)(ctx) }, session.LimitKeys, "", 3, 4},
		"depth, set":      {limits(0, 0, 5), setTo(vTree, deep(5)), setTo(vTree, deep(6)), session.LimitDepth, "tree", 5, 6},
		"depth, get set":  {limits(0, 0, 5), nothing, orSet(vTree, deep(6)), session.LimitDepth, "tree", 5, 6},
		"name":            {limits(0, 0, 0), nothing, setTo(session.Key[int](strings.Repeat("k", 1025)), 1), session.LimitName, strings.Repeat("k", 32) + "...", 1024, 1025},
		"owner":           {limits(0, 0, 0), nothing, login(strings.Repeat("o", 256)), session.LimitOwner, "", 255, 256},
		"name, just fits": {limits(0, 0, 0), setTo(session.Key[int](strings.Repeat("k", 1024)), 1), login(strings.Repeat("o", 256)), session.LimitOwner, "", 255, 256},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			site, _ := newSpySite(t, c.config)
			v := site.known(setTo(vCount, 1), setTo(session.Key[int]("base"), 1))
			a := v.do(c.fits, increment(vCount), ignoring(c.tooMuch), c.tooMuch)
			var limit *session.LimitError
			require.ErrorAs(t, a.err, &limit)
			require.Equal(t, c.limit, limit.Limit)
			require.Equal(t, c.max, limit.Max)
			require.Contains(t, []string{"", c.key}, limit.Key)
			require.Greater(t, limit.Got, limit.Max)
			if c.got != 0 {
				require.Equal(t, c.got, limit.Got)
			}
			require.Equal(t, http.StatusOK, a.code, "%v", a.failed)
			requireStored(v, vCount, 2)
			requireStored(v, session.Key[int]("base"), 1)
			v.do(c.fits).requirePage(t) // stored already
		})
	}
}

// At the bound there is room for what replaces something.
func TestReplaceAtTheBound(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t, limits(0, 2, 0))
	v := site.known(setTo(vCount, 1), setTo(vName, "ada"))
	v.do(remove(vName), setTo(vOther, 1), increment(vCount)).requirePage(t)
	require.Equal(t, []string{"count", "other"}, keysOf(v))
	v.do(take(vOther), orSet(vName, "eve")).requirePage(t)
	require.Equal(t, []string{"count", "name"}, keysOf(v))
	v.do(empty, setTo(vOther, 1), setTo(vName, "bob")).requirePage(t)
	require.Equal(t, []string{"name", "other"}, keysOf(v))
}

// Two requests that each fit, and do not fit together.
func TestPromise10_LimitAtCommit(t *testing.T) {
	t.Parallel()
	site, _ := newSpySite(t, limits(0, 2, 0))
	v := site.known(setTo(vCount, 1))
	slow := v.tab().hold(load(vCount), setTo(vOther, 1))
	v.do(setTo(vName, "ada")).requirePage(t)
	a := slow.finish()
	var limit *session.LimitError
	require.ErrorAs(t, a.failed, &limit)
	require.Equal(t, session.LimitKeys, limit.Limit)
	a.requireRefused(t, http.StatusInternalServerError, limit)
	require.Equal(t, []string{"count", "name"}, keysOf(v))
}

// A stored session beyond the bounds of this node is not read, and not lost.
func TestPromise10_RecordTooBig(t *testing.T) {
	t.Parallel()
	st := memory.New()
	wide := newVisitSite(t, st)
	v := wide.known(setTo(vCount, 1), setTo(vName, strings.Repeat("x", 300)), setTo(vOther, 1))
	for want, narrow := range map[session.Limit]*visitSite{
		session.LimitBytes: newVisitSite(t, st, limits(100, 0, 0)),
		session.LimitKeys:  newVisitSite(t, st, limits(0, 2, 0)),
	} {
		for _, verb := range []visitStep{load(vCount), setTo(vCount, 2), empty, login("ada")} {
			a := v.at(narrow).do(ignoring(verb), verb)
			var limit *session.LimitError
			require.ErrorAs(t, a.err, &limit)
			require.Equal(t, want, limit.Limit)
			a.requireRefused(t, http.StatusInternalServerError, limit)
		}
	}
	requireStored(v, vCount, 1)

	// One can log out of it all the same.
	w := v.at(newVisitSite(t, st, limits(0, 2, 0)))
	w.do(destroy).requirePage(t)
	require.Empty(t, w.credential())
	require.True(t, v.info().New)
}

// The log of a request is bounded; Save empties it.
func TestPromise10_Changes(t *testing.T) {
	t.Parallel()
	const most = 10_000
	site, _ := newSpySite(t)
	v := site.known(setTo(vCount, 0))
	a := v.do(func(ctx context.Context) error {
		for range most {
			if err := increment(vCount)(ctx); err != nil {
				return err
			}
		}
		var limit *session.LimitError
		require.ErrorAs(t, increment(vCount)(ctx), &limit)
		require.Equal(t, session.LimitChanges, limit.Limit)
		return nil
	}, save, increment(vCount))
	a.requirePage(t)
	requireStored(v, vCount, most+1)
}
