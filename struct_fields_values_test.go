package session_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// What a struct makes of values that are stored in an unusual way, spelled out.

type (
	fldAddress struct {
		City string `json:"city"`
		Zip  string `json:"zip"`
	}
	fldPerson struct {
		Age     float64         `json:"age"`
		Address fldAddress      `json:"address"`
		Likes   map[string]bool `json:"likes"`
		Names   []string        `json:"names"`
		Note    json.RawMessage `json:"note"`
		Any     any             `json:"any"`
		Seen    *time.Time      `json:"seen"`
		Count   int             `json:"count"`
		When    time.Time       `json:"when,omitzero"`
	}
)

// fldPlanted returns a store with a session that holds values.
func fldPlanted(t *testing.T, pairs ...string) (*memory.Store, *visitor) {
	t.Helper()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.plant(s, pairs...)
	return s, vis
}

func TestPromise7_StructKeepsSpellings(t *testing.T) {
	t.Parallel()
	odd := map[string]string{
		"address": `{ "zip": "1", "street": {"no": 1.0}, "city": "\u0042ern" }`, "age": "3.0e1", "any": `{"b":1.00,"a":2}`, "likes": `{"b":true,"a":false}`,
		"names": "[ \"\\u0061\" ]", "note": ` {"z": 1 , "a": 1.0} `, "planted": "true", "seen": `"2026-01-02T03:04:05.000Z"`, "stranger": `{"a" : 1.0}`,
	}
	people := session.Struct[fldPerson]()
	for name, test := range map[string]struct {
		verb func(ctx context.Context) error
		want map[string]string // what differs
	}{
		"Update of another field": {func(ctx context.Context) error {
			_, err := people.Update(ctx, func(p *fldPerson) error { p.Count = 5; return nil })
			return err
		}, map[string]string{"count": "5"}},
		"Update of nothing": {func(ctx context.Context) error {
			_, err := people.Update(ctx, func(*fldPerson) error { return nil })
			return err
		}, nil},
		"Set of what Get gave": {func(ctx context.Context) error {
			p, err := people.Get(ctx)
			require.NoError(t, err)
			require.Equal(t, fldAddress{City: "Bern", Zip: "1"}, p.Address)
			return people.Set(ctx, p)
		}, map[string]string{"count": "0"}},
		"Update of an odd field": {func(ctx context.Context) error {
			_, err := people.Update(ctx, func(p *fldPerson) error { p.Address.Zip = "2"; delete(p.Likes, "b"); return nil })
			return err
		}, map[string]string{"address": `{"city":"Bern","zip":"2"}`, "likes": `{"a":false}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, vis := fldPlanted(t, fldPairs(odd)...)
			vis.request(func(ctx context.Context) { require.NoError(t, test.verb(ctx)) })
			want := maps.Clone(odd)
			maps.Copy(want, test.want)
			require.Equal(t, want, vis.stored(s))
		})
	}
}

func TestStructWithNulls(t *testing.T) {
	t.Parallel()
	people := session.Struct[fldPerson]()
	_, vis := fldPlanted(t, "any", "null", "count", "1", "likes", " null ", "names", "null", "note", "null", "seen", "null")
	vis.request(func(ctx context.Context) {
		p, err := people.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, fldPerson{Count: 1, Note: json.RawMessage("null")}, p, "null is nil, where there is a nil")
	})
	for _, key := range []string{"address", "age", "count", "when"} {
		s, vis := fldPlanted(t, key, "null")
		vis.request(func(ctx context.Context) {
			_, err := people.Get(ctx)
			requireValueError(t, key, err)
		})
		require.Equal(t, "null", vis.stored(s)[key])
	}
}

func TestPromise7_BadFieldOfAStruct(t *testing.T) {
	t.Parallel()
	people := session.Struct[fldPerson]()
	for key, raw := range map[string]string{
		"address": `{"city":1}`, "age": `"x"`, "count": "1.5", "likes": `[]`, "names": `[1]`, "seen": `"yesterday"`, "when": `"2026"`,
	} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			pairs := map[string]string{"address": `{"city":"Bern","zip":""}`, "age": "1", "count": "2", "names": `["a"]`, "planted": "true"}
			pairs[key] = raw
			s, vis := fldPlanted(t, fldPairs(pairs)...)
			pairs["beside"] = "1"
			refused := map[string]func(ctx context.Context) error{
				"Get":    func(ctx context.Context) error { _, err := people.Get(ctx); return err },
				"Lookup": func(ctx context.Context) error { _, _, err := people.Lookup(ctx); return err },
				"Update": func(ctx context.Context) error {
					_, err := people.Update(ctx, func(*fldPerson) error { t.Error("it has nothing to work on"); return nil })
					return err
				},
				"GetOrSet": func(ctx context.Context) error {
					_, err := people.GetOrSet(ctx, func() (fldPerson, error) { t.Error("there is something"); return fldPerson{}, nil })
					return err
				},
				"Take": func(ctx context.Context) error { _, _, err := people.Take(ctx); return err },
			}
			for verb, f := range refused {
				vis.request(func(ctx context.Context) {
					requireValueError(t, key, f(ctx))
					requireValueError(t, key, people.Set(ctx, fldPerson{Count: 3}))
					_, err := people.Update(ctx, func(*fldPerson) error { return nil })
					requireValueError(t, key, err)
					for name := range pairs { // the keys themselves stay as usable as they were
						_, err := session.Key[json.RawMessage](name).Get(ctx)
						require.NoError(t, err, name)
					}
					require.NoError(t, session.Key[int]("beside").Set(ctx, 1))
				})
				require.Equal(t, pairs, vis.stored(s), verb)
			}
			vis.request(func(ctx context.Context) {
				for _, f := range refused {
					requireValueError(t, key, f(ctx))
				}
				require.NoError(t, people.Delete(ctx))
				require.NoError(t, people.Set(ctx, fldPerson{Count: 3}))
				got, err := people.Get(ctx)
				require.NoError(t, err)
				require.Equal(t, 3, got.Count)
			})
			require.Equal(t, "3", vis.stored(s)["count"])

			// The field's own Key may remove it alone.
			s, vis = fldPlanted(t, fldPairs(map[string]string{"count": "2", key: raw})...)
			vis.request(func(ctx context.Context) {
				_, err := people.Get(ctx)
				requireValueError(t, key, err)
				require.NoError(t, session.Key[string](key).Delete(ctx))
				_, err = people.Update(ctx, func(p *fldPerson) error { p.Count = 8; return nil })
				require.NoError(t, err)
			})
			require.Equal(t, map[string]string{"count": "8", "planted": "true"}, vis.stored(s))
		})
	}
}

func TestStructValuesAreNotShared(t *testing.T) {
	t.Parallel()
	people := session.Struct[fldPerson]().WithDefault(fldPerson{Names: []string{"def"}, Likes: map[string]bool{"def": true}, Any: []any{"def"}, Note: json.RawMessage(`"def"`)})
	spoil := func(p fldPerson) {
		p.Names[0] = "spoilt"
		p.Likes["spoilt"] = true
		p.Any.([]any)[0] = "spoilt"
		copy(p.Note, `"bad"`)
		if p.Seen != nil {
			*p.Seen = time.Time{}
		}
	}
	seen := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	mine := fldPerson{Names: []string{"ann"}, Likes: map[string]bool{"a": true}, Any: []any{"x"}, Note: json.RawMessage(`"note"`), Seen: &seen}
	want := fldBack(t, mine)
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s)))
	vis.request(func(ctx context.Context) {
		got, err := people.Get(ctx)
		require.NoError(t, err)
		spoil(got)
		got, err = people.Update(ctx, func(*fldPerson) error { return nil })
		require.NoError(t, err)
		require.Equal(t, []string{"def"}, got.Names)
		require.Equal(t, map[string]bool{"def": true}, got.Likes)
		require.Equal(t, `"def"`, string(got.Note))
		spoil(got)
		got, err = people.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"def"}, got.Names)
		require.Equal(t, []any{"def"}, got.Any)

		require.NoError(t, people.Set(ctx, mine))
		spoil(mine)
		for range 2 {
			got, err := people.Get(ctx)
			require.NoError(t, err)
			require.Equal(t, want, got)
			spoil(got)
		}
	})
	stored := vis.stored(s)
	vis.request(func(ctx context.Context) {
		for range 2 {
			got, err := people.Get(ctx)
			require.NoError(t, err)
			require.Equal(t, want, got)
			spoil(got)
		}
	})
	require.Equal(t, stored, vis.stored(s))
}

// The struct as an older and as a newer version of one program knows it.
type (
	fldOlder struct {
		Count int            `json:"count"`
		Tags  map[string]int `json:"tags"`
		Name  string         `json:"name,omitempty"`
	}
	fldNewer struct {
		fldOlder
		Level   int               `json:"level"`
		Options map[string]string `json:"options"`
	}
)

func TestPromise7_OlderAndNewerProgram(t *testing.T) {
	t.Parallel()
	older, newer := session.Struct[fldOlder](), session.Struct[fldNewer]()
	s := memory.New()
	old, young := newVisitor(t, newManager(t, on(s))), newVisitor(t, newManager(t, on(s)))
	const stranger = `{ "from":  "the day after tomorrow", "n": 1.0 }`
	old.plant(s, "stranger", stranger)
	young.cookie = old.cookie
	byOld := func(ctx context.Context) {
		_, err := older.Update(ctx, func(o *fldOlder) error { o.Count++; o.Tags["old"]++; return nil })
		require.NoError(t, err)
	}
	byYoung := func(ctx context.Context) {
		_, err := newer.Update(ctx, func(n *fldNewer) error {
			n.Count++
			n.Tags["new"]++
			n.Level++
			n.Options[fmt.Sprint("o", n.Level)] = "x"
			return nil
		})
		require.NoError(t, err)
	}
	for range 3 {
		old.request(byOld) // in turn
		young.request(byYoung)
		old.request(func(ctx context.Context) { // and at once
			byOld(ctx)
			young.request(byYoung)
		})
		young.request(func(ctx context.Context) {
			byYoung(ctx)
			old.request(byOld)
		})
		old.request(func(ctx context.Context) { // the older one sets what it knows
			o, err := older.Get(ctx)
			require.NoError(t, err)
			o.Name = "ann"
			young.request(func(ctx context.Context) {
				require.NoError(t, session.Key[int]("level").Set(ctx, newer.Value(ctx).Level))
			})
			require.NoError(t, older.Set(ctx, o))
		})
	}
	require.Equal(t, map[string]string{
		"planted": "true", "stranger": stranger, "name": `"ann"`,
		"count": "18", "tags": `{"new":9,"old":9}`, "level": "9",
		"options": `{"o1":"x","o2":"x","o3":"x","o4":"x","o5":"x","o6":"x","o7":"x","o8":"x","o9":"x"}`,
	}, old.stored(s))
	old.request(func(ctx context.Context) { require.NoError(t, older.Delete(ctx)) })
	require.Equal(t, map[string]string{"planted": "true", "stranger": stranger, "level": "9", "options": `{"o1":"x","o2":"x","o3":"x","o4":"x","o5":"x","o6":"x","o7":"x","o8":"x","o9":"x"}`}, old.stored(s))
}

func TestStructWithDefault(t *testing.T) {
	t.Parallel()
	type settings struct {
		Volume int            `json:"volume"`
		Theme  string         `json:"theme"`
		Seen   map[string]int `json:"seen"`
		Beta   bool           `json:"beta,omitempty"`
	}
	def := settings{Volume: 5, Theme: "dark", Beta: true}
	all := session.Struct[settings]().WithDefault(def)
	for name, test := range map[string]struct {
		update func(v *settings)
		want   settings // of Get afterwards
		stored map[string]string
	}{
		"nothing":   {func(*settings) {}, settings{Volume: 5, Theme: "dark", Beta: true}, nil},
		"one field": {func(v *settings) { v.Volume = 6 }, settings{Volume: 6, Theme: "dark", Beta: true}, map[string]string{"volume": "6", "theme": `"dark"`, "beta": "true"}},
		"to zero":   {func(v *settings) { v.Volume = 0 }, settings{Theme: "dark", Beta: true}, nil},
		"none":      {func(v *settings) { *v = settings{} }, settings{}, nil},
		"all zero":  {func(v *settings) { v.Volume, v.Theme, v.Beta = 0, "", false }, settings{}, nil},
		"a map":     {func(v *settings) { v.Seen["a"]++ }, settings{Volume: 5, Theme: "dark", Beta: true, Seen: map[string]int{"a": 1}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.request(func(ctx context.Context) {
				require.NoError(t, session.Key[int]("beside").Set(ctx, 1))
				got, ok, err := all.Lookup(ctx)
				require.NoError(t, err)
				require.False(t, ok)
				require.Zero(t, got)
				got, err = all.Get(ctx)
				require.NoError(t, err)
				require.Equal(t, def, got)
				require.Equal(t, def, all.Value(ctx))
				_, err = all.Update(ctx, func(v *settings) error { test.update(v); return nil })
				require.NoError(t, err)
			})
			vis.request(func(ctx context.Context) {
				got, err := all.Get(ctx)
				require.NoError(t, err)
				if len(got.Seen) == 0 {
					got.Seen = nil
				}
				require.Equal(t, test.want, got, "what Update has made is what there is")
			})
			if test.stored != nil {
				test.stored["beside"] = "1"
				got := vis.stored(s)
				delete(got, "seen") // {} or nothing
				require.Equal(t, test.stored, got)
			}
		})
	}
}

func TestStructMapsInUpdate(t *testing.T) {
	t.Parallel()
	type inner struct {
		M map[string]int `json:"m_inner"`
	}
	type mapped struct {
		inner
		A map[string]int          `json:"m_a"`
		B map[int]map[string]bool `json:"m_b,omitempty"`
		C map[string]int          `json:"m_c,omitzero"`
		N int                     `json:"n"`
	}
	all := session.Struct[mapped]()
	s, vis := fldPlanted(t, "m_a", "null")
	vis.request(func(ctx context.Context) {
		_, err := all.Update(ctx, func(v *mapped) error {
			for _, m := range []map[string]int{v.A, v.C, v.M} {
				require.NotNil(t, m)
			}
			require.NotNil(t, v.B)
			v.N = 1
			return nil
		})
		require.NoError(t, err)
		got, err := all.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, mapped{N: 1}, got)
	})
	require.Equal(t, map[string]string{"planted": "true", "m_a": "null", "n": "1"}, vis.stored(s), "an empty map in place of none is no change")
	vis.request(func(ctx context.Context) {
		_, err := all.Update(ctx, func(v *mapped) error {
			v.A["x"], v.C["y"], v.M["z"] = 1, 2, 3
			v.B[1] = map[string]bool{}
			return nil
		})
		require.NoError(t, err)
	})
	require.Equal(t, map[string]string{"planted": "true", "m_a": `{"x":1}`, "m_b": `{"1":{}}`, "m_c": `{"y":2}`, "m_inner": `{"z":3}`, "n": "1"}, vis.stored(s))
}

// TestInterfacesAndOmitzero: like encoding/json, it asks the type of the field
// whether it can be zero, not that of what an interface holds.
func TestInterfacesAndOmitzero(t *testing.T) {
	t.Parallel()
	type holder struct {
		A any `json:"a,omitzero"`
		B int `json:"b"`
	}
	for name, v := range map[string]holder{
		"nil": {}, "zero time": {A: time.Time{}}, "nil pointer": {A: (*time.Time)(nil)}, "zero": {A: fldZero(2)}, "number": {A: 0.0}, "pointer to zero": {A: new(fldZeroPointer)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := memory.New()
			vis := newVisitor(t, newManager(t, on(s)))
			vis.request(func(ctx context.Context) {
				require.NotPanics(t, func() { require.NoError(t, session.Struct[holder]().Set(ctx, v)) })
			})
			require.Equal(t, fldKeys(t, v), vis.stored(s))
		})
	}
}
