package session

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/record"
)

// The log of a request and its replay are held to a map. They are inside because
// no verb shows the edits that a commit makes, or a size before it is refused.

var stateKeys = []string{"a", "b", "c", "d", "e", "f", "g"}

// values puts the entries of a map into a frame.
func valuesOf(t *testing.T, m map[string]string) record.Values {
	t.Helper()
	var e record.Edits
	for _, name := range slices.Sorted(maps.Keys(m)) {
		e.Set = append(e.Set, record.Edit{Name: name, Raw: []byte(m[name])})
	}
	return applied(t, record.Values{}, &e)
}

func applied(t *testing.T, base record.Values, e *record.Edits) record.Values {
	t.Helper()
	v, err := record.Parse(record.Encode(&record.Meta{}, 0, base, e))
	require.NoError(t, err)
	return v.Values
}

func mapOf(s record.Values) map[string]string {
	m := map[string]string{}
	for v := range s.All() {
		m[string(v.Name)] = string(v.Raw)
	}
	return m
}

func sizeOf(m map[string]string) (s record.Size) {
	for name, raw := range m {
		s.Keys++
		s.Bytes += record.EntrySize(name, []byte(raw))
	}
	return s
}

// world is a request next to what it should look like.
type world struct {
	t      *testing.T
	r      *rand.Rand
	s      *Session
	view   map[string]string // what the request must see
	stored map[string]string // what is in the store by now
	owner  string
	steps  []string
	naive  []func(view map[string]string, owner *string) // the same on any data
}

func randomText(r *rand.Rand) string {
	return `"` + fmt.Sprintf("%0*d", r.IntN(150)+1, r.IntN(10)) + `"`
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	w := &world{t: t, r: r, view: map[string]string{}}
	for _, name := range stateKeys {
		if r.IntN(2) == 0 {
			w.view[name] = randomText(r)
		}
	}
	if r.IntN(2) == 0 {
		w.owner = "ann"
	}
	w.stored = maps.Clone(w.view)
	m := &Manager{codec: valueCodec{Codec: JSON{}, plain: true, maxDepth: 32}}
	w.s = &Session{m: m, loaded: true, base: record.Meta{Owner: []byte(w.owner)}}
	w.s.state.reset(valuesOf(t, w.view), w.owner, w.s.firstEntry[:0])
	return w
}

func (w *world) step(settle bool) {
	name := stateKeys[w.r.IntN(len(stateKeys))]
	kinds := 14
	if settle {
		kinds += 4
	}
	switch k := w.r.IntN(kinds); {
	case k < 5:
		raw := randomText(w.r)
		w.note("set %s=%.8s", name, raw)
		w.do(entry{kind: opSet, name: name, raw: []byte(raw), present: true},
			func(view map[string]string, _ *string) { view[name] = raw })
	case k < 8:
		w.note("delete %s", name)
		w.do(entry{kind: opDelete, name: name}, func(view map[string]string, _ *string) { delete(view, name) })
	case k < 12:
		w.note("update %s", name)
		w.update(name, string('A'+rune(w.r.IntN(26))))
	case k < 13:
		w.note("clear")
		w.do(entry{kind: opClear}, func(view map[string]string, _ *string) { clear(view) })
	case k < 14:
		owner := []string{"ann", "bob"}[w.r.IntN(2)]
		w.note("login %s", owner)
		w.do(entry{kind: opLogin, name: owner}, func(view map[string]string, was *string) {
			if *was != "" && *was != owner {
				clear(view)
			}
			*was = owner
		})
	default:
		w.settle(name)
	}
}

func (w *world) note(format string, args ...any) {
	w.steps = append(w.steps, fmt.Sprintf(format, args...))
}

func (w *world) do(e entry, naive func(view map[string]string, owner *string)) {
	w.s.state.add(e)
	naive(w.view, &w.owner)
	w.naive = append(w.naive, naive)
}

// update appends a letter, so that the order of two updates shows.
func (w *world) update(name, letter string) {
	d := Key[string](name).d
	fn := func(s *string) error { *s += letter; return nil }
	u := w.s.state.start(d)
	out, err := d.replay(&w.s.m.codec, d, fn, u)
	require.NoError(w.t, err)
	w.do(updateEntries(nil, d, fn, &u, &out)[0], func(view map[string]string, _ *string) {
		s := ""
		if raw, ok := view[name]; ok {
			require.NoError(w.t, json.Unmarshal([]byte(raw), &s))
		}
		view[name] = `"` + s + letter + `"`
	})
}

// settle is a GetOrSet or a Take that has been committed.
func (w *world) settle(name string) {
	if w.s.state.changesOwner() { // then nothing is settled before the commit
		return
	}
	t := &settlement{names: []string{name}}
	out := &outcome{}
	if old, ok := w.view[name]; ok {
		w.note("take %s", name)
		out.values, out.applied = []stored{{raw: []byte(old), ok: true}}, true
		delete(w.view, name)
		delete(w.stored, name)
	} else {
		raw := randomText(w.r)
		w.note("settle %s=%.8s", name, raw)
		t.insert = [][]byte{[]byte(raw)}
		out.values, out.applied = t.inserted(), true
		w.view[name], w.stored[name] = raw, raw
	}
	require.NoError(w.t, w.s.settled(t, out))
}

func (w *world) check() {
	st := &w.s.state
	for _, name := range stateKeys {
		want, there := w.view[name]
		raw, ok, _ := st.find(name)
		require.Equal(w.t, there, ok, "%s after %q", name, w.steps)
		require.Equal(w.t, want, string(raw), "%s after %q", name, w.steps)
	}
	require.Equal(w.t, slices.Sorted(maps.Keys(w.view)), slices.Concat(st.keys()), "%q", w.steps)
	require.Equal(w.t, w.owner, st.owner, "%q", w.steps)
}

// TestLogAgreesWithAMap: after every step the request sees what a map would
// hold, and the edits of the commit lead there.
func TestLogAgreesWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 8))
	for range 800 {
		w := newWorld(t, r)
		for range 1 + r.IntN(12)*r.IntN(5) { // with and without the index
			w.step(false)
			w.check()
			require.Equal(t, sizeOf(w.view), w.s.state.size, "%q", w.steps)
		}
		base := w.s.state.values
		edits := w.s.state.edits(nil)
		requireMinimal(t, base, &edits, w.steps)
		require.Equal(t, w.view, mapOf(applied(t, base, &edits)), "%q", w.steps)
	}
}

// requireMinimal: what changes nothing is no write.
func requireMinimal(t *testing.T, base record.Values, e *record.Edits, steps []string) {
	t.Helper()
	last := ""
	for _, s := range e.Set {
		require.Greater(t, s.Name, last, "%q", steps)
		last = s.Name
		old, ok := base.Find(s.Name)
		dropped := e.Clear && !slices.Contains(e.Keep, s.Name)
		if !dropped {
			require.False(t, ok == !s.Delete && string(old.Raw) == string(s.Raw), "%s is as it was, %q", s.Name, steps)
		}
	}
}

// TestSettledKeysAgreeWithAMap is the same with Take and GetOrSet in between,
// which other verbs must neither undo nor forget.
func TestSettledKeysAgreeWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(9, 10))
	for range 800 {
		w := newWorld(t, r)
		was := w.owner
		for range 1 + r.IntN(12)*r.IntN(5) {
			w.step(true)
			w.check()
		}
		fresh := valuesOf(t, w.stored)
		st, _, err := w.s.replay(w.s.state.log, &record.View{Values: fresh}, was)
		require.NoError(t, err)
		edits := st.edits(nil)
		require.Equal(t, w.view, mapOf(applied(t, fresh, &edits)), "%q on %v", w.steps, w.stored)
	}
}

// TestSizeWithSettledKeys: the size is what limits are checked against when a
// value is set, so it has to be right then.
func TestSizeWithSettledKeys(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(11, 12))
	for range 800 {
		w := newWorld(t, r)
		for range 1 + r.IntN(12)*r.IntN(5) {
			w.step(true)
			require.Equal(t, sizeOf(w.view), w.s.state.size, "%q", w.steps)
		}
	}
}

// TestReplayAgreesWithAMap applies the log to data that another request wrote.
func TestReplayAgreesWithAMap(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(13, 14))
	for range 800 {
		w := newWorld(t, r)
		for range 1 + r.IntN(12)*r.IntN(5) {
			w.step(false)
		}
		other := newWorld(t, r) // another request's session
		want, owner := maps.Clone(other.view), other.owner
		for _, f := range w.naive {
			f(want, &owner)
		}
		fresh := valuesOf(t, other.view)
		st, _, err := w.s.replay(w.s.state.log, &record.View{Values: fresh}, other.owner)
		require.NoError(t, err)
		edits := st.edits(nil)
		require.Equal(t, want, mapOf(applied(t, fresh, &edits)), "%q on %v", w.steps, other.view)
		require.Equal(t, owner, st.owner, "%q", w.steps)
		requireMinimal(t, fresh, &edits, w.steps)
	}
}

// TestReplayReportsEveryConflict: only keys that this request had read and that
// another one changed are in conflict, all of them at once and sorted.
func TestReplayReportsEveryConflict(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(15, 16))
	conflicts := 0
	for range 800 {
		w := newWorld(t, r)
		base := maps.Clone(w.view)
		observed := map[string]bool{}
		for range 1 + r.IntN(20) {
			name, raw := stateKeys[r.IntN(len(stateKeys))], randomText(r)
			e := entry{kind: opSet, name: name, raw: []byte(raw), present: true, observed: r.IntN(2) == 0}
			if r.IntN(3) == 0 {
				e.kind, e.raw, e.present = opDelete, nil, false
			}
			observed[name] = observed[name] || e.observed
			w.s.state.add(e)
		}
		fresh := maps.Clone(base)
		for _, name := range stateKeys {
			if r.IntN(6) == 0 {
				fresh[name] = randomText(r)
			} else if r.IntN(6) == 0 {
				delete(fresh, name)
			}
		}
		var want []string
		for _, name := range stateKeys {
			was, wasOK := base[name]
			is, isOK := fresh[name]
			if observed[name] && (was != is || wasOK != isOK) {
				want = append(want, name)
			}
		}
		_, got, err := w.s.replay(w.s.state.log, &record.View{Values: valuesOf(t, fresh)}, w.owner)
		require.NoError(t, err)
		if want == nil {
			require.Empty(t, got)
			continue
		}
		conflicts++
		require.Equal(t, want, got)
	}
	require.Greater(t, conflicts, 100, "of 800")
}
