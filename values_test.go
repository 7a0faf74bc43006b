package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// option is null or a value, in a struct that is no pointer.
type option[T any] struct {
	v  T
	ok bool
}

func (o option[T]) MarshalJSON() ([]byte, error) {
	if !o.ok {
		return []byte("null"), nil
	}
	return json.Marshal(o.v)
}

func (o *option[T]) UnmarshalJSON(data []byte) error {
	if *o = (option[T]{}); string(data) == "null" {
		return nil
	}
	o.ok = true
	return json.Unmarshal(data, &o.v)
}

// celsius has both methods on the pointer.
type celsius struct{ degrees int }

func (c *celsius) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, `"%d°"`, c.degrees), nil }

func (c *celsius) UnmarshalJSON(data []byte) error {
	_, err := fmt.Sscanf(string(data), `"%d°"`, &c.degrees)
	return err
}

// level is the key of a map by way of its text.
type level int

func (l level) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "level-%d", int(l)), nil }

func (l *level) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "level-%d", (*int)(l))
	return err
}

type address struct {
	Street string  `json:"street"`
	Number *int    `json:"number,omitempty"`
	Geo    [2]bool `json:"geo"`
}

type Base struct {
	ID int `json:"id"`
}

type customer struct {
	Base
	Name    string             `json:"name"`
	Tags    []string           `json:"tags"`
	Home    address            `json:"home"`
	Work    *address           `json:"work"`
	Extra   map[string]any     `json:"extra,omitempty"`
	Levels  map[level]float64  `json:"levels"`
	Seen    time.Time          `json:"seen,omitzero"`
	Secret  string             `json:"-"`
	private int                //nolint:unused // it must stay out of the stored form
	Raw     json.RawMessage    `json:"raw,omitempty"`
	Opt     option[int]        `json:"opt"`
	Nested  [][]map[string]int `json:"nested"`
}

// keeps stores each value in one request and reads it in the next. What is
// stored, and what is read, is what encoding/json makes of it.
func keeps[T any](values ...T) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		key := session.Key[T]("value")
		for _, v := range values {
			text, err := json.Marshal(&v)
			require.NoError(t, err)
			var want T
			require.NoError(t, json.Unmarshal(text, &want))
			name := fmt.Sprintf("%T %.80s", v, text)

			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.request(func(ctx context.Context) {
				require.NoError(t, key.Set(ctx, v), name)
				got, ok, err := key.Lookup(ctx)
				require.NoError(t, err, name)
				require.True(t, ok, name)
				require.Equal(t, want, got, name)
			})
			raw := map[string]string{"value": string(text)}
			if same := strings.ReplaceAll(string(text), "\ufffd", `\ufffd`); vis.stored(s)["value"] == same {
				raw["value"] = same // as encoding/json writes it without GOEXPERIMENT=jsonv2
			}
			require.Equal(t, raw, vis.stored(s), name)
			vis.request(func(ctx context.Context) {
				got, err := key.Get(ctx)
				require.NoError(t, err, name)
				require.Equal(t, want, got, name)
				require.Equal(t, want, key.Value(ctx), name)
				same, err := key.Update(ctx, func(p *T) error {
					require.Equal(t, want, notNilMap(*p, want), name)
					*p = v
					return nil
				})
				require.NoError(t, err, name)
				require.Equal(t, v, same, name)
			})
			require.Equal(t, raw, vis.stored(s), name)
			vis.request(func(ctx context.Context) {
				got, ok, err := key.Take(ctx)
				require.NoError(t, err, name)
				require.True(t, ok, name)
				require.Equal(t, want, got, name)
				got, err = key.GetOrSet(ctx, func() (T, error) { return v, nil })
				require.NoError(t, err, name)
				require.Equal(t, want, got, name)
			})
			require.Equal(t, raw, vis.stored(s), name)
		}
	}
}

// notNilMap undoes what Update does with a nil map.
func notNilMap[T any](got, want T) T {
	if r := reflect.ValueOf(got); r.Kind() == reflect.Map && r.Len() == 0 && reflect.ValueOf(want).IsNil() {
		return want
	}
	return got
}

func TestValuesOfAllKinds(t *testing.T) {
	t.Parallel()
	var (
		one      = 1
		intPtr   = &one
		berlin   = time.FixedZone("", 2*60*60)
		someTime = time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.UTC)
	)
	for name, test := range map[string]func(t *testing.T){
		"int":                keeps(0, 1, -1, 999_999_999_999_999_999, 1_000_000_000_000_000_000, math.MinInt, math.MaxInt),
		"int8":               keeps[int8](0, math.MinInt8, math.MaxInt8),
		"int16":              keeps[int16](0, math.MinInt16, math.MaxInt16),
		"int32":              keeps[int32](0, math.MinInt32, math.MaxInt32),
		"int64":              keeps[int64](0, 1, -1, -999_999_999_999_999_999, math.MinInt64, math.MaxInt64),
		"uint":               keeps[uint](0, math.MaxUint),
		"uint8":              keeps[uint8](0, math.MaxUint8),
		"uint16":             keeps[uint16](0, math.MaxUint16),
		"uint32":             keeps[uint32](0, math.MaxUint32),
		"uint64":             keeps[uint64](0, math.MaxUint64),
		"uintptr":            keeps[uintptr](0, 1<<31),
		"float32":            keeps[float32](0, 0.1, -1.5, math.MaxFloat32, math.SmallestNonzeroFloat32),
		"float64":            keeps(0, math.Copysign(0, -1), 0.1, 1e21, 1e20, 1e-7, 1e-6, -1e300, math.MaxFloat64, math.SmallestNonzeroFloat64),
		"bool":               keeps(true, false),
		"string":             keeps("", " ", "plain", `"`, `\`, "/", "<script>&amp;</script>", "\u2028\u2029", "\x00\x01\x1f\x7f", "\b\f\n\r\t", "zoë 日本 🎉", "\xff\xfe", "a\xc3", "\xed\xa0\x80", "�", "null", strings.Repeat("long ", 5000)),
		"named":              keeps[level](1, -5),
		"time":               keeps(time.Time{}, someTime, someTime.In(berlin), time.Unix(0, 0).UTC(), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)),
		"duration":           keeps(time.Duration(0), time.Hour),
		"bytes":              keeps(nil, []byte{}, []byte{0, 255, '<'}, []byte("text")),
		"array":              keeps([3]int{}, [3]int{1, 2, 3}),
		"slice":              keeps(nil, []string{}, []string{"", "<", "x"}),
		"nested":             keeps([][]int{}, [][]int{nil, {}, {1}, {1, 2}}),
		"map":                keeps(nil, map[string]int{}, map[string]int{"b": 2, "a": 1, "": 0, "<&>": 3, "\u2028": 4}),
		"int keys":           keeps(map[int]string{10: "ten", 9: "nine", -1: "minus"}),
		"texts":              keeps(map[level]bool{3: true, 20: false, 1: true}),
		"addr":               keeps(netip.Addr{}, netip.MustParseAddr("::1"), netip.MustParseAddr("10.0.0.1")),
		"pointer":            keeps(nil, intPtr, new(int)),
		"pointer²":           keeps(&intPtr),
		"raw":                keeps(json.RawMessage(`{"b":1,"a":[1,2.50,"x"]}`), json.RawMessage(`null`), json.RawMessage(`1e3`), json.RawMessage(`"\u00e9"`)),
		"any":                keeps[any](nil, true, 1.5, "text", []any{1.0, nil, "x"}, map[string]any{"a": map[string]any{"b": []any{}}}),
		"option":             keeps(option[int]{}, option[int]{5, true}),
		"options":            keeps([]option[string]{{}, {"x", true}}),
		"pointer methods":    keeps(celsius{20}, celsius{-3}),
		"pointer to methods": keeps(nil, &celsius{20}),
		"methods in a slice": keeps([]celsius{{1}, {2}}),
		"struct": keeps(customer{}, customer{
			Base: Base{ID: 7}, Name: "Zoë <z>", Tags: []string{"a"}, Home: address{Street: "S", Number: intPtr},
			Work: &address{}, Extra: map[string]any{"k": []any{"v"}}, Levels: map[level]float64{2: .5, 1: 1},
			Seen: someTime, Raw: json.RawMessage(`[1]`), Opt: option[int]{1, true},
			Nested: [][]map[string]int{{{"a": 1}}, nil},
		}),
		"empty struct": keeps(struct{}{}),
	} {
		t.Run(name, test)
	}
}

func TestRawMessage(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	// What another program wrote comes back byte for byte.
	weird := `{ "z" : 1.0e+01 , "a" : "\u003c<\/é" , "z" : 2 }`
	vis.plant(s, "raw", weird)
	raw := session.Key[json.RawMessage]("raw")
	vis.request(func(ctx context.Context) {
		got, err := raw.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, weird, string(got))
		for _, bad := range []string{``, `{`, `[1,]`, `1 2`, `{"a":}`, `nul`, `"`, "\"\x01\"", `01`, `+1`, `'a'`} {
			requireValueError(t, "raw", raw.Set(ctx, json.RawMessage(bad)), bad)
		}
	})
	require.Equal(t, weird, vis.stored(s)["raw"])
}

func requireValueError(t testing.TB, key string, err error, what ...any) {
	t.Helper()
	var value *session.ValueError
	require.ErrorAs(t, err, &value, what...)
	require.Equal(t, key, value.Key, what...)
	require.Error(t, value.Err, what...)
}

// shared checks that what the verbs return, take and store is nobody else's:
// change writes into a value in place.
func shared[T any](v T, change func(T)) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		text, err := json.Marshal(v)
		require.NoError(t, err)
		var want T
		require.NoError(t, json.Unmarshal(text, &want))
		key, s := session.Key[T]("value"), memory.New()
		vis := newVisitor(t, newManager(t, on(s)))
		is := func(ctx context.Context, got T, err error) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, want, got)
			change(got)
			again, err := key.Get(ctx)
			require.NoError(t, err)
			require.Equal(t, want, again)
		}
		vis.request(func(ctx context.Context) {
			require.NoError(t, key.Set(ctx, v))
			change(v) // belongs to the caller again
			got, err := key.Get(ctx)
			is(ctx, got, err)
			got, _, err = key.Lookup(ctx)
			is(ctx, got, err)
		})
		vis.request(func(ctx context.Context) {
			got, err := key.Get(ctx)
			is(ctx, got, err)
			var inside T
			got, err = key.Update(ctx, func(p *T) error { inside = *p; return nil })
			is(ctx, got, err)
			change(inside)
			is(ctx, key.Value(ctx), nil)
		})
		vis.request(func(ctx context.Context) {
			got, err := key.GetOrSet(ctx, func() (T, error) { return v, errTest })
			is(ctx, got, err)
			taken, ok, err := key.Take(ctx)
			require.True(t, ok)
			require.NoError(t, err)
			require.Equal(t, want, taken)
			got, err = key.GetOrSet(ctx, func() (T, error) { return taken, nil })
			change(taken)
			is(ctx, got, err)
		})
		require.Equal(t, string(text), vis.stored(s)["value"])
	}
}

func TestValuesAreCopies(t *testing.T) {
	t.Parallel()
	one := 1
	for name, test := range map[string]func(t *testing.T){
		"raw":            shared(json.RawMessage(`{"a":1}`), func(b json.RawMessage) { copy(b, `[8,8,8]`) }),
		"bytes":          shared([]byte("text"), func(b []byte) { copy(b, "TEXT") }),
		"slice":          shared([]int{1, 2}, func(s []int) { s[0] = 9 }),
		"map":            shared(map[string]int{"a": 1}, func(m map[string]int) { m["a"], m["b"] = 9, 9 }),
		"pointer":        shared(&one, func(p *int) { *p = 9 }),
		"any":            shared(any(map[string]any{"a": []any{1.0}}), func(v any) { v.(map[string]any)["a"].([]any)[0] = "changed" }),
		"any of strings": shared(any([]any{"a"}), func(v any) { v.([]any)[0] = "changed" }),
		"struct": shared(&customer{Tags: []string{"a"}, Raw: json.RawMessage(`[1]`)}, func(c *customer) {
			c.Name, c.Tags[0] = "changed", "changed"
			copy(c.Raw, "{} ")
		}),
		"raw in a map": shared(map[string]json.RawMessage{"a": json.RawMessage(`11`)}, func(m map[string]json.RawMessage) { copy(m["a"], "99") }),
	} {
		t.Run(name, test)
	}
}

func TestUpdateGetsAMap(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	type named map[string]int
	absent, null := session.Key[named]("absent"), session.Key[map[string]int]("null")
	slice, pointer := session.Key[[]int]("slice"), session.Key[*map[string]int]("pointer")
	vis.plant(s, "null", "null")
	vis.request(func(ctx context.Context) {
		got, err := absent.Update(ctx, func(m *named) error { (*m)["a"]++; return nil })
		require.NoError(t, err)
		require.Equal(t, named{"a": 1}, got)
		_, err = null.Update(ctx, func(m *map[string]int) error { (*m)["b"]++; return nil })
		require.NoError(t, err)
		_, err = slice.Update(ctx, func(p *[]int) error {
			require.Nil(t, *p)
			*p = append(*p, 1)
			return nil
		})
		require.NoError(t, err)
		_, err = pointer.Update(ctx, func(p **map[string]int) error { require.Nil(t, *p); return errTest })
		require.ErrorIs(t, err, errTest)
		m, err := session.Key[map[string]int]("none").Get(ctx)
		require.NoError(t, err)
		require.Nil(t, m, "the zero value of a map is nil")
	})
	require.Equal(t, map[string]string{"absent": `{"a":1}`, "null": `{"b":1}`, "slice": "[1]", "planted": "true"}, vis.stored(s))
}

func TestErrorsOfFunctionsChangeNothing(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	key := session.Key[map[string]int]("m")
	vis.request(func(ctx context.Context) { require.NoError(t, key.Set(ctx, map[string]int{"a": 1})) })
	vis.request(func(ctx context.Context) {
		got, err := key.Update(ctx, func(m *map[string]int) error { (*m)["a"] = 2; return errTest })
		require.Equal(t, errTest, err, "returned as it is")
		require.Nil(t, got)
		_, err = session.Key[int]("new").GetOrSet(ctx, func() (int, error) { return 5, errTest })
		require.Equal(t, errTest, err)
		require.True(t, errors.Is(err, errTest))
		is, err := key.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, map[string]int{"a": 1}, is)
	})
	require.Equal(t, map[string]string{"m": `{"a":1}`}, vis.stored(s))
}
