package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

type (
	failing struct{}
	garbled struct{}
	node    struct {
		Next *node `json:"next"`
	}
)

func (failing) MarshalJSON() ([]byte, error) { return nil, errTest }
func (garbled) MarshalJSON() ([]byte, error) { return []byte(`{"a":`), nil }

// refuses checks that a value is refused by every verb that takes one, and that
// nothing is left of it.
func refuses[T any](v T) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		s := spy.Wrap(memory.New())
		vis := newVisitor(t, newManager(t, on(s)))
		key := session.Key[T]("value")
		vis.request(func(ctx context.Context) {
			requireUnencodable(t, key.Set(ctx, v))
			_, err := key.Update(ctx, func(p *T) error { *p = v; return nil })
			requireUnencodable(t, err)
			_, err = key.GetOrSet(ctx, func() (T, error) { return v, nil })
			requireUnencodable(t, err)
			_, ok, err := key.Lookup(ctx)
			require.NoError(t, err)
			require.False(t, ok)
		})
		require.Empty(t, s.Calls())
		require.Empty(t, vis.cookie)
	}
}

func requireUnencodable(t testing.TB, err error) {
	t.Helper()
	if limit, ok := errors.AsType[*session.LimitError](err); ok {
		require.Equal(t, session.LimitDepth, limit.Limit)
		require.Equal(t, "value", limit.Key)
		return
	}
	requireValueError(t, "value", err)
}

func unencodable() map[string]func(t *testing.T) {
	return map[string]func(t *testing.T){
		"NaN":             refuses(math.NaN()),
		"Inf":             refuses(math.Inf(1)),
		"-Inf in a map":   refuses(map[string]float64{"a": math.Inf(-1)}),
		"float32 NaN":     refuses(float32(math.NaN())),
		"chan":            refuses(make(chan int)),
		"func":            refuses(func() {}),
		"complex":         refuses(complex(1, 2)),
		"chan in any":     refuses[any](map[string]any{"c": make(chan int)}),
		"func in struct":  refuses(struct{ F func() }{func() {}}),
		"keys of struct":  refuses(map[struct{ A int }]int{{1}: 1}),
		"MarshalJSON err": refuses(failing{}),
		"MarshalJSON bad": refuses(garbled{}),
		"raw":             refuses(json.RawMessage(`{"a":`)),
		"raw in any":      refuses[any](json.RawMessage(`nope`)),
		"raw in struct":   refuses(struct{ R json.RawMessage }{json.RawMessage(`]`)}),
		"year 10000":      refuses(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)),
	}
}

func TestUnencodableValues(t *testing.T) {
	t.Parallel()
	for name, test := range unencodable() {
		t.Run(name, test)
	}
}

// TestEndlessValues: a value that contains itself must not end the process, so
// they run in another one.
func TestEndlessValues(t *testing.T) {
	const env = "SESSION_TEST_ENDLESS"
	if os.Getenv(env) == "" {
		t.Parallel()
		for _, name := range []string{"pointer", "map", "slice", "any", "long"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestEndlessValues$/^"+name+"$")
				cmd.Env = append(os.Environ(), env+"=1")
				out, err := cmd.CombinedOutput()
				require.NoError(t, err, "%.2000s", out)
				require.Contains(t, string(out), "PASS")
			})
		}
		return
	}
	debug.SetMaxStack(256 << 20)
	debug.SetMemoryLimit(1 << 30)
	cyclic := &node{}
	cyclic.Next = cyclic
	m := map[string]any{}
	m["m"] = m
	slice := []any{nil}
	slice[0] = slice
	var self any
	self = &self
	long := &node{}
	for range 50_000 {
		long = &node{long}
	}
	t.Run("pointer", refuses(cyclic))
	t.Run("map", refuses(m))
	t.Run("slice", refuses(slice))
	t.Run("any", refuses(self))
	t.Run("long", refuses(long))
}

func TestNull(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	for _, null := range []string{"null", " null\n"} {
		vis.plant(s, "k", null)
		for name, test := range map[string]func(t *testing.T, ctx context.Context){
			"int":      nullRefused[int],
			"int64":    nullRefused[int64],
			"string":   nullRefused[string],
			"bool":     nullRefused[bool],
			"float64":  nullRefused[float64],
			"uint8":    nullRefused[uint8],
			"struct":   nullRefused[address],
			"empty":    nullRefused[struct{}],
			"array":    nullRefused[[2]int],
			"time":     nullRefused[time.Time],
			"text":     nullRefused[level],
			"pointer":  nullAccepted[*int],
			"map":      nullAccepted[map[string]int],
			"slice":    nullAccepted[[]int],
			"bytes":    nullAccepted[[]byte],
			"any":      nullAccepted[any],
			"option":   nullAccepted[option[int]],
			"*struct":  nullAccepted[*address],
			"**string": nullAccepted[**string],
		} {
			t.Run(name, func(t *testing.T) {
				vis.request(func(ctx context.Context) { test(t, ctx) })
			})
		}
		vis.request(func(ctx context.Context) {
			raw, err := session.Key[json.RawMessage]("k").Get(ctx)
			require.NoError(t, err)
			require.Equal(t, "null", strings.TrimSpace(string(raw)))
		})
	}
	require.Equal(t, " null\n", vis.stored(s)["k"], "nothing was written")
}

func nullRefused[T any](t *testing.T, ctx context.Context) {
	key := session.Key[T]("k").WithDefault(*new(T))
	_, err := key.Get(ctx)
	requireValueError(t, "k", err)
	_, ok, err := key.Lookup(ctx)
	require.False(t, ok)
	requireValueError(t, "k", err)
	_, err = key.Update(ctx, func(*T) error { panic("it must not be called") })
	requireValueError(t, "k", err)
	_, err = key.GetOrSet(ctx, func() (T, error) { panic("it must not be called") })
	requireValueError(t, "k", err)
	_, _, err = key.Take(ctx)
	requireValueError(t, "k", err)
}

func nullAccepted[T any](t *testing.T, ctx context.Context) {
	got, ok, err := session.Key[T]("k").Lookup(ctx)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, *new(T), got)
}

// TestWrongType is promise 7: an error on that key alone; other keys, and keys the
// program does not know, are kept byte for byte.
func TestWrongType(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"a string": `"7"`, "a fraction": `1.5`, "too large": `9223372036854775808`, "an object": `{}`,
		"no JSON": `{broken`, "nothing": ``, "two values": `1 2`, "null": `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.plant(s, "bad", raw, "good", "1", "unknown", `{ "kept" : [1e0] }`)
			bad, good := session.Key[int]("bad").WithDefault(5), session.Key[int]("good")

			vis.request(func(ctx context.Context) {
				_, err := good.Update(ctx, func(n *int) error { *n++; return nil })
				require.NoError(t, err)
				v, err := bad.Get(ctx)
				requireValueError(t, "bad", err)
				require.Zero(t, v, "neither half a value nor the default")
				n, err := good.Get(ctx)
				require.NoError(t, err)
				require.Equal(t, 2, n)
				names, err := session.FromContext(ctx).Keys(ctx)
				require.NoError(t, err)
				require.Equal(t, []string{"bad", "good", "planted", "unknown"}, names)
			})
			require.Equal(t, map[string]string{
				"bad": raw, "good": "2", "unknown": `{ "kept" : [1e0] }`, "planted": "true",
			}, vis.stored(s))
		})
	}
}

// TestFailedReadIsNotOverwritten: after a value that could not be decoded, Set and
// Update of that key return the error until Delete is called.
func TestFailedReadIsNotOverwritten(t *testing.T) {
	t.Parallel()
	key := session.Key[int]("bad")
	for name, read := range map[string]func(ctx context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := key.Get(ctx); return err },
		"Lookup": func(ctx context.Context) error { _, _, err := key.Lookup(ctx); return err },
		"Take":   func(ctx context.Context) error { _, _, err := key.Take(ctx); return err },
		"Update": func(ctx context.Context) error {
			_, err := key.Update(ctx, func(*int) error { return nil })
			return err
		},
		"GetOrSet": func(ctx context.Context) error {
			_, err := key.GetOrSet(ctx, func() (int, error) { return 1, nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.plant(s, "bad", `"text"`)
			vis.request(func(ctx context.Context) {
				requireValueError(t, "bad", read(ctx))
				requireValueError(t, "bad", key.Set(ctx, 1), "Set after the failed read")
				_, err := key.Update(ctx, func(n *int) error { *n = 1; return nil })
				requireValueError(t, "bad", err)
				requireValueError(t, "bad", session.Key[string]("bad").Set(ctx, "x"), "it is the name that counts")
				require.NoError(t, session.Key[int]("other").Set(ctx, 1))
			})
			require.Equal(t, map[string]string{"bad": `"text"`, "other": "1", "planted": "true"}, vis.stored(s))
			vis.request(func(ctx context.Context) {
				requireValueError(t, "bad", read(ctx))
				require.NoError(t, key.Delete(ctx))
				require.NoError(t, key.Set(ctx, 2))
				n, err := key.Update(ctx, func(n *int) error { *n++; return nil })
				require.NoError(t, err)
				require.Equal(t, 3, n)
			})
			require.Equal(t, "3", vis.stored(s)["bad"])
		})
	}
}

func TestClearForgetsTheFailedRead(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.plant(s, "bad", `"text"`)
	key := session.Key[int]("bad")
	vis.request(func(ctx context.Context) {
		_, err := key.Get(ctx)
		require.Error(t, err)
		require.NoError(t, session.FromContext(ctx).Clear(ctx))
		require.NoError(t, key.Set(ctx, 1))
	})
	require.Equal(t, map[string]string{"bad": "1"}, vis.stored(s))
}

func TestValueRemembersTheFailure(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.plant(s, "bad", `"text"`)
	_, err := vis.try(func(ctx context.Context) {
		require.NoError(t, session.Key[int]("other").Set(ctx, 1))
		require.Zero(t, session.Key[int]("bad").Value(ctx))
	})
	requireValueError(t, "bad", err)
	require.Equal(t, map[string]string{"bad": `"text"`, "planted": "true"}, vis.stored(s), "nothing was committed")

	// A page was made from the zero value, for whatever reason: it must not be sent.
	_, err = vis.try(func(ctx context.Context) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.Zero(t, session.Key[bool]("planted").Value(ended))
	})
	require.ErrorIs(t, err, context.Canceled)
	vis.request(func(ctx context.Context) {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := session.Key[bool]("planted").Get(ended)
		require.ErrorIs(t, err, context.Canceled)
		require.True(t, session.Key[bool]("planted").Value(ctx), "only the caller's context had ended: it is tried again")
	})
}

func TestDepth(t *testing.T) {
	t.Parallel()
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	objects := func(n int) string { return strings.Repeat(`{"[":`, n) + "1" + strings.Repeat("}", n) }
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s), func(cfg *session.Config) { cfg.MaxDepth = 5 }))
	raw, deep := session.Key[json.RawMessage]("raw"), session.Key[any]("deep")
	vis.plant(s, "deep", nested(6))
	vis.request(func(ctx context.Context) {
		for _, ok := range []string{
			nested(5), objects(5), "[" + nested(4) + "," + nested(4) + "]",
			`"` + strings.Repeat(`[{`, 50) + `"`, `["` + strings.Repeat(`\"[`, 50) + `"]`, `"\\\\[[[[[[[[[["`, `{"` + strings.Repeat("[", 20) + `":0}`,
		} {
			require.NoError(t, raw.Set(ctx, json.RawMessage(ok)), ok)
			_, err := raw.Get(ctx)
			require.NoError(t, err, ok)
		}
		for _, bad := range []string{
			nested(6), nested(100), objects(6), `["\\",` + nested(5) + `]`, `["\"",` + nested(5) + `]`, "[[]," + nested(5) + "]",
		} {
			err := raw.Set(ctx, json.RawMessage(bad))
			requireLimit(t, err, session.LimitError{Limit: session.LimitDepth, Key: "raw", Max: 5, Got: 6})
		}
		_, err := deep.Get(ctx)
		requireLimit(t, err, session.LimitError{Limit: session.LimitDepth, Key: "deep", Max: 5, Got: 6})
		requireLimit(t, deep.Set(ctx, 1), session.LimitError{Limit: session.LimitDepth, Key: "deep", Max: 5, Got: 6})
	})
}

func requireLimit(t testing.TB, err error, want session.LimitError) {
	t.Helper()
	var limit *session.LimitError
	require.ErrorAs(t, err, &limit)
	require.Equal(t, want, *limit)
	require.Contains(t, err.Error(), fmt.Sprint(want.Max))
}
