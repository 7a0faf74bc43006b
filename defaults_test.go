package session_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// hasDefault checks where a default is seen, and that it is not shared.
func hasDefault[T any](def T, change func(*T)) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		want := viaJSON(t, def)
		text, err := json.Marshal(def)
		require.NoError(t, err)
		s := memory.New()
		m := newManager(t, on(s))
		key := session.Key[T]("k").WithDefault(def)
		vis := newVisitor(t, m)
		for range 2 { // requests
			vis.request(func(ctx context.Context) {
				for range 2 {
					got, err := key.Get(ctx)
					require.NoError(t, err)
					require.Equal(t, want, got)
					change(&got)
					got = key.Value(ctx)
					require.Equal(t, want, got)
					change(&got)
				}
				got, ok, err := key.Lookup(ctx)
				require.NoError(t, err)
				require.False(t, ok)
				require.Equal(t, *new(T), got)
				got, ok, err = key.Take(ctx)
				require.NoError(t, err)
				require.False(t, ok)
				require.Equal(t, *new(T), got)
				_, err = key.Update(ctx, func(p *T) error {
					require.Equal(t, want, *p)
					change(p)
					return errTest
				})
				require.ErrorIs(t, err, errTest)
			})
		}
		require.Empty(t, vis.cookie, "a default is not stored")
		vis.request(func(ctx context.Context) {
			var zero T
			got, err := key.GetOrSet(ctx, func() (T, error) { return zero, nil })
			require.NoError(t, err, "GetOrSet does not see the default")
			require.Equal(t, viaJSON(t, zero), got)
			require.NoError(t, key.Delete(ctx))
			_, err = key.Update(ctx, func(p *T) error { return nil })
			require.NoError(t, err)
		})
		require.Equal(t, string(text), vis.stored(s)["k"], "Update stores what it started from")
	}
}

// viaJSON is what comes back of a value.
func viaJSON[T any](t testing.TB, v T) (back T) {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &back))
	return back
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	one := 1
	type plain struct {
		N int     `json:"n"`
		A [2]bool `json:"a"`
	}
	for name, test := range map[string]func(t *testing.T){
		"int":     hasDefault(7, func(n *int) { *n = 9 }),
		"string":  hasDefault("<x>", func(s *string) { *s = "" }),
		"struct":  hasDefault(plain{N: 7}, func(p *plain) { p.N, p.A[1] = 9, true }),
		"bytes":   hasDefault([]byte("abc"), func(b *[]byte) { (*b)[0] = 'X' }),
		"slice":   hasDefault([]int{1, 2}, func(s *[]int) { (*s)[0] = 9 }),
		"map":     hasDefault(map[string]int{"a": 1}, func(m *map[string]int) { (*m)["a"] = 9 }),
		"pointer": hasDefault(&one, func(p **int) { **p = 9 }),
		"array":   hasDefault([1][]int{{1}}, func(a *[1][]int) { a[0][0] = 9 }),
		"any":     hasDefault(any([]any{"a"}), func(v *any) { (*v).([]any)[0] = "X" }),
		"raw":     hasDefault(json.RawMessage(`[1]`), func(r *json.RawMessage) { (*r)[1] = '9' }),
		"fields":  hasDefault(customer{Tags: []string{"a"}}, func(c *customer) { c.Tags[0] = "X" }),
	} {
		t.Run(name, test)
	}
	require.Equal(t, 1, one)
}

// TestDefaultOfTwoManagers: each manager has its own codec and bounds.
func TestDefaultOfTwoManagers(t *testing.T) {
	t.Parallel()
	key := session.Key[[]int]("k").WithDefault([]int{1, 2, 3})
	plain := newVisitor(t, newManager(t))
	spaced := newVisitor(t, newManager(t, func(cfg *session.Config) { cfg.Codec = spacingCodec{} }))
	var wg sync.WaitGroup
	for range 4 {
		for vis, want := range map[*visitor][]int{plain: {1, 2, 3}, spaced: {1, 2, 3}} {
			wg.Go(func() {
				ctx, _ := vis.open()
				for range 50 {
					got, err := key.Get(ctx)
					if err != nil || len(got) != len(want) || got[2] != want[2] {
						t.Errorf("%v %v", got, err)
						return
					}
					got[2] = 9
				}
			})
		}
	}
	wg.Wait()
}

// spacingCodec writes everything with spaces around it.
type spacingCodec struct{ session.JSON }

func (c spacingCodec) Marshal(v any) ([]byte, error) {
	b, err := c.JSON.Marshal(v)
	if b, ok := v.(json.RawMessage); ok || err != nil {
		return b, err
	}
	return append(append([]byte("  "), b...), ' '), nil
}

func TestDefaultThatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	vis := newVisitor(t, newManager(t))
	key := session.Key[any]("k").WithDefault(make(chan int))
	vis.request(func(ctx context.Context) {
		_, err := key.Get(ctx)
		requireValueError(t, "k", err)
		_, err = key.Update(ctx, func(*any) error { return nil })
		requireValueError(t, "k", err)
		require.NoError(t, key.Set(ctx, 1), "it is no failed read: there is nothing to lose")
	})
}

// TestDeclarationsAreImmutable: With* leave the original unchanged.
func TestDeclarationsAreImmutable(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	m := newManager(t, on(s))
	original := session.Key[int]("k")
	five := original.WithDefault(5)
	six := five.WithDefault(6)
	wins := five.WithLastWriteWins()
	elsewhere := five.In(session.NewScope("elsewhere"))
	back := elsewhere.In(session.Scope{})
	for name, key := range map[string]session.Typed[int]{"original": original, "5": five, "6": six, "wins": wins, "back": back} {
		require.Equal(t, "k", key.Name())
		vis := newVisitor(t, m)
		vis.request(func(ctx context.Context) {
			require.Equal(t, map[string]int{"original": 0, "5": 5, "6": 6, "wins": 5, "back": 5}[name], key.Value(ctx), name)
			require.PanicsWithValue(t,
				`session: no session of scope "elsewhere" in this context: the handler must run behind the middleware `+
					`(middleware.New(manager, middleware.Config{}) and its Handler), and ctx must be the request's`,
				func() { elsewhere.Value(ctx) })
		})
	}

	// Get, then Set, while another request changes the key: only the copy that was
	// made with WithLastWriteWins replaces it.
	for name, key := range map[string]session.Typed[int]{"original": original, "5": five, "wins": wins} {
		vis := newVisitor(t, m)
		vis.request(func(ctx context.Context) { require.NoError(t, key.Set(ctx, 1)) })
		_, err := vis.try(func(ctx context.Context) {
			_, err := key.Get(ctx)
			require.NoError(t, err)
			other := *vis
			other.request(func(ctx context.Context) { require.NoError(t, key.Set(ctx, 2)) })
			require.NoError(t, key.Set(ctx, 3))
		})
		if name == "wins" {
			require.NoError(t, err)
			continue
		}
		var conflict *session.ConflictError
		require.ErrorAs(t, err, &conflict, name)
		require.Equal(t, []string{"k"}, conflict.Keys)
	}
}

func TestZeroTyped(t *testing.T) {
	t.Parallel()
	ctx, _ := newVisitor(t, newManager(t)).open()
	var zero session.Typed[int]
	for name, verb := range map[string]func(){
		"Get":               func() { _, _ = zero.Get(ctx) },
		"Value":             func() { zero.Value(ctx) },
		"Lookup":            func() { _, _, _ = zero.Lookup(ctx) },
		"Set":               func() { _ = zero.Set(ctx, 1) },
		"Update":            func() { _, _ = zero.Update(ctx, func(*int) error { return nil }) },
		"GetOrSet":          func() { _, _ = zero.GetOrSet(ctx, func() (int, error) { return 0, nil }) },
		"Take":              func() { _, _, _ = zero.Take(ctx) },
		"Delete":            func() { _ = zero.Delete(ctx) },
		"Name":              func() { zero.Name() },
		"WithDefault":       func() { zero.WithDefault(1) },
		"WithLastWriteWins": func() { zero.WithLastWriteWins() },
		"In":                func() { zero.In(session.NewScope("x")) },
	} {
		require.PanicsWithValue(t, "session: verb on the zero Typed: declare it, as in `var Counter = session.Key[int](\"counter\")`", verb, name)
	}
}

func TestNoSessionPanics(t *testing.T) {
	t.Parallel()
	defer func() {
		require.Contains(t, recover(), "must run behind the middleware")
	}()
	_, _ = session.Key[int]("k").Get(t.Context())
}

func TestNamesThatAreRefused(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 513)
	for name, check := range map[string]func(t *testing.T, err error){
		"":                            func(t *testing.T, err error) { requireValueError(t, "", err) },
		"\xff":                        func(t *testing.T, err error) { requireValueError(t, "\xff", err) },
		"ok\xc3":                      func(t *testing.T, err error) { requireValueError(t, "ok\xc3", err) },
		"\xed\xa0\x80":                func(t *testing.T, err error) { requireValueError(t, "\xed\xa0\x80", err) },
		strings.Repeat("k", 1025):     tooLong("k", 1025),
		long:                          tooLong("é", 1026),
		strings.Repeat("\xff", 1<<20): tooLong("\xff", 1<<20),
	} {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			s := spy.Wrap(memory.New())
			vis := newVisitor(t, newManager(t, on(s)))
			key := session.Key[int](name).WithDefault(3)
			ctx, sess := vis.open()
			_, err := key.Get(ctx)
			check(t, err)
			_, _, err = key.Lookup(ctx)
			check(t, err)
			check(t, key.Set(ctx, 1))
			_, err = key.Update(ctx, func(*int) error { panic("not called") })
			check(t, err)
			_, err = key.GetOrSet(ctx, func() (int, error) { panic("not called") })
			check(t, err)
			_, _, err = key.Take(ctx)
			check(t, err)
			check(t, key.Delete(ctx))
			require.Zero(t, key.Value(ctx))
			_, err = vis.end(ctx, sess)
			check(t, err) // what Value could not return
			require.Empty(t, s.Calls())
			require.Equal(t, name, key.Name())
		})
	}
}

func tooLong(prefix string, n int) func(t *testing.T, err error) {
	return func(t *testing.T, err error) {
		t.Helper()
		var limit *session.LimitError
		require.ErrorAs(t, err, &limit)
		require.Equal(t, session.LimitName, limit.Limit)
		require.Equal(t, 1024, limit.Max)
		require.Equal(t, n, limit.Got)
		require.True(t, strings.HasPrefix(limit.Key, prefix))
		require.Less(t, len(err.Error()), 300, "the text does not repeat all of it")
	}
}

// TestNamesAreFree: no name is taken by the library.
func TestNamesAreFree(t *testing.T) {
	t.Parallel()
	names := []string{
		"id", "ID", "owner", "Owner", "secret", "hash", "created", "deadline", "expires", "version", "data", "meta",
		"epoch", "seq", "recent", "prev", "values", "flags", "session", "_", "__proto__", ".", "..", "/", "a.b", "a:b", "*",
		"$set", "$", "\x00", "a\x00b", "a", "a\x00", " ", "\n", "zoë", "🎉", "\u2028", "�", "\U0010FFFF", "null", `"`, `\`,
		strings.Repeat("k", 1024), strings.Repeat("é", 512), "counter", "Counter", "COUNTER",
	}
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.request(func(ctx context.Context) {
		for i, name := range names {
			require.NoError(t, session.Key[int](name).Set(ctx, i), "%q", name)
		}
	})
	vis.request(func(ctx context.Context) {
		got, err := session.FromContext(ctx).Keys(ctx)
		require.NoError(t, err)
		require.ElementsMatch(t, names, got)
		require.IsIncreasing(t, got)
		for i, name := range names {
			n, ok, err := session.Key[int](name).Lookup(ctx)
			require.NoError(t, err)
			require.True(t, ok, "%q", name)
			require.Equal(t, i, n, "%q", name)
			require.NoError(t, session.Key[int](name).Delete(ctx))
		}
	})
	require.Empty(t, vis.stored(s))
}
