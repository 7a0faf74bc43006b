package record_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/record"
)

func parsed(t *testing.T, values ...value) record.Values {
	t.Helper()
	v, err := record.Parse(plainFrame(values...).encode())
	require.NoError(t, err)
	return v.Values
}

// apply encodes the edits and reads the result, and holds Size to it.
func apply(t *testing.T, base record.Values, e record.Edits) []value {
	t.Helper()
	v, err := record.Parse(record.Encode(&record.Meta{}, 0, base, &e))
	require.NoError(t, err)
	require.Equal(t, v.Values.Size(), e.Size(base))
	return valuesOf(v.Values)
}

func set(name, raw string) record.Edit { return record.Edit{Name: name, Raw: []byte(raw)} }
func del(name string) record.Edit      { return record.Edit{Name: name, Delete: true} }

func TestEdits(t *testing.T) {
	t.Parallel()
	b := value{name: "b", raw: "1", version: 4, expires: 9}
	d := value{name: "d", raw: "2"}
	f := value{name: "f", raw: "3", version: 300}
	base := []value{b, d, f}
	cases := map[string]struct {
		edits record.Edits
		want  []value
	}{
		"nothing":              {record.Edits{}, base},
		"insert first":         {record.Edits{Set: []record.Edit{set("a", "0")}}, []value{{name: "a", raw: "0"}, b, d, f}},
		"insert between":       {record.Edits{Set: []record.Edit{set("c", "0")}}, []value{b, {name: "c", raw: "0"}, d, f}},
		"insert last":          {record.Edits{Set: []record.Edit{set("g", "0")}}, []value{b, d, f, {name: "g", raw: "0"}}},
		"insert the empty":     {record.Edits{Set: []record.Edit{set("", "")}}, []value{{}, b, d, f}},
		"replace first":        {record.Edits{Set: []record.Edit{set("b", "X")}}, []value{{name: "b", raw: "X"}, d, f}},
		"replace between":      {record.Edits{Set: []record.Edit{set("d", "")}}, []value{b, {name: "d"}, f}},
		"replace last":         {record.Edits{Set: []record.Edit{set("f", "longer than before")}}, []value{b, d, {name: "f", raw: "longer than before"}}},
		"delete first":         {record.Edits{Set: []record.Edit{del("b")}}, []value{d, f}},
		"delete between":       {record.Edits{Set: []record.Edit{del("d")}}, []value{b, f}},
		"delete last":          {record.Edits{Set: []record.Edit{del("f")}}, []value{b, d}},
		"delete what is not":   {record.Edits{Set: []record.Edit{del("a"), del("c"), del("z")}}, base},
		"delete all":           {record.Edits{Set: []record.Edit{del("b"), del("d"), del("f")}}, nil},
		"all at once":          {record.Edits{Set: []record.Edit{set("a", "0"), del("b"), set("c", "0"), set("d", "Y"), del("e"), del("f")}}, []value{{name: "a", raw: "0"}, {name: "c", raw: "0"}, {name: "d", raw: "Y"}}},
		"clear":                {record.Edits{Clear: true}, nil},
		"clear but one":        {record.Edits{Clear: true, Keep: []string{"d"}}, []value{d}},
		"clear but the flags":  {record.Edits{Clear: true, Keep: []string{"f", "b", "x"}}, []value{b, f}},
		"clear and set":        {record.Edits{Clear: true, Set: []record.Edit{set("c", "0"), set("d", "Z")}}, []value{{name: "c", raw: "0"}, {name: "d", raw: "Z"}}},
		"clear, keep, delete":  {record.Edits{Clear: true, Keep: []string{"b", "d"}, Set: []record.Edit{del("d")}}, []value{b}},
		"clear, keep, replace": {record.Edits{Clear: true, Keep: []string{"b", "d"}, Set: []record.Edit{set("b", "!")}}, []value{{name: "b", raw: "!"}, d}},
		"keep without clear":   {record.Edits{Keep: []string{"b"}}, base},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, apply(t, parsed(t, base...), c.edits))
		})
	}
}

func TestEditsOnNothing(t *testing.T) {
	t.Parallel()
	var none record.Values
	require.Empty(t, apply(t, none, record.Edits{Clear: true, Keep: []string{"a"}, Set: []record.Edit{del("a")}}))
	require.Equal(t, []value{{name: "a", raw: "1"}}, apply(t, none, record.Edits{Set: []record.Edit{set("a", "1")}}))
}

// TestEditsAgreeWithAMap applies random edits to random values, whose version
// and expiry slots must survive byte for byte where nobody touched them.
func TestEditsAgreeWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		base := randomValues(r, 20)
		model := map[string]value{}
		for _, v := range base {
			model[v.name] = v
		}
		e := randomEdits(r)
		if e.Clear {
			maps.DeleteFunc(model, func(k string, _ value) bool { return !slices.Contains(e.Keep, k) })
		}
		for _, s := range e.Set {
			if delete(model, s.Name); !s.Delete {
				model[s.Name] = value{name: s.Name, raw: string(s.Raw)}
			}
		}
		want := slices.SortedFunc(maps.Values(model), func(a, b value) int { return cmp.Compare(a.name, b.name) })
		before := parsed(t, base...)
		require.Equal(t, want, apply(t, before, e), "%+v on %+v", e, base)
		require.Equal(t, base, valuesOf(before), "values are immutable")
	}
}

func randomEdits(r *rand.Rand) record.Edits {
	e := record.Edits{Clear: r.IntN(4) == 0}
	for _, v := range randomValues(r, 8) {
		e.Set = append(e.Set, record.Edit{Name: v.name, Raw: []byte(v.raw), Delete: r.IntN(3) == 0})
	}
	for _, v := range randomValues(r, 6) {
		e.Keep = append(e.Keep, v.name)
	}
	r.Shuffle(len(e.Keep), func(i, j int) { e.Keep[i], e.Keep[j] = e.Keep[j], e.Keep[i] })
	return e
}

func TestEntrySize(t *testing.T) {
	t.Parallel()
	for _, name := range []int{0, 1, 127, 128, 1024, 1 << 14} {
		for _, raw := range []int{0, 1, 127, 128, 1<<14 - 1, 1 << 14} {
			v := value{name: repeated('n', name), raw: repeated('r', raw)}
			require.Equal(t, len(v.append(nil)), record.EntrySize(v.name, []byte(v.raw)), "%d %d", name, raw)
		}
	}
}
