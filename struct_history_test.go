package session_test

import (
	"maps"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

type scWhole struct {
	A int `json:"sc_ha"`
	B int `json:"sc_hb"`
	C int `json:"sc_hc,omitempty"`
}

type scPart struct {
	B int `json:"sc_hb"`
	C int `json:"sc_hc,omitempty"`
}

// scFields is a session, or a part of it.
type scFields map[string]int

func (f scFields) some(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := f[name]; return ok })
}

func (f scFields) same(g scFields, name string) bool {
	v, ok := f[name]
	w, also := g[name]
	return v == w && ok == also
}

// put makes a name of f what it is in from.
func (f scFields) put(from scFields, name string) {
	if delete(f, name); from.some([]string{name}) {
		f[name] = from[name]
	}
}

// scView is a Key or a Struct to the model: values by name, 0 where there is none.
type scView struct {
	names  []string
	get    func(q *rigRequest) (scFields, bool, error)
	take   func(q *rigRequest) (scFields, bool, error)
	orSet  func(q *rigRequest, v scFields) (scFields, error)
	set    func(q *rigRequest, v scFields) error
	delete func(q *rigRequest) error
	update func(q *rigRequest, f func(v scFields)) (scFields, error)
}

func scViewOf[T any](k session.Typed[T], names []string, to func(v T) scFields, from func(v scFields) T) scView {
	return scView{
		names: names,
		get:   func(q *rigRequest) (scFields, bool, error) { v, ok, err := k.Lookup(q.ctx); return to(v), ok, err },
		take:  func(q *rigRequest) (scFields, bool, error) { v, ok, err := k.Take(q.ctx); return to(v), ok, err },
		orSet: func(q *rigRequest, v scFields) (scFields, error) {
			got, err := k.GetOrSet(q.ctx, func() (T, error) { return from(v), nil })
			return to(got), err
		},
		set:    func(q *rigRequest, v scFields) error { return k.Set(q.ctx, from(v)) },
		delete: func(q *rigRequest) error { return k.Delete(q.ctx) },
		update: func(q *rigRequest, f func(v scFields)) (scFields, error) {
			got, err := k.Update(q.ctx, func(v *T) error { m := to(*v); f(m); *v = from(m); return nil })
			return to(got), err
		},
	}
}

func scViews() []scView {
	views := []scView{
		scViewOf(session.Struct[scWhole](), []string{"sc_ha", "sc_hb", "sc_hc"},
			func(v scWhole) scFields { return scFields{"sc_ha": v.A, "sc_hb": v.B, "sc_hc": v.C} },
			func(v scFields) scWhole { return scWhole{v["sc_ha"], v["sc_hb"], v["sc_hc"]} }),
		scViewOf(session.Struct[scPart](), []string{"sc_hb", "sc_hc"},
			func(v scPart) scFields { return scFields{"sc_hb": v.B, "sc_hc": v.C} },
			func(v scFields) scPart { return scPart{v["sc_hb"], v["sc_hc"]} }),
	}
	for _, name := range views[0].names {
		views = append(views, scViewOf(session.Key[int](name), []string{name},
			func(v int) scFields { return scFields{name: v} }, func(v scFields) int { return v[name] }))
	}
	return views
}

// omits reports whether a value is left out by the view.
func (v *scView) omits(name string, n int) bool { return len(v.names) > 1 && name == "sc_hc" && n == 0 }

// fill returns what v is as the whole of the view: without what is left out.
func (v *scView) fill(values scFields) scFields {
	all := scFields{}
	for _, name := range v.names {
		if !v.omits(name, values[name]) {
			all[name] = values[name]
		}
	}
	return all
}

// scChange is an entry of a request's log.
type scChange struct {
	update   func(all scFields) // nil: values for names, or none
	names    []string
	values   scFields
	observed map[string]bool
	clear    bool
	kept     []string
}

// scActor is one request, and what it has to see.
type scActor struct {
	*rigRequest
	id     int
	w      *scWorld
	rec    scFields // what its next commit replaces
	at     int      // the version of that
	base   scFields // what it knows to be stored
	view   scFields
	behind bool // rec is not what the log was written on
	log    []scChange

	read, stale, loose, decided map[string]bool // loose: does not depend on what is stored
}

// scWorld is the store, and three requests that take turns.
type scWorld struct {
	h       *rigHistory
	r       *rig
	cookie  string
	nodes   []*session.Manager
	views   []scView
	store   scFields
	version int
	opened  int

	conflicts, replays, flushes int
}

func (w *scWorld) open() *scActor {
	w.opened++
	a := &scActor{rigRequest: w.r.openOn(w.nodes[w.opened%len(w.nodes)], w.cookie), id: w.opened, w: w}
	_, err := a.s.Keys(a.ctx) // loads it now
	require.NoError(w.h, err)
	a.read, a.stale = map[string]bool{}, map[string]bool{}
	a.adopt(w.store, w.version)
	return a
}

// adopt goes on with what is stored.
func (a *scActor) adopt(values scFields, version int) {
	for name := range a.read {
		a.stale[name] = a.stale[name] || !a.view.same(values, name)
	}
	a.rec, a.base, a.view, a.at = maps.Clone(values), maps.Clone(values), maps.Clone(values), version
	a.behind, a.log = false, nil
	a.loose, a.decided = map[string]bool{}, map[string]bool{}
}

// on returns what the log makes of a record, and what is in conflict.
func (a *scActor) on(rec scFields, version int) (out scFields, conflicts []string) {
	if !a.behind && version == a.at {
		return maps.Clone(a.view), nil
	}
	a.w.replays++
	out = maps.Clone(rec)
	for _, c := range a.log {
		for name := range c.observed {
			if !a.base.same(rec, name) && !slices.Contains(conflicts, name) {
				conflicts = append(conflicts, name)
			}
		}
		switch {
		case c.update != nil:
			c.update(out)
		case c.clear:
			maps.DeleteFunc(out, func(name string, _ int) bool { return !slices.Contains(c.kept, name) })
		default:
			for _, name := range c.names {
				out.put(c.values, name)
			}
		}
	}
	slices.Sort(conflicts)
	return out, conflicts
}

func (a *scActor) commit() (conflicts []string) {
	rec, at := a.rec, a.at
	clears := slices.ContainsFunc(a.log, func(c scChange) bool { return c.clear })
	for {
		next, conflicts := a.on(rec, at)
		switch {
		case conflicts != nil:
			return conflicts
		case !clears && maps.Equal(next, rec): // no write, so nobody asked whether there is something newer
			a.adopt(next, at)
			return nil
		case at == a.w.version:
			a.w.version++
			a.w.store = next
			a.adopt(next, a.w.version)
			return nil
		}
		rec, at = a.w.store, a.w.version
	}
}

// settle takes the names, or gives them values. It returns what there was, or is.
func (a *scActor) settle(names []string, insert scFields) (result scFields, conflicts []string) {
	if slices.ContainsFunc(a.log, func(c scChange) bool {
		return c.update != nil && len(c.names) > 1 && slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.names, name) })
	}) {
		a.w.flushes++
		if conflicts = a.commit(); conflicts != nil {
			return nil, conflicts
		}
	}
	rec, at := a.rec, a.at
	for {
		now, conflicts := a.on(rec, at)
		if conflicts = slices.DeleteFunc(conflicts, func(name string) bool { return !slices.Contains(names, name) }); len(conflicts) > 0 {
			return nil, conflicts
		}
		found := now.some(names)
		applied := found != (insert != nil)
		if result = now; applied && insert != nil {
			result = insert
		}
		if applied && (rec.some(names) || insert.some(names)) {
			if at != a.w.version {
				rec, at = a.w.store, a.w.version
				continue
			}
			a.w.version++
			a.w.store, at = maps.Clone(a.w.store), a.w.version
			for _, name := range names {
				a.w.store.put(insert, name)
			}
			rec = a.w.store
		}
		a.behind = a.behind || at != a.at
		a.rec, a.at = rec, at
		a.settled(names, result, applied, insert != nil)
		return result, nil
	}
}

func (a *scActor) settled(names []string, result scFields, applied, inserts bool) {
	for _, name := range names {
		if !applied && a.decided[name] {
			continue
		}
		is := scFields{}
		if inserts {
			is = result
		}
		a.base.put(is, name)
		a.view.put(is, name)
		a.read[name], a.stale[name], a.loose[name], a.decided[name] = true, false, false, false
		kept := a.log[:0:0]
		for _, c := range a.log {
			switch {
			case c.clear:
				c.kept = append(slices.Clone(c.kept), name)
			case len(c.names) == 1 && c.names[0] == name:
				continue
			case c.update == nil:
				c.names = slices.DeleteFunc(slices.Clone(c.names), func(n string) bool { return n == name })
				c.observed = maps.Clone(c.observed)
				delete(c.observed, name)
			}
			if c.clear || len(c.names) > 0 {
				kept = append(kept, c)
			}
		}
		a.log = kept
	}
}

func (a *scActor) looked(names []string) {
	for _, name := range names {
		a.read[name], a.stale[name] = true, false
	}
}

// put logs values for names.
func (a *scActor) put(names []string, values scFields) (conflicts []string) {
	c := scChange{values: values, observed: map[string]bool{}}
	for _, name := range names {
		observed := a.read[name] && !a.loose[name]
		switch {
		case observed && a.stale[name]:
			conflicts = append(conflicts, name)
		case a.view.same(values, name) && !a.decided[name]:
		default:
			c.names = append(c.names, name)
			if observed {
				c.observed[name] = true
			}
		}
	}
	if conflicts != nil || len(c.names) == 0 {
		return conflicts
	}
	for _, name := range c.names {
		a.view.put(values, name)
		a.loose[name], a.decided[name] = true, true
	}
	a.log = append(a.log, c)
	return nil
}

// differ returns the names that a Set of the view changes.
func (a *scActor) differ(v *scView, values scFields) (names []string) {
	for _, name := range v.names {
		if len(v.names) == 1 || a.decided[name] || !a.view.same(values, name) && (name != "sc_hc" || a.view[name] != values[name]) {
			names = append(names, name)
		}
	}
	return names
}
