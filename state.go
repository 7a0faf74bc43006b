package session

import (
	"slices"
	"strings"

	"github.com/typedsession/session/internal/record"
)

// A request keeps what it did as an ordered log of entries. The log is applied
// to the loaded values to answer the request's own reads, and applied again to
// fresh ones when another request was faster.

type opKind uint8

const (
	opSet opKind = iota
	opDelete
	opUpdate
	// opStruct is the Update of a struct. The opParts that follow it are what it
	// came to; on fresh data it makes others.
	opStruct
	opPart
	opClear
	opLogin
	// opSettled shows what a verb has already committed on its own. It has no
	// effect on fresh data, which hold it.
	opSettled
)

type entry struct {
	kind     opKind
	present  bool // the key is there afterwards, with the value raw
	observed bool // opSet, opDelete: the request had read what it replaces
	rooted   bool // what the key is afterwards depends on loaded data
	clears   bool // opLogin: another owner than before
	name     string
	raw      []byte
	d        *declaration // opUpdate, opStruct; the last entry of a struct's Set: its rules hold now
	fn       any          // opUpdate, opStruct: a func(*T) error
	keep     []string     // opClear: keys settled later, which stay
}

// empties reports whether e removes every key but those in e.keep.
func (e *entry) empties() bool { return e.kind == opClear || e.kind == opLogin && e.clears }

// single reports whether e is about one key.
func (e *entry) single() bool { return e.kind != opClear && e.kind != opLogin && e.kind != opStruct }

// state is a set of values and a log on top of it.
type state struct {
	values record.Values
	owner  string
	login  bool // the log has a login
	log    []entry
	size   record.Size    // after the log, but for values with flags a few bytes low
	index  map[string]int // last entry of a key, once the log is long
	wipes  []int          // entries that empty the session
}

const indexFrom = 16

func (st *state) reset(values record.Values, owner string, log []entry) {
	st.values, st.owner, st.login, st.log = values, owner, false, log
	st.size = values.Size()
	st.index, st.wipes = nil, nil
}

// last returns the entry that decides about a key, nil when that is the loaded
// value or, if wiped is set, an entry that emptied the session.
func (st *state) last(name string) (e *entry, wiped bool) {
	last := -1
	if st.index != nil {
		if i, found := st.index[name]; found {
			last = i
		}
	} else {
		for i := len(st.log) - 1; i >= 0; i-- {
			if l := &st.log[i]; l.single() && l.name == name {
				last = i
				break
			}
		}
	}
	for i := len(st.wipes) - 1; i >= 0 && st.wipes[i] > last; i-- {
		if !slices.Contains(st.log[st.wipes[i]].keep, name) {
			return nil, true
		}
	}
	if last < 0 {
		return nil, false
	}
	return &st.log[last], false
}

// find returns the value of a key, and whether it depends on loaded data.
func (st *state) find(name string) (raw []byte, ok, rooted bool) {
	e, wiped := st.last(name)
	switch {
	case wiped:
		return nil, false, false
	case e != nil:
		return e.raw, e.present, e.rooted
	}
	v, ok := st.values.Find(name)
	return v.Raw, ok, true
}

// findFields is find for each field of a struct.
func (st *state) findFields(p *structPlan) []stored {
	out := make([]stored, len(p.fields))
	i := 0
	for v := range st.values.All() { // both are sorted
		for i < len(p.fields) && p.fields[i].name < string(v.Name) {
			i++
		}
		if i == len(p.fields) {
			break
		}
		if p.fields[i].name == string(v.Name) {
			out[i].raw, out[i].ok = v.Raw, true
		}
	}
	for i := range out {
		f := &out[i]
		f.rooted = true
		switch e, wiped := st.last(p.fields[i].name); {
		case wiped:
			*f = stored{pending: true}
		case e != nil:
			*f = stored{raw: e.raw, ok: e.present, rooted: e.rooted, pending: e.kind != opSettled}
		}
	}
	return out
}

// undecided reports whether the log leaves a key as it is stored.
func (st *state) undecided(name string) bool {
	e, wiped := st.last(name)
	return !wiped && (e == nil || e.kind == opSettled)
}

// add appends an entry whose result has been filled in.
func (st *state) add(e entry) {
	if e.kind == opLogin {
		e.clears = st.owner != "" && st.owner != e.name
		st.owner, st.login = e.name, true
	}
	switch {
	case e.empties():
		st.size = record.Size{}
		for _, name := range e.keep {
			if raw, ok, _ := st.find(name); ok {
				st.size.Keys++
				st.size.Bytes += record.EntrySize(name, raw)
			}
		}
		st.wipes = append(st.wipes, len(st.log))
	case e.single():
		st.size = st.sizeAfter(st.size, e.name, e.raw, e.present)
	}
	if st.replaces(&e) {
		last := &st.log[len(st.log)-1]
		e.observed = e.observed || last.observed
		*last = e
		return
	}
	st.log = append(st.log, e)
	if st.index != nil && e.single() {
		st.index[e.name] = len(st.log) - 1
	}
	if st.index == nil && len(st.log) >= indexFrom {
		st.index = make(map[string]int, 2*indexFrom)
		for i := range st.log {
			if st.log[i].single() {
				st.index[st.log[i].name] = i
			}
		}
	}
}

// replaces reports whether e takes the place of the last entry: nothing can have
// looked in between.
func (st *state) replaces(e *entry) bool {
	n := len(st.log)
	return n > 0 && e.kind == opSet && st.log[n-1].kind == opSet && st.log[n-1].name == e.name && st.log[n-1].d == nil
}

// sizeAfter returns what becomes of a size once name has the value raw instead of
// the one it has now.
func (st *state) sizeAfter(s record.Size, name string, raw []byte, present bool) record.Size {
	if old, ok, _ := st.find(name); ok {
		s.Keys--
		s.Bytes -= record.EntrySize(name, old)
	}
	if present {
		s.Keys++
		s.Bytes += record.EntrySize(name, raw)
	}
	return s
}

// edits returns what the log makes of the values, less what changes nothing; a
// Clear counts as a change, because of keys that others may be adding. It appends to
// set, which is empty.
func (st *state) edits(set []record.Edit) record.Edits {
	e := record.Edits{Set: set}
	first := 0
	if n := len(st.wipes); n > 0 {
		first = st.wipes[n-1]
		e.Clear = true
		e.Keep = st.log[first].keep
		for _, w := range st.wipes[:n-1] { // a key must have been kept by each of them
			e.Keep = slices.DeleteFunc(slices.Clone(e.Keep), func(k string) bool {
				return !slices.Contains(st.log[w].keep, k)
			})
		}
	}
	for i := len(st.log) - 1; i >= first; i-- {
		l := &st.log[i]
		if !l.single() || l.kind == opSettled || st.later(i, l.name) {
			continue
		}
		v, ok := st.values.Find(l.name)
		if e.Clear && !slices.Contains(e.Keep, l.name) {
			ok = false
		}
		if ok == l.present && (!ok || string(v.Raw) == string(l.raw)) {
			continue
		}
		e.Set = append(e.Set, record.Edit{Name: l.name, Raw: l.raw, Delete: !l.present})
	}
	slices.SortFunc(e.Set, func(a, b record.Edit) int { return strings.Compare(a.Name, b.Name) })
	return e
}

// later reports whether an entry behind i has the last word on name.
func (st *state) later(i int, name string) bool {
	if st.index != nil {
		return st.index[name] != i
	}
	for j := i + 1; j < len(st.log); j++ {
		if l := &st.log[j]; l.single() && l.name == name {
			return true
		}
	}
	return false
}

// keys returns the names of what is there, sorted.
func (st *state) keys() []string {
	var names []string
	for v := range st.values.All() {
		names = append(names, string(v.Name))
	}
	for i := range st.log {
		if l := &st.log[i]; l.single() && l.present {
			names = append(names, l.name)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		_, ok, _ := st.find(name)
		return !ok
	})
}

// changesOwner reports whether the log has a login by another owner.
func (st *state) changesOwner() bool {
	return slices.ContainsFunc(st.log, func(e entry) bool { return e.kind == opLogin && e.clears })
}

// pending reports whether there is anything that has not been committed.
func (st *state) pending() bool {
	return slices.ContainsFunc(st.log, func(e entry) bool { return e.kind != opSettled })
}

// baseline returns the stored value of a key as the request knows it before
// its log entry i.
func (st *state) baseline(i int, name string) (raw []byte, ok bool) {
	for i--; i >= 0; i-- {
		if e := &st.log[i]; e.kind == opSettled && e.name == name {
			return e.raw, e.present
		}
	}
	v, ok := st.values.Find(name)
	return v.Raw, ok
}
