package session

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/record"
)

// Structs in the log of a request, next to its keys, are held to a map as well.

type logHead struct {
	A string `json:"a"`
	B string `json:"b"`
	C string `json:"c,omitempty"`
}

type logTail struct {
	C string `json:"c,omitempty"`
	E string `json:"e"`
	G string `json:"g,omitempty"`
}

type logWide struct {
	logHead
	D string `json:"d,omitempty"`
	F string `json:"f"`
	G string `json:"g,omitempty"`
}

var logOmitted = map[string]bool{"c": true, "d": true, "g": true}

// logWorld is a world with structs. What the naive half knows besides values is
// which keys the log decides about and which depend on loaded data.
type logWorld struct {
	*world
	decided, rooted map[string]bool
	spanned         map[string]bool // by an Update of a struct that waits
	read, observed  map[string]bool
	conflicts       bool // whether Sets look at what has been read
}

func newLogWorld(t *testing.T, seed uint64) *logWorld {
	w := &logWorld{world: newWorld(t, rand.New(rand.NewPCG(seed, 21)))}
	w.s.m.cfg.MaxKeys, w.s.m.cfg.MaxBytes = 100, 1<<20
	w.decided, w.rooted, w.spanned = map[string]bool{}, map[string]bool{}, map[string]bool{}
	w.read, w.observed = map[string]bool{}, map[string]bool{}
	for _, name := range stateKeys {
		w.rooted[name] = true
	}
	w.note("seed %d", seed)
	return w
}

func (w *logWorld) wiped() {
	for _, name := range stateKeys {
		w.decided[name], w.rooted[name] = true, false
	}
}

func (w *logWorld) step(settles bool) {
	name, raw := stateKeys[w.r.IntN(len(stateKeys))], randomText(w.r)
	kinds := 21
	if settles {
		kinds += 4
	}
	switch k := w.r.IntN(kinds); {
	case k < 2:
		w.note("set %s", name)
		w.put(Key[string](name).d, map[string]string{name: raw}, []string{name})
	case k < 4:
		w.note("delete %s", name)
		w.put(Key[string](name).d, nil, []string{name})
	case k < 6:
		w.note("update %s", name)
		w.update(name, string('A'+rune(w.r.IntN(26))))
		w.decided[name] = true
	case k < 7:
		w.note("clear")
		w.do(entry{kind: opClear}, func(view map[string]string, _ *string) { clear(view) })
		w.wiped()
	case k < 8:
		owner := []string{"ann", "bob"}[w.r.IntN(2)]
		w.note("login %s", owner)
		if w.owner != "" && w.owner != owner {
			w.wiped()
		}
		w.do(entry{kind: opLogin, name: owner}, func(view map[string]string, was *string) {
			if *was != "" && *was != owner {
				clear(view)
			}
			*was = owner
		})
	case k < 12:
		logUpdate[logHead](w)
	case k < 14:
		logUpdate[logTail](w)
	case k < 16:
		logUpdate[logWide](w)
	case k < 21:
		w.putStruct([]*declaration{Struct[logHead]().d, Struct[logTail]().d, Struct[logWide]().d}[w.r.IntN(3)])
	case k < 23:
		w.settleNames(Key[string](name).d)
	default:
		w.settleNames([]*declaration{Struct[logHead]().d, Struct[logTail]().d}[w.r.IntN(2)])
	}
}

// put is what Set and Delete come to: want has the values of names.
func (w *logWorld) put(d *declaration, want map[string]string, names []string) {
	d.lastWriteWins = !w.conflicts
	var changes []change
	var naive []string
	for _, name := range names {
		c := change{name: name}
		raw, ok := want[name]
		if c.present = ok; ok {
			c.raw = []byte(raw)
		}
		changes = append(changes, c)
		if old, there := w.view[name]; there == ok && old == raw && !w.decided[name] {
			continue
		}
		naive = append(naive, name)
		w.observed[name] = w.observed[name] || w.read[name] && w.rooted[name]
		w.decided[name], w.rooted[name] = true, false
	}
	require.NoError(w.t, w.s.put(d, want != nil, changes...), "%q", w.steps)
	w.also(func(view map[string]string, _ *string) {
		for _, name := range naive {
			if delete(view, name); want[name] != "" {
				view[name] = want[name]
			}
		}
	})
}

// also is do for what has been logged.
func (w *logWorld) also(naive func(view map[string]string, owner *string)) {
	naive(w.view, &w.owner)
	w.naive = append(w.naive, naive)
}

// putStruct is Set or Delete of a struct.
func (w *logWorld) putStruct(d *declaration) {
	if w.r.IntN(4) == 0 {
		w.note("delete %s", d.name)
		w.put(d, nil, d.names())
		return
	}
	after := make([][]byte, len(d.plan.fields))
	want, differ := map[string]string{}, []string(nil)
	for i, name := range d.names() {
		raw, ok := w.view[name]
		switch {
		case w.r.IntN(3) == 0 && (ok || logOmitted[name]): // as it is
		case logOmitted[name] && w.r.IntN(3) == 0:
			ok = false
		default:
			raw, ok = randomText(w.r), true
		}
		if ok {
			want[name], after[i] = raw, []byte(raw)
		}
		if old, there := w.view[name]; there != ok || ok && old != raw || w.decided[name] {
			differ = append(differ, name)
		}
	}
	w.note("set %s, %q", d.name, differ)
	var got []string
	for _, c := range w.s.m.codec.replacing(d.plan, w.s.state.findFields(d.plan), after) {
		got = append(got, c.name)
	}
	require.Equal(w.t, differ, got, "%q", w.steps)
	w.put(d, want, differ)
}

// logUpdate makes some fields depend on all of them, so that the order of two Updates
// shows.
func logUpdate[T any](w *logWorld) {
	d := Struct[T]().d
	mask, letter := w.r.IntN(1<<len(d.plan.fields)), string('A'+rune(w.r.IntN(26)))
	mix := func(old []string) []string {
		all := slices.Clone(old)
		for i := range all {
			if mask&(1<<i) != 0 {
				next := old[(i+1)%len(old)]
				if all[i] = letter + next[:min(len(next), 30)]; len(next)%5 == 1 {
					all[i] = ""
				}
			}
		}
		return all
	}
	fn := func(v *T) error {
		old := make([]string, len(d.plan.fields))
		for i, f := range d.plan.fields {
			old[i] = reach(reflect.ValueOf(v).Elem(), f.index, true).String()
		}
		for i, s := range mix(old) {
			reach(reflect.ValueOf(v).Elem(), d.plan.fields[i].index, true).SetString(s)
		}
		return nil
	}
	w.note("update %s %b", d.name, mask)
	rooted := slices.ContainsFunc(d.names(), func(name string) bool { return w.rooted[name] })
	u := w.s.state.start(d)
	out, err := d.replay(&w.s.m.codec, d, fn, u)
	require.NoError(w.t, err)
	before := maps.Clone(w.view)
	require.NoError(w.t, w.s.append(d.name, updateEntries(nil, d, fn, &u, &out)...))
	w.also(func(view map[string]string, _ *string) {
		old := make([]string, len(d.plan.fields))
		for i, name := range d.names() {
			if raw, ok := view[name]; ok {
				old[i] = raw[1 : len(raw)-1]
			}
		}
		for i, s := range mix(old) {
			switch name := d.plan.fields[i].name; {
			case s == old[i]:
			case s == "" && logOmitted[name]:
				delete(view, name)
			default:
				view[name] = `"` + s + `"`
			}
		}
	})
	for _, name := range d.names() {
		if w.spanned[name] = true; before[name] != w.view[name] {
			w.decided[name], w.rooted[name] = true, rooted
		}
	}
}

// settleNames is a Take or a GetOrSet that has been committed, behind a commit of all
// that waits if it has to be.
func (w *logWorld) settleNames(d *declaration) {
	st := &w.s.state
	if st.changesOwner() {
		return
	}
	t := &settlement{names: d.names()}
	spans := slices.ContainsFunc(t.names, func(name string) bool { return w.spanned[name] })
	require.Equal(w.t, spans, st.spans(t), "%q", w.steps)
	if spans {
		w.note("commit")
		st.reset(valuesOf(w.t, w.view), w.owner, nil)
		w.s.base.Owner = []byte(w.owner)
		w.stored, w.naive, w.spanned = maps.Clone(w.view), nil, map[string]bool{}
		for _, name := range stateKeys {
			w.decided[name], w.rooted[name] = false, true
		}
	}
	out := &outcome{values: t.values(st), applied: true}
	if anyOf(out.values) {
		w.note("take %q", t.names)
		for _, name := range t.names {
			delete(w.view, name)
			delete(w.stored, name)
		}
	} else {
		w.note("settle %q", t.names)
		t.insert = make([][]byte, len(t.names))
		for i, name := range t.names {
			if delete(w.stored, name); i == 0 || w.r.IntN(2) == 0 {
				raw := randomText(w.r)
				t.insert[i], w.view[name], w.stored[name] = []byte(raw), raw, raw
			}
		}
		out.values = t.inserted()
	}
	require.NoError(w.t, w.s.settled(t, out))
	for _, name := range t.names {
		w.decided[name], w.rooted[name] = false, true
	}
}

func (w *logWorld) checkAll() {
	w.check()
	st := &w.s.state
	require.Equal(w.t, sizeOf(w.view), st.size, "%q", w.steps)
	for _, name := range stateKeys {
		_, _, rooted := st.find(name)
		require.Equal(w.t, w.rooted[name], rooted, "%s after %q", name, w.steps)
		require.Equal(w.t, !w.decided[name], st.undecided(name), "%s after %q", name, w.steps)
	}
	for _, d := range []*declaration{Struct[logHead]().d, Struct[logTail]().d, Struct[logWide]().d} {
		for i, v := range st.findFields(d.plan) {
			name := d.plan.fields[i].name
			want, there := w.view[name]
			require.Equal(w.t, stored{raw: v.raw, ok: there, rooted: w.rooted[name], pending: w.decided[name]}, v, "%q", w.steps)
			require.Equal(w.t, want, string(v.raw), "%q", w.steps)
		}
	}
}

func (w *logWorld) run(settles bool, each func()) {
	for range 1 + w.r.IntN(12)*w.r.IntN(5) { // with and without the index
		w.step(settles)
		each()
	}
}

func TestStructLogAgreesWithAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(800) {
		w := newLogWorld(t, seed)
		w.run(false, w.checkAll)
		base := w.s.state.values
		edits := w.s.state.edits(nil)
		requireMinimal(t, base, &edits, w.steps)
		require.Equal(t, w.view, mapOf(applied(t, base, &edits)), "%q", w.steps)
	}
}

// With Take and GetOrSet of keys and structs, and with what they commit before.
func TestStructLogWithSettledKeysAgreesWithAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(800) {
		w := newLogWorld(t, 1000+seed)
		w.run(true, w.checkAll)
		fresh := valuesOf(t, w.stored)
		st, _, err := w.s.replay(w.s.state.log, &record.View{Values: fresh}, string(w.s.base.Owner))
		require.NoError(t, err)
		edits := st.edits(nil)
		require.Equal(t, w.view, mapOf(applied(t, fresh, &edits)), "%q on %v", w.steps, w.stored)
	}
}

// On what another request has written the log comes to what its verbs would have
// come to.
func TestStructReplayAgreesWithAMap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(1200) {
		w := newLogWorld(t, 2000+seed)
		w.run(false, func() {})
		other := newLogWorld(t, 9000+seed)
		want, owner := maps.Clone(other.view), other.owner
		for _, f := range w.naive {
			f(want, &owner)
		}
		fresh := valuesOf(t, other.view)
		log := slices.Clone(w.s.state.log)
		for range 2 { // a replay changes nothing that the next one needs
			st, _, err := w.s.replay(log, &record.View{Values: fresh}, other.owner)
			require.NoError(t, err)
			edits := st.edits(nil)
			require.Equal(t, want, mapOf(applied(t, fresh, &edits)), "%q on %v", w.steps, other.view)
			require.Equal(t, sizeOf(want), st.size, "%q", w.steps)
			require.True(t, slices.Equal(slices.Sorted(maps.Keys(want)), st.keys()), "%q", w.steps)
			require.Equal(t, owner, st.owner, "%q", w.steps)
			requireMinimal(t, fresh, &edits, w.steps)
		}
	}
}

// Fields that a Set changes and the request had read are in conflict with others,
// those it leaves alone never.
func TestStructReplayReportsEveryConflict(t *testing.T) {
	t.Parallel()
	conflicts := 0
	for seed := range uint64(1200) {
		w := newLogWorld(t, 20_000+seed)
		w.conflicts = true
		base, fresh := maps.Clone(w.view), maps.Clone(w.view)
		for range 1 + w.r.IntN(12) {
			if w.r.IntN(2) == 0 {
				d := []*declaration{Struct[logHead]().d, Struct[logTail]().d, Key[string]("f").d}[w.r.IntN(3)]
				w.note("read %s", d.name)
				w.s.markAll(d, nil)
				for _, name := range d.names() {
					w.read[name] = true
				}
			}
			w.step(false)
		}
		want := []string{}
		for _, name := range stateKeys {
			if w.r.IntN(3) == 0 {
				fresh[name] = randomText(w.r)
			} else if w.r.IntN(4) == 0 {
				delete(fresh, name)
			}
			if w.observed[name] && fresh[name] != base[name] {
				want = append(want, name)
			}
		}
		_, got, err := w.s.replay(w.s.state.log, &record.View{Values: valuesOf(t, fresh)}, w.owner)
		require.NoError(t, err)
		require.Equal(t, want, append([]string{}, got...), "%q", w.steps)
		conflicts += len(want)
	}
	require.Greater(t, conflicts, 300)
}

// A thousand Updates of sixty fields cost as much each as the first few: what one
// allocates does not grow with the log.
func TestStructUpdatesStayCheap(t *testing.T) {
	s := newLogWorld(t, 0).s
	var fields []reflect.StructField
	for i := range 60 {
		fields = append(fields, reflect.StructField{
			Name: fmt.Sprintf("F%02d", i), Type: reflect.TypeFor[int](), Tag: reflect.StructTag(fmt.Sprintf(`json:"f%02d"`, i)),
		})
	}
	typ := reflect.StructOf(fields)
	d := &declaration{name: "wide", typ: typ, plan: planOf(typ)}
	n := 0
	update := func() {
		u, err := s.begin(t.Context(), d)
		require.NoError(t, err)
		n++
		out := updated{changes: []change{{name: d.plan.fields[n%60].name, raw: []byte("1"), present: true}}}
		done, err := s.finishUpdate(t.Context(), d, nil, u, out)
		require.NoError(t, err)
		require.True(t, done)
	}
	for range 20 {
		update()
	}
	few := testing.AllocsPerRun(80, update)
	for range 900 {
		update()
	}
	many := testing.AllocsPerRun(80, update)
	require.LessOrEqual(t, many, few+1)
	require.Len(t, s.reads, 60, "one mark for each field, however often it is read")
}
