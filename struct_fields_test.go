package session_test

import (
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// What must hold for each kind of field, tried on random values.

// fldBack returns what encoding/json makes of v, there and back. It gets the
// pointer, for methods of fields that need one.
func fldBack[T any](t testing.TB, v T) (back T) {
	t.Helper()
	b, err := json.Marshal(&v)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &back))
	return back
}

// fldKeys is what encoding/json makes of the fields of v.
func fldKeys[T any](t testing.TB, v T) map[string]string {
	t.Helper()
	b, err := json.Marshal(&v)
	require.NoError(t, err)
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &raw))
	keys := map[string]string{}
	for k, v := range raw {
		keys[k] = string(v)
	}
	return keys
}

// fldLaw is something that holds for all values of a type.
type fldLaw[T any] func(t *testing.T, r *rand.Rand, s session.Typed[T], a, b T, change ...func(*session.Config))

func fldTry[T any](laws map[string]fldLaw[T]) func(t *testing.T) {
	return func(t *testing.T) {
		t.Parallel()
		for name, law := range laws {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(31, 41))
				for n := range 25 {
					var a, b T
					if n > 0 { // or the zero value
						fldFill(r, reflect.ValueOf(&a).Elem(), 3)
					}
					fldFill(r, reflect.ValueOf(&b).Elem(), 3)
					law(t, r, session.Struct[T](), a, b)
					law(t, r, session.Struct[T](), a, b, func(cfg *session.Config) { cfg.Codec = codec{} })
				}
			})
		}
	}
}

func fldLaws[T any]() func(t *testing.T) {
	return fldTry(map[string]fldLaw[T]{
		"as encoding/json": fldStoredAsJSON[T], "one field": fldOneField[T], "merge": fldMerged[T],
	})
}

func TestStructFields(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"scalars": fldLaws[fldScalars](), "references": fldLaws[fldRefs](), "standard library": fldLaws[fldStd](),
		"own encodings": fldLaws[fldCustom](), "names": fldLaws[fldNames](), "omitted": fldLaws[fldOmit](),
		"recursive": fldLaws[fldTree](),
		"embedded":  fldTry(map[string]fldLaw[fldEmbed]{"as encoding/json": fldStoredAsJSON[fldEmbed], "one field": fldOneField[fldEmbed]}),
	} {
		t.Run(name, test)
	}
}

// fldStoredAsJSON: each verb stores what encoding/json writes, and returns what it reads.
func fldStoredAsJSON[T any](t *testing.T, _ *rand.Rand, s session.Typed[T], a, b T, change ...func(*session.Config)) {
	back := fldBack(t, a)
	store := memory.New()
	vis := newVisitor(t, newManager(t, append(change, on(store))...))
	vis.request(func(ctx context.Context) {
		_, err := session.Key[int]("beside").GetOrSet(ctx, func() (int, error) { return 1, nil })
		require.NoError(t, err)
		require.NoError(t, s.Set(ctx, a))
		got, err := s.Get(ctx)
		require.NoError(t, err)
		require.Equal(t, back, got)
	})
	want := fldKeys(t, a)
	want["beside"] = "1"
	require.Equal(t, want, vis.stored(store), "Set")

	other := newVisitor(t, vis.m) // the same by GetOrSet
	other.request(func(ctx context.Context) {
		require.NoError(t, session.Key[int]("beside").Set(ctx, 1))
		got, err := s.GetOrSet(ctx, func() (T, error) { return a, nil })
		require.NoError(t, err)
		require.Equal(t, back, got)
	})
	require.Equal(t, want, other.stored(store), "GetOrSet")

	vis.request(func(ctx context.Context) {
		_, err := s.Update(ctx, func(v *T) error { *v = b; return nil })
		require.NoError(t, err)
	})
	want = fldKeys(t, b)
	want["beside"] = "1"
	require.Equal(t, want, vis.stored(store), "Update")

	vis.request(func(ctx context.Context) {
		got, ok, err := s.Take(ctx)
		require.NoError(t, err)
		require.Equal(t, len(want) > 1, ok)
		require.Equal(t, fldBack(t, b), got)
	})
	require.Equal(t, map[string]string{"beside": "1"}, vis.stored(store), "Take")
}

// fldRespelled returns values as another encoder would write them.
func fldRespelled(keys map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range keys {
		out[k] = " " + v + "\n"
	}
	return out
}

func fldPairs(values map[string]string) (pairs []string) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, k, values[k])
	}
	return pairs
}

// fldOneField: changing one field writes the keys it stands for, and leaves the
// others in whatever spelling they have.
func fldOneField[T any](t *testing.T, r *rand.Rand, s session.Typed[T], a, b T, change ...func(*session.Config)) {
	v := fldBack(t, a)
	i := fldChosen(r, reflect.TypeFor[T]())
	next := fldBack(t, a)
	reflect.ValueOf(&next).Elem().Field(i).Set(reflect.ValueOf(b).Field(i))
	before, after := fldKeys(t, v), fldKeys(t, next)
	want := fldRespelled(before)
	want["planted"] = "true"
	for k := range before {
		if _, ok := after[k]; !ok {
			delete(want, k)
		}
	}
	for k, v := range after {
		if v != before[k] {
			want[k] = v
		}
	}
	for name, verb := range map[string]func(ctx context.Context) error{
		"Set": func(ctx context.Context) error { return s.Set(ctx, next) },
		"Update": func(ctx context.Context) error {
			_, err := s.Update(ctx, func(v *T) error {
				if !maps.Equal(before, after) { // or it puts no map where it was handed an empty one
					reflect.ValueOf(v).Elem().Field(i).Set(reflect.ValueOf(next).Field(i))
				}
				return nil
			})
			return err
		},
	} {
		store := memory.New()
		vis := newVisitor(t, newManager(t, append(change, on(store))...))
		vis.plant(store, fldPairs(fldRespelled(before))...)
		vis.request(func(ctx context.Context) { require.NoError(t, verb(ctx)) })
		require.Equal(t, want, vis.stored(store), "%s of field %s", name, reflect.TypeFor[T]().Field(i).Name)
	}
}

func fldChosen(r *rand.Rand, t reflect.Type) int {
	for {
		if i := r.IntN(t.NumField()); t.Field(i).IsExported() && t.Field(i).Tag.Get("json") != "-" {
			return i
		}
	}
}

// fldMerged: one request changes one field while another, of another node, changes
// all others; both survive.
func fldMerged[T any](t *testing.T, r *rand.Rand, s session.Typed[T], a, b T, change ...func(*session.Config)) {
	var theirs T
	fldFill(r, reflect.ValueOf(&theirs).Elem(), 3)
	v := fldBack(t, a)
	i := fldChosen(r, reflect.TypeFor[T]())
	next := fldBack(t, a)
	reflect.ValueOf(&next).Elem().Field(i).Set(reflect.ValueOf(b).Field(i))
	before, mine, others := fldKeys(t, v), fldKeys(t, next), fldKeys(t, theirs)
	want := maps.Clone(before)
	own := ""
	for k := range mine {
		if mine[k] != before[k] {
			own = k
		}
	}
	if own == "" {
		return // the two values were alike
	}
	maps.Copy(want, others)
	want[own], want["beside"] = mine[own], "1"
	for name, verb := range map[string]func(ctx context.Context) error{
		"Set": func(ctx context.Context) error {
			got, err := s.Get(ctx)
			require.NoError(t, err)
			reflect.ValueOf(&got).Elem().Field(i).Set(reflect.ValueOf(next).Field(i))
			return s.Set(ctx, got)
		},
		"Update": func(ctx context.Context) error {
			_, err := s.Update(ctx, func(v *T) error {
				reflect.ValueOf(v).Elem().Field(i).Set(reflect.ValueOf(next).Field(i))
				return nil
			})
			return err
		},
	} {
		store := memory.New()
		vis := newVisitor(t, newManager(t, append(change, on(store))...))
		vis.request(func(ctx context.Context) {
			require.NoError(t, session.Key[int]("beside").Set(ctx, 1))
			require.NoError(t, s.Set(ctx, v))
		})
		second := newVisitor(t, newManager(t, append(change, on(store))...))
		second.cookie = vis.cookie
		vis.request(func(ctx context.Context) {
			require.NoError(t, verb(ctx))
			second.request(func(ctx context.Context) {
				for k, raw := range others {
					if k != own {
						require.NoError(t, session.Key[json.RawMessage](k).Set(ctx, json.RawMessage(raw)))
					}
				}
			})
		})
		require.Equal(t, want, vis.stored(store), "%s of %q", name, own)
	}
}
