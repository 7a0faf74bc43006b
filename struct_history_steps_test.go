package session_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// step does one thing and compares.
func (a *scActor) step() {
	h := a.w.h
	v := &a.w.views[h.rnd.IntN(len(a.w.views))]
	values := scFields{}
	for _, name := range v.names {
		values[name] = h.rnd.IntN(4)
	}
	verb := [...]string{
		"update", "update", "update", "set", "set", "set same", "delete", "get", "take", "take", "get or set", "get or set", "save", "clear",
	}[h.rnd.IntN(14)]
	var err error
	var conflicts []string
	switch verb {
	case "update":
		mask, k := 1+h.rnd.IntN(7), h.rnd.IntN(5)
		f := func(m scFields) {
			old := maps.Clone(m)
			for i, name := range v.names {
				if mask&(1<<i) != 0 {
					m[name] = (2*old[v.names[(i+1)%len(v.names)]] + k) % 50
				}
			}
		}
		loose := !slices.ContainsFunc(v.names, func(name string) bool { return !a.loose[name] })
		change := func(all scFields) {
			m := scFields{}
			for _, name := range v.names {
				m[name] = all[name]
			}
			f(m)
			for _, name := range v.names {
				if len(v.names) == 1 || m[name] != all[name] {
					all.put(v.fill(m), name)
				}
			}
		}
		before := maps.Clone(a.view)
		change(a.view)
		a.log = append(a.log, scChange{update: change, names: v.names})
		for _, name := range v.names {
			if len(v.names) == 1 {
				a.decided[name] = true
			} else if !before.same(a.view, name) {
				a.decided[name], a.loose[name] = true, loose
			}
		}
		a.looked(v.names)
		var got scFields
		if got, err = v.update(a.rigRequest, f); err == nil {
			a.sees(v, got)
		}
	case "set", "set same":
		if verb == "set same" {
			for _, name := range v.names[1:] {
				values[name] = a.view[name]
			}
		}
		values = v.fill(values)
		conflicts = a.put(a.differ(v, values), values)
		err = v.set(a.rigRequest, values)
	case "delete":
		conflicts = a.put(v.names, nil)
		err = v.delete(a.rigRequest)
	case "get":
		var got scFields
		var ok bool
		got, ok, err = v.get(a.rigRequest)
		require.Equal(h, a.view.some(v.names), ok)
		a.sees(v, got)
		a.looked(v.names)
	case "take":
		var want, got scFields
		var ok bool
		want, conflicts = a.settle(v.names, nil)
		got, ok, err = v.take(a.rigRequest)
		if conflicts == nil {
			require.Equal(h, want.some(v.names), ok, "take of %q by %d", v.names, a.id)
			requireFields(h, v, want, got)
		}
	case "get or set":
		a.looked(v.names)
		want := a.view
		if !a.view.some(v.names) {
			want, conflicts = a.settle(v.names, v.fill(values))
		}
		var got scFields
		if got, err = v.orSet(a.rigRequest, values); conflicts == nil {
			requireFields(h, v, want, got)
		}
	case "save":
		if len(a.log) > 0 {
			conflicts = a.commit()
		}
		err = a.s.Save(a.ctx)
	case "clear":
		if !h.once(3) {
			return
		}
		err = a.s.Clear(a.ctx)
		clear(a.view)
		a.log = append(a.log, scChange{clear: true})
		for _, name := range a.w.views[0].names {
			a.loose[name], a.decided[name] = true, true
		}
	}
	h.note("request %d: %s %q %v: %v", a.id, verb, v.names, values, err)
	a.outcome(conflicts, err)
}

func (a *scActor) sees(v *scView, got scFields) { requireFields(a.w.h, v, a.view, got) }

func requireFields(h *rigHistory, v *scView, want, got scFields) {
	for _, name := range v.names {
		require.Equal(h, want[name], got[name], "%s of %v", name, want)
	}
}

func (a *scActor) outcome(conflicts []string, err error) {
	if conflicts == nil {
		require.NoError(a.w.h, err)
		return
	}
	a.w.conflicts++
	conflict := new(session.ConflictError)
	require.ErrorAs(a.w.h, err, &conflict, "want conflicts in %q", conflicts)
	require.Equal(a.w.h, conflicts, conflict.Keys)
}

// Requests of three managers, in turns, with structs and keys on the same fields:
// each sees, stores and is refused what a few maps say, of which the store's holds
// the outcome of one commit after the other.
func TestPromise1_HistoriesOfStructs(t *testing.T) {
	var total scWorld
	rigHistories(t, 400, 1, func(h *rigHistory) {
		r := newRig(h)
		w := &scWorld{h: h, r: r, nodes: []*session.Manager{r.m, r.manager(), r.manager()}, views: scViews(), store: scFields{}}
		w.cookie = r.request("", func(q *rigRequest) {
			q.set(rigCount, 1)
			for _, v := range w.views[2:] {
				if h.once(2) {
					w.store[v.names[0]] = h.rnd.IntN(4)
					require.NoError(h, v.set(q, w.store))
				}
			}
		})
		actors := []*scActor{w.open(), w.open(), w.open()}[:2+h.rnd.IntN(2)]
		for range 50 {
			i := h.rnd.IntN(len(actors))
			switch a := actors[i]; {
			case h.once(25):
				h.note("request %d is discarded", a.id)
				_, err := a.m.Discard(a.ctx, a.s)
				require.NoError(h, err)
				actors[i] = w.open()
			case h.once(7):
				_, err := a.rigRequest.commit()
				h.note("request %d commits: %v", a.id, err)
				var conflicts []string
				if len(a.log) > 0 {
					conflicts = a.commit()
				}
				a.outcome(conflicts, err)
				actors[i] = w.open()
			default:
				a.step()
			}
		}
		q := r.open(w.cookie)
		for _, v := range w.views[2:] {
			got, ok, err := v.get(q)
			require.NoError(h, err)
			require.Equal(h, w.store.some(v.names), ok, "%q", v.names)
			requireFields(h, &v, w.store, got)
		}
		total.conflicts, total.replays, total.flushes = total.conflicts+w.conflicts, total.replays+w.replays, total.flushes+w.flushes
	})
	if _, single := rigNumber(t, "SESSION_TEST_SEED"); !single { // they would say nothing otherwise
		require.Greater(t, total.conflicts, 100)
		require.Greater(t, total.replays, 1000)
		require.Greater(t, total.flushes, 100)
	}
}
