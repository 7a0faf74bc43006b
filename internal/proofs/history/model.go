package history

import (
	"fmt"
	"time"
)

// state is one session. The zero state is one that has ended.
type state struct {
	alive  bool
	values values
	owner  int8

	cur, prev, epoch int    // operations that issued credentials and changed privileges
	frozen           bool   // prev sees snap and snapOwner, and changes nothing
	snap             values // what it could read before
	snapOwner        int8

	// Where sessions end in this history: it may have ended from may on, unless it is
	// used, and has ended at must. The absolute end lies between first and last.
	may, must, first, last time.Duration
}

func (s state) String() string {
	if !s.alive {
		return "ended"
	}
	text := fmt.Sprintf("%v, owner %q, credential %d, before %d, privileges of %d", s.values, owners[s.owner], s.cur, s.prev, s.epoch)
	if s.frozen {
		text += fmt.Sprintf(", frozen %v", s.snap)
	}
	return text
}

// model says how operations follow one another.
type model struct {
	ops      []*op // the first one creates the session
	profile  profile
	margin   time.Duration // how much longer than its limit a session may live
	slack    time.Duration // how much shorter: requests overlap
	rounding time.Duration // of times in a record
}

// start is the state after the first operation.
func (m *model) start() state {
	o := m.ops[0]
	s := state{alive: true, values: o.values, prev: -1}
	return m.prolonged(m.newLifetime(s, o), o, true)
}

// newLifetime starts an absolute lifetime.
func (m *model) newLifetime(s state, o *op) state {
	if m.profile.timed() {
		s.first, s.last = o.begin+m.profile.lifetime, o.end+m.profile.lifetime
	}
	return s
}

// prolonged is s after a write, which is activity; surely, or perhaps.
func (m *model) prolonged(s state, o *op, surely bool) state {
	if !m.profile.timed() {
		return s
	}
	if surely {
		s.may = min(max(s.may, o.begin+m.profile.idle), s.first)
	}
	s.must = min(max(s.must, o.end+m.profile.idle), s.last)
	return s
}

// mayHaveEnded and mustHaveEnded are about time alone.
func (m *model) mayHaveEnded(s *state, o *op) bool {
	return m.profile.timed() && o.end+m.slack >= s.may
}

func (m *model) mustHaveEnded(s *state, o *op) bool {
	return m.profile.timed() && o.begin > s.must+m.margin
}

// inGrace and pastGrace report whether o may have come before the end of the grace
// after the last rotation, and after it.
func (m *model) inGrace(s *state, o *op) bool {
	return o.begin < m.ops[s.cur].end+m.profile.grace+m.rounding
}

func (m *model) pastGrace(s *state, o *op) bool {
	return o.end > m.ops[s.cur].begin+m.profile.grace-m.rounding
}

// step returns the state after o, if o may come next.
func (m *model) step(s state, o *op) (state, bool) {
	switch {
	case o.other:
		return s, false
	case o.kind == load:
		return m.load(s, o)
	case o.kind == touch:
		return m.touched(s, o), true
	case o.out == gone:
		return state{}, !s.alive || m.mayHaveEnded(&s, o)
	case o.kind.ends() && o.out == superseded:
		return s, m.superseded(&s, o)
	case o.kind.ends():
		return state{}, true
	case o.out == unknown:
		if s.alive && s.epoch == o.cred.epoch {
			s, _ = m.change(s, o)
		}
		return s, true
	case !s.alive || m.mustHaveEnded(&s, o):
		return s, false
	}
	switch o.out {
	case superseded:
		return s, m.superseded(&s, o)
	case conflict: // something has changed what it had read
		return s, o.kind == replace && s.values[o.keys[0]] != o.got
	case refused:
		return s, s.values[o.keys[0]]%2 != 0
	}
	if s.epoch != o.cred.epoch {
		return s, false
	}
	return m.change(s, o)
}

// superseded reports whether a credential has no rights any more: privileges have
// changed, or it is older than the one before.
func (m *model) superseded(s *state, o *op) bool {
	return s.alive && (s.epoch != o.cred.epoch || o.cred.id != s.cur && o.cred.id != s.prev)
}

func (m *model) load(s state, o *op) (state, bool) {
	current := o.cred.id == s.cur
	switch {
	case !s.alive:
		return s, o.isNew
	case o.isNew && !current && m.pastGrace(&s, o):
		return s, true
	case o.isNew:
		return state{}, m.mayHaveEnded(&s, o)
	case m.mustHaveEnded(&s, o), !current && !m.inGrace(&s, o):
		return s, false
	case current, o.cred.id == s.prev && !s.frozen:
		return s, o.sees(s.values, s.owner)
	case o.cred.id == s.prev:
		return s, !o.writes && o.sees(s.snap, s.snapOwner)
	default: // older: it sees nothing, but is not answered as a visitor without a session
		return s, !o.writes && o.sees(values{}, 0)
	}
}

// sees reports whether o saw these values, if it looked, and this owner.
func (o *op) sees(v values, owner int8) bool {
	return (!o.found || o.values == v) && o.owner == owner
}

// touched is s after the commit of a request that wrote nothing. A touch comes when a
// tenth of the limit has passed since the last one, and not with a credential that has
// no rights.
func (m *model) touched(s state, o *op) state {
	if !s.alive || m.mustHaveEnded(&s, o) {
		return s
	}
	if o.out == done && !o.stale && !m.superseded(&s, o) && !m.mayHaveEnded(&s, o) {
		s.may = min(max(s.may, o.begin+m.profile.idle-m.profile.idle/10-m.slack), s.first)
	}
	s.must = min(max(s.must, o.end+m.profile.idle), s.last)
	return s
}

// change applies o to s, and reports whether it was answered rightly.
func (m *model) change(s state, o *op) (state, bool) {
	was := s
	asked, right := m.asked(&s, o)
	if !right {
		return s, o.out == unknown
	}
	for _, k := range asked {
		s.values[k] = o.value
	}
	s = m.prolonged(s, o, s.values != was.values || s.cur != was.cur)
	return s, !o.found || o.values == s.values
}

// asked applies what o does by its kind, and returns the keys that are to be set.
// right is false when it does not go on s: the answer is another one, or nothing
// happens where there is none.
func (m *model) asked(s *state, o *op) (keys []int, right bool) {
	known := o.out == done
	var v *int32
	if len(o.keys) > 0 {
		v = &s.values[o.keys[0]]
	}
	switch o.kind {
	case set:
		return o.keys, true
	case update, claim:
		if o.kind == claim && *v%2 != 0 {
			return nil, false
		}
		*v++
		return nil, !known || o.got == *v || o.got == 0
	case pair:
		s.values[0]++
		s.values[1]++
		return nil, true
	case replace:
		return o.keys, *v == o.got
	case take:
		had := *v
		*v = 0
		return nil, !known || o.got == had
	case getOrSet:
		if *v == 0 {
			*v = o.value
		}
		return nil, !known || o.got == *v
	case remove:
		*v = 0
		return nil, true
	case clearAll:
		s.values = values{}
		return nil, true
	case rotate:
		return o.keys, m.rotate(s, o)
	case elevate, login:
		m.raise(s, o)
		return o.keys, true
	default:
		return nil, false
	}
}

// rotate replaces the credential by one as good: once, and not soon after the last.
func (m *model) rotate(s *state, o *op) bool {
	issued := m.ops[s.cur]
	late := o.end >= issued.begin+m.profile.grace-m.rounding
	soon := o.begin < issued.end+m.profile.grace+m.rounding
	switch {
	case o.out == done && !o.rotated:
		return o.cred.id != s.cur || soon
	case o.cred.id != s.cur || !late:
		return false
	}
	s.prev, s.cur = s.cur, o.id
	s.frozen, s.snap, s.snapOwner = false, values{}, 0
	return true
}

// raise changes privileges: the credential before keeps a look at what was there,
// unless that is another owner's now.
func (m *model) raise(s *state, o *op) {
	s.prev, s.cur, s.epoch = s.cur, o.id, o.id
	s.frozen, s.snap, s.snapOwner = true, s.values, s.owner
	if o.kind == elevate {
		return
	}
	if s.owner != 0 && s.owner != o.owner {
		s.values, s.snap, s.snapOwner = values{}, values{}, 0
	}
	s.owner = o.owner
	*s = m.newLifetime(*s, o)
}
