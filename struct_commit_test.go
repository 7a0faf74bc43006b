package session_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// scTrio, scDuo and the keys overlap, as the programs of one site do.
type scTrio struct {
	A int    `json:"sc_a"`
	B int    `json:"sc_b"`
	C string `json:"sc_c,omitempty"`
}

type scDuo struct {
	B int    `json:"sc_b"`
	C string `json:"sc_c,omitempty"`
}

var (
	scAll  = session.Struct[scTrio]()
	scTail = session.Struct[scDuo]()
	scA    = session.Key[int]("sc_a")
	scB    = session.Key[int]("sc_b")
	scC    = session.Key[string]("sc_c")
)

func scSet[T any](q *rigRequest, k session.Typed[T], v T) {
	q.t.Helper()
	require.NoError(q.t, k.Set(q.ctx, v))
}

func scGet[T any](q *rigRequest, k session.Typed[T]) T {
	q.t.Helper()
	v, err := k.Get(q.ctx)
	require.NoError(q.t, err)
	return v
}

func scUpdate[T any](q *rigRequest, k session.Typed[T], f func(v *T)) T {
	q.t.Helper()
	v, err := k.Update(q.ctx, func(v *T) error { f(v); return nil })
	require.NoError(q.t, err)
	return v
}

// scStored returns what the store holds.
func scStored(r *rig, cookie string) map[string]string {
	r.t.Helper()
	r.store.Hook(nil)
	return (&visitor{t: r.t, m: r.m, cookie: cookie}).stored(r.inner)
}

// scStart returns the cookie of a session with these fields.
func (r *rig) scStart(v scTrio) string {
	r.t.Helper()
	return r.request("", func(q *rigRequest) { scSet(q, scAll, v) })
}

// Whatever way a field is counted in, by whichever manager, every count arrives.
func TestPromise1_StructAndKeyUpdatesOverManagers(t *testing.T) {
	t.Parallel()
	const each = 30
	r := newRig(t)
	cookie := r.scStart(scTrio{})
	var wg sync.WaitGroup
	for i, step := range []func(q *rigRequest){
		func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.A++ }) },
		func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.B++; v.C += "x" }) },
		func(q *rigRequest) { scUpdate(q, scTail, func(v *scDuo) { v.B++ }) },
		func(q *rigRequest) { scUpdate(q, scA, func(n *int) { *n++ }) },
		func(q *rigRequest) { scUpdate(q, scC, func(s *string) { *s += "y" }) },
		func(q *rigRequest) { scSet(q, session.Key[int](fmt.Sprint("sc beside ", q.increment()%5)), 1) },
	} {
		m := []*session.Manager{r.m, r.manager(), r.manager()}[i%3]
		wg.Go(func() {
			for range each {
				r.requestOn(m, cookie, step)
			}
		})
	}
	wg.Wait()
	q := r.open(cookie)
	got := scGet(q, scAll)
	require.Equal(t, []int{2 * each, 2 * each, 2 * each}, []int{got.A, got.B, len(got.C)})
	require.Equal(t, each, strings.Count(got.C, "x"))
	require.Equal(t, each, q.get(rigCount))
}

// What a Set may do when another request was faster depends on the fields it
// changes, one by one.
func TestPromise1_StructSetIsPerField(t *testing.T) {
	t.Parallel()
	was := scTrio{A: 1, B: 2, C: "c"}
	for name, c := range map[string]struct {
		struct_   session.Typed[scTrio]
		reads     func(q *rigRequest)
		set       scTrio
		theirs    func(q *rigRequest)
		conflicts []string
		want      scTrio
	}{
		"different fields": {
			scAll, func(q *rigRequest) { scGet(q, scAll) },
			scTrio{A: 10, B: 2, C: "c"},
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 1, B: 20}) }, nil,
			scTrio{A: 10, B: 20},
		},
		"one field": {
			scAll, func(q *rigRequest) { scGet(q, scAll) },
			scTrio{A: 10, B: 20, C: "c"},
			func(q *rigRequest) { scSet(q, scB, 21) },
			[]string{"sc_b"},
			scTrio{A: 1, B: 21, C: "c"},
		},
		"all fields, one of them deleted by either side": {
			scAll, func(q *rigRequest) { scGet(q, scAll) },
			scTrio{A: 10, B: 20},
			func(q *rigRequest) {
				scSet(q, scAll, scTrio{A: 11, B: 2, C: "d"})
				require.NoError(t, scB.Delete(q.ctx))
			},
			[]string{"sc_a", "sc_b", "sc_c"},
			scTrio{A: 11, C: "d"},
		},
		"read as a key": {
			scAll, func(q *rigRequest) { scGet(q, scB) },
			scTrio{A: 10, B: 20, C: "d"},
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 11, B: 21, C: "e"}) },
			[]string{"sc_b"},
			scTrio{A: 11, B: 21, C: "e"},
		},
		"read by another struct": {
			scAll, func(q *rigRequest) { scGet(q, scTail) },
			scTrio{A: 10, B: 20, C: "c"},
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 11, B: 21, C: "c"}) },
			[]string{"sc_b"},
			scTrio{A: 11, B: 21, C: "c"},
		},
		"back to what was read": {
			scAll, func(q *rigRequest) { scGet(q, scAll) },
			scTrio{A: 10, B: 2, C: "c"},
			func(q *rigRequest) { scSet(q, scA, 7); q.save(); scSet(q, scA, 1) }, nil,
			scTrio{A: 10, B: 2, C: "c"},
		},
		"blind": {
			scAll, func(*rigRequest) {},
			scTrio{A: 10, B: 2, C: "d"},
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 11, B: 21, C: "e"}) }, nil,
			scTrio{A: 10, B: 21, C: "d"},
		},
		"last write wins": {
			scAll.WithLastWriteWins(), func(q *rigRequest) { scGet(q, scAll) },
			scTrio{A: 10, B: 2},
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 11, B: 21, C: "e"}) }, nil,
			scTrio{A: 10, B: 21},
		},
		"no change": {
			scAll, func(q *rigRequest) { scGet(q, scAll) }, was,
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 11, B: 21}) }, nil,
			scTrio{A: 11, B: 21},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.scStart(was)
			q := r.open(cookie)
			c.reads(q)
			scSet(q, c.struct_, c.set)
			r.requestOn(r.manager(), cookie, c.theirs)
			_, err := q.commit()
			if c.conflicts == nil {
				require.NoError(t, err)
			} else {
				conflict := new(session.ConflictError)
				require.ErrorAs(t, err, &conflict)
				require.Equal(t, c.conflicts, conflict.Keys)
			}
			require.Equal(t, c.want, scGet(r.open(cookie), scAll))
		})
	}
}

// An absent field has been read too; Delete is a change like Set.
func TestPromise1_StructDeleteAndAbsentFieldsConflict(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(q *rigRequest) error{
		"set":    func(q *rigRequest) error { return scAll.Set(q.ctx, scTrio{A: 1, C: "mine"}) },
		"delete": func(q *rigRequest) error { return scAll.Delete(q.ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) { scSet(q, scA, 1) })
			q := r.open(cookie)
			scGet(q, scAll)
			require.NoError(t, change(q))
			r.request(cookie, func(q *rigRequest) { scSet(q, scA, 5); scSet(q, scC, "theirs") })
			_, err := q.commit()
			conflict := new(session.ConflictError)
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, []string{map[string]string{"set": "sc_c", "delete": "sc_a"}[name]}, conflict.Keys)
		})
	}
}

// After Save shows what others have stored, the struct that was read before is no
// base for a Set any more, and what it left alone still is none of its business.
func TestStructSetAfterSaveShowedOthers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2})
	q := r.open(cookie)
	v := scGet(q, scAll)
	q.set(rigOther, 1)
	r.request(cookie, func(q *rigRequest) { scSet(q, scA, 9) })
	q.save()
	conflict := new(session.ConflictError)
	require.ErrorAs(t, scAll.Set(q.ctx, v), &conflict, "would take sc_a back")
	require.Equal(t, []string{"sc_a"}, conflict.Keys)
	v.A, v.B = 9, 3
	scSet(q, scAll, v)
	require.NoError(t, scAll.WithLastWriteWins().Set(q.ctx, scTrio{A: 1, B: 3}))
	scGet(q, scAll)
	scSet(q, scAll, scTrio{A: 4, B: 4})
	q.end()
	require.Equal(t, map[string]string{"sc_a": "4", "sc_b": "4", "rig.other": "1"}, scStored(r, cookie))
}

// scOps are changes whose order shows: none of them commutes with the others.
var scOps = []struct {
	name string
	do   func(q *rigRequest)
}{
	{"all", func(q *rigRequest) {
		scUpdate(q, scAll, func(v *scTrio) { v.A = 10*v.B + 1; v.C += fmt.Sprint(v.A % 7) })
	}},
	{"all, one field", func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.B = v.A + len(v.C) }) }},
	{"tail", func(q *rigRequest) { scUpdate(q, scTail, func(v *scDuo) { v.B, v.C = v.B*3+2, "<"+v.C+">" }) }},
	{"tail empties", func(q *rigRequest) { scUpdate(q, scTail, func(v *scDuo) { v.C = "" }) }},
	{"nothing", func(q *rigRequest) { scUpdate(q, scAll, func(*scTrio) {}) }},
	{"key", func(q *rigRequest) { scUpdate(q, scA, func(n *int) { *n = *n*2 + 5 }) }},
	{"key reads struct", func(q *rigRequest) { scUpdate(q, scB, func(n *int) { *n += scGet(q, scAll).A }) }},
	{"struct reads key", func(q *rigRequest) { scUpdate(q, scTail, func(v *scDuo) { v.C += fmt.Sprint(scGet(q, scA) % 10) }) }},
	{"set", func(q *rigRequest) { require.NoError(q.t, scA.WithLastWriteWins().Set(q.ctx, 4)) }},
	{"set all", func(q *rigRequest) {
		require.NoError(q.t, scAll.WithLastWriteWins().Set(q.ctx, scTrio{A: -1, B: -2, C: "s"}))
	}},
	{"delete", func(q *rigRequest) { require.NoError(q.t, scB.WithLastWriteWins().Delete(q.ctx)) }},
	{"delete tail", func(q *rigRequest) { require.NoError(q.t, scTail.WithLastWriteWins().Delete(q.ctx)) }},
	{"clear", func(q *rigRequest) { require.NoError(q.t, q.s.Clear(q.ctx)) }},
	{"login", func(q *rigRequest) { q.login("ann") }},
	{"login as another", func(q *rigRequest) { q.login("bob") }},
}

// On fresh data a request comes to what it would have come to, had it begun after
// the other one: all pairs of changes, and some triples.
func TestPromise1_ReplayIsASerialExecution(t *testing.T) {
	t.Parallel()
	theirs := func(q *rigRequest) { scSet(q, scAll, scTrio{A: 100, B: 200, C: "theirs"}); q.set(rigOther, 1) }
	start := func(r *rig) string {
		return r.request("", func(q *rigRequest) { scSet(q, scAll, scTrio{A: 3, B: 50, C: "c"}); q.login("ann") })
	}
	n := len(scOps)
	for i := range n * n * n {
		ops := []int{i / n / n, i / n % n, i % n}
		if ops[0] == ops[1] {
			ops = ops[1:]
		} else if i%7 > 0 {
			continue // all pairs, and some triples
		}
		names, run := "", func(q *rigRequest) {
			for _, op := range ops {
				scOps[op].do(q)
			}
		}
		for _, op := range ops {
			names += scOps[op].name + "; "
		}
		serial := newRig(t)
		cookie := serial.request(start(serial), theirs)
		want := scStored(serial, serial.request(cookie, run))

		r := newRig(t)
		cookie = start(r)
		q := r.open(cookie)
		run(q)
		r.request(cookie, theirs)
		if sent := q.end(); sent != "" {
			cookie = sent
		}
		require.Equal(t, want, scStored(r, cookie), "%s", names)
	}
}

// Keys that the program does not know, and what it does not know within a field
// that it leaves alone, stay byte for byte, replayed or not.
func TestPromise7_StructKeepsUnknownBytes(t *testing.T) {
	t.Parallel()
	type inner struct {
		N int `json:"n"`
	}
	type form struct {
		A     int   `json:"sc_a"`
		Inner inner `json:"sc_inner"`
	}
	view := session.Struct[form]()
	const odd, nested = `{"z" : [1.0,1e2 , "\u0041"]}`, `{"new": [ 1.0 ], "n" :1}`
	for name, change := range map[string]func(ctx context.Context) error{
		"update": func(ctx context.Context) error {
			_, err := view.Update(ctx, func(v *form) error { v.A++; return nil })
			return err
		},
		"set": func(ctx context.Context) error { return view.Set(ctx, form{A: 2, Inner: inner{N: 1}}) },
		"take": func(ctx context.Context) error {
			_, _, err := scTail.Take(ctx)
			return errors.Join(err, scA.Set(ctx, 2))
		},
		"get or set": func(ctx context.Context) error {
			_, err := scTail.GetOrSet(ctx, func() (scDuo, error) { return scDuo{B: 1}, nil })
			return errors.Join(err, scA.Set(ctx, 2))
		},
	} {
		for _, replayed := range []bool{false, true} {
			t.Run(fmt.Sprint(name, replayed), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				cookie := r.request("", func(q *rigRequest) { scSet(q, scA, 1) })
				(&visitor{t: t, m: r.m, cookie: cookie}).plant(r.inner, "form", odd, "odd", odd, "sc_inner", nested)
				if replayed {
					r.beforeSwap(cookie, func(q *rigRequest) { q.set(rigOther, 1) })
				}
				r.request(cookie, func(q *rigRequest) { require.NoError(t, change(q.ctx)) })
				got := scStored(r, cookie)
				require.Equal(t, []string{odd, nested, "2"}, []string{got["odd"], got["sc_inner"], got["sc_a"]})
				require.Equal(t, odd, got["form"], "a key with the name of the type is another thing")
			})
		}
	}
}

// Sixteen goroutines of one request count in one struct and in its keys.
func TestPromise1_OneRequestUpdatesOneStruct(t *testing.T) {
	t.Parallel()
	const each = 20
	r := newRig(t)
	cookie := r.scStart(scTrio{})
	q := r.open(cookie)
	r.beforeSwap(cookie, func(q *rigRequest) { scSet(q, scC, "theirs") })
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range each {
				switch i % 4 {
				case 0:
					scUpdate(q, scAll, func(v *scTrio) { v.A++ })
				case 1:
					scUpdate(q, scAll, func(v *scTrio) { v.A++; v.B++ })
				case 2:
					scUpdate(q, scA, func(n *int) { *n++ })
				case 3:
					scUpdate(q, scTail, func(v *scDuo) { v.B++ })
					scGet(q, scAll)
				}
			}
			if i%5 == 0 {
				q.save()
			}
		})
	}
	wg.Wait()
	q.end()
	require.Equal(t, scTrio{A: 12 * each, B: 8 * each, C: "theirs"}, scGet(r.open(cookie), scAll))
}

// An Update whose struct another goroutine has changed meanwhile begins again, in the
// same request.
func TestPromise1_StructUpdateBesideAnotherGoroutine(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2})
	q := r.open(cookie)
	runs := 0
	got := scUpdate(q, scAll, func(v *scTrio) {
		if runs++; runs == 1 {
			var wg sync.WaitGroup
			wg.Go(func() { scUpdate(q, scTail, func(v *scDuo) { v.B += 10 }) })
			wg.Go(func() { scSet(q, scA, 20) })
			wg.Wait()
		}
		v.A++
		v.B++
	})
	require.Equal(t, scTrio{A: 21, B: 13}, got)
	require.Equal(t, 2, runs)
	q.end()
	require.Equal(t, got, scGet(r.open(cookie), scAll))
}
