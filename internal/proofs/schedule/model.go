package schedule

import "slices"

// The model of one session, in terms of what package session promises and of nothing
// of its machinery: a record is a few numbers, each transition happens at one moment.

// values are those of the keys.
type values [keyCount]int

// credential stands for a secret: 0 for none, 1 for the cookie of the beginning.
type credential int

// prev says what the credential before the current one is good for.
type prevMode uint8

const (
	prevNone   prevMode = iota
	prevAlias           // everything: a rotation
	prevFrozen          // reading what was there: a login
)

// stored is a session as it is stored.
type stored struct {
	alive   bool
	values  values
	owner   int
	epoch   int // changes of privileges
	cur     credential
	prev    credential
	mode    prevMode
	kept    values // prevFrozen: what prev may read
	keeper  int    // and as whose
	rotated bool   // just now
	used    bool   // its life has been lengthened
}

// empty are the values of a new session.
var empty = values{absent, absent, absent}

// entryKind is a change that waits for the commit.
type entryKind uint8

const (
	entrySet     entryKind = iota // value absent: deleted
	entryAdd                      // an Update: one more
	entryLogin                    // clears what is another owner's
	entrySettled                  // has been committed already, shows the request what came of it
)

type entry struct {
	kind     entryKind
	key      int
	value    int // as the request sees it
	observed bool
	rooted   bool // depends on what was loaded
	owner    int
	clears   bool
}

// rotation is a change of the credential that waits for the commit.
type rotation uint8

const (
	rotateNone rotation = iota
	rotateKeep
	rotateLogin
)

// readMark says that a request knows what is stored for a key.
type readMark uint8

const (
	unread readMark = iota
	read
	stale // and it has changed since
)

// visitor is one request of the model.
type visitor struct {
	id     int
	isNew  bool // holds a session that is not stored
	own    bool // holds the one that it has made, instead of that of the beginning
	frozen bool
	fail   failure // ends all use
	issue  bool    // the visitor gets the credential
	remove bool    // the visitor's cookie is removed

	base      stored // what it has loaded
	from      int    // which state of the session that was
	log       []entry
	reads     [keyCount]readMark
	rotate    rotation
	presented credential
	made      int // credentials
}

// world is everything that is stored.
type world struct {
	states []stored // of the session of the beginning, one after the other
	own    [maxRequests]stored
}

func newWorld(owned bool) world {
	s := stored{alive: true, values: values(first), cur: 1}
	if owned {
		s.owner = 1
	}
	return world{states: []stored{s}}
}

// at returns the states in which an answer of v may have its cause: those since it
// looked last. What has an effect happens in the last one.
func (w *world) at(v *visitor) []stored {
	if v.own {
		return w.own[v.id : v.id+1]
	}
	return w.states[v.from:]
}

func (w *world) put(v *visitor, s stored) {
	if v.own {
		w.own[v.id] = s
		return
	}
	w.states = append(slices.Clip(w.states), s)
	v.from = len(w.states) - 1
}

// credential makes a new one.
func (v *visitor) credential() credential {
	v.made++
	return credential(10*(v.id+1) + v.made)
}

// opens says what a credential is good for.
func (s *stored) opens(c credential) viewKind {
	switch {
	case !s.alive:
		return viewNothing
	case c == s.cur, c == s.prev && s.mode == prevAlias:
		return viewOpen
	case c == s.prev && s.mode == prevFrozen, s.rotated: // nothing is to be read, but the cookie is on its way
		return viewFrozen
	default:
		return viewNothing
	}
}

// view returns what a credential shows.
func (s *stored) view(c credential) view {
	v := view{kind: s.opens(c), values: empty}
	switch {
	case v.kind == viewOpen:
		v.values, v.owner, v.used = s.values, s.owner, s.used
	case v.kind == viewFrozen && c == s.prev:
		v.values, v.owner = s.kept, s.keeper
	}
	return v
}

// load is what a request begins with.
func (v *visitor) load(s stored) {
	v.presented = 1
	switch s.opens(v.presented) {
	case viewOpen:
		v.base = s
	case viewFrozen:
		seen := s.view(v.presented)
		v.base, v.frozen = stored{values: seen.values, owner: seen.owner}, true
	default:
		v.becomeNew()
	}
}

func (v *visitor) becomeNew() {
	*v = visitor{id: v.id, isNew: true, own: true, made: v.made, remove: v.remove, base: stored{values: empty}}
}

// find returns the value of a key as the request sees it, and whether it depends on
// what was loaded.
func (v *visitor) find(key int) (value int, rooted bool) {
	for _, e := range slices.Backward(v.log) {
		switch {
		case e.kind == entryLogin && e.clears:
			return absent, false
		case e.kind != entryLogin && e.key == key:
			return e.value, e.rooted
		}
	}
	return v.base.values[key], true
}

// owner returns the owner as the request sees it.
func (v *visitor) owner() int {
	for _, e := range slices.Backward(v.log) {
		if e.kind == entryLogin {
			return e.owner
		}
	}
	return v.base.owner
}

func (v *visitor) append(e entry) { v.log = append(slices.Clip(v.log), e) }

// pending reports whether the commit has anything to do.
func (v *visitor) pending() bool {
	return v.rotate != rotateNone || slices.ContainsFunc(v.log, func(e entry) bool { return e.kind != entrySettled })
}

func (v *visitor) logsIn() bool {
	return slices.ContainsFunc(v.log, func(e entry) bool { return e.kind == entryLogin })
}

// replayed is a log on top of a stored session.
type replayed struct {
	values    values
	owner     int
	conflicts [keyCount]bool
	conflict  bool
}

func (v *visitor) replay(on *stored) replayed {
	r := replayed{values: on.values, owner: on.owner}
	for i, e := range v.log {
		if e.observed && v.baseline(i, e.key) != on.values[e.key] {
			r.conflicts[e.key], r.conflict = true, true
		}
		switch e.kind {
		case entrySet:
			r.values[e.key] = e.value
		case entryAdd:
			r.values[e.key] = max(r.values[e.key], 0) + 1
		case entryLogin:
			if r.owner != 0 && r.owner != e.owner {
				r.values = empty
			}
			r.owner = e.owner
		case entrySettled:
		}
	}
	return r
}

// baseline returns what the request takes to be stored for a key before its entry i.
func (v *visitor) baseline(i, key int) int {
	for i--; i >= 0; i-- {
		if e := &v.log[i]; e.kind == entrySettled && e.key == key {
			return e.value
		}
	}
	return v.base.values[key]
}

// decides reports whether the log changes what is stored for a key.
func (v *visitor) decides(key int) bool {
	for _, e := range slices.Backward(v.log) {
		switch {
		case e.kind == entryLogin && e.clears:
			return true
		case e.kind != entryLogin && e.key == key:
			return e.kind != entrySettled
		}
	}
	return false
}
