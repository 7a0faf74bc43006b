package integration_test

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// The model of a storm knows of each session what was done to it, and when, by a
// clock of this process. Requests overlap, so it does not know everything: only what
// is certain in every order of those that overlap is held against a store.

// stormSpan is the time from before something began until after it had ended.
type stormSpan struct{ from, to int64 }

func (s stormSpan) before(t stormSpan) bool { return s.to < t.from }

func (s stormSpan) overlaps(t stormSpan) bool { return s.from < t.to && t.from < s.to }

// stormLogin is a request that logged in.
type stormLogin struct {
	stormSpan
	owner string
	begun int64        // Login had returned
	same  *stormRevoke // called in the same request, after Login
	sure  bool         // it was answered; otherwise it may have happened
}

// stormEnd is what ended a session.
type stormEnd struct {
	stormSpan
	sure bool
}

// stormRevoke is a call of RevokeOwner.
type stormRevoke struct {
	stormSpan
	owner  string
	except []string
	sure   bool
}

// stormSession is what is known about a session with a handle.
type stormSession struct {
	id          string
	credentials []string // all that were ever issued
	shared      bool     // several goroutines use it
	logins      []stormLogin
	ends        []stormEnd // without those by a revocation, until they are worked out
}

// stormSight is one look at a session, or at those of an owner.
type stormSight struct {
	stormSpan
	session *stormSession
	owner   string   // as it was seen, or whose were asked for
	gone    bool     // it was not there any more
	loose   bool     // perhaps by a credential that has been superseded: it does not say whose it is
	ids     []string // of a listing

	// Of a session that was gone:
	known int64        // when it was there last
	login string       // the owner that the request was logging in
	same  *stormRevoke // what the request itself called
}

type stormModel struct {
	now atomic.Int64

	mu       sync.Mutex
	sessions map[string]*stormSession
	revokes  []*stormRevoke
	sights   []stormSight
	listings []stormSight
	refused  []stormSpan // logins; for a moment their sessions, without a known handle, were in the index
}

func newStormModel() *stormModel { return &stormModel{sessions: map[string]*stormSession{}} }

// tick returns a time that is later than all before.
func (m *stormModel) tick() int64 { return m.now.Add(1) }

// session returns what is known about a session. m.mu is held.
func (m *stormModel) session(id string) *stormSession {
	s, ok := m.sessions[id]
	if !ok {
		s = &stormSession{id: id}
		m.sessions[id] = s
	}
	return s
}

// moved reports whether s may have ended, or become another's, since a login and
// before a time.
func (s *stormSession) moved(x stormLogin, until int64) bool {
	return slices.ContainsFunc(s.logins, func(y stormLogin) bool {
		return y.owner != x.owner && y.to > x.from && y.from < until
	}) || slices.ContainsFunc(s.ends, func(e stormEnd) bool { return e.to > x.from && e.from < until })
}

// owned reports whether s certainly was owner's all the time.
func (s *stormSession) owned(owner string, at stormSpan) bool {
	return slices.ContainsFunc(s.logins, func(x stormLogin) bool {
		return x.sure && x.owner == owner && x.before(at) && !s.moved(x, at.to)
	})
}

// ended reports whether s had certainly ended before.
func (s *stormSession) ended(at stormSpan) bool {
	return slices.ContainsFunc(s.ends, func(e stormEnd) bool { return e.sure && e.before(at) })
}

// disowned reports whether s certainly was not owner's at any time.
func (s *stormSession) disowned(owner string, at stormSpan) bool {
	return s.ended(at) || !slices.ContainsFunc(s.logins, func(x stormLogin) bool {
		return x.owner == owner && x.from < at.to && !s.passedOn(x, at.from)
	})
}

// passedOn reports whether s certainly became another's after a login and before a
// time.
func (s *stormSession) passedOn(x stormLogin, until int64) bool {
	return slices.ContainsFunc(s.logins, func(y stormLogin) bool {
		return y.sure && y.owner != x.owner && x.before(y.stormSpan) && y.to < until
	})
}

// spared reports whether a revocation cannot have ended s. It was there still where
// it became another's, at whatever time, and then it was out of reach.
func (s *stormSession) spared(r *stormRevoke) bool {
	return slices.Contains(r.except, s.id) || !slices.ContainsFunc(s.logins, func(x stormLogin) bool {
		return x.owner == r.owner && x.from < r.to && x.same != r && !s.passedOn(x, math.MaxInt64)
	})
}

// resolve adds what revocations have ended. It is called once, after the storm.
func (m *stormModel) resolve() {
	for _, s := range m.sessions {
		var revoked []stormEnd
		for _, r := range m.revokes {
			if s.spared(r) {
				continue
			}
			must := slices.ContainsFunc(s.logins, func(x stormLogin) bool {
				return x.sure && x.owner == r.owner && x.begun < r.from && x.same != r && !s.moved(x, r.to)
			})
			revoked = append(revoked, stormEnd{stormSpan: r.stormSpan, sure: must && r.sure})
		}
		s.ends = append(s.ends, revoked...)
	}
}

// check returns what is wrong with what was seen.
func (m *stormModel) check() (problems []error) {
	m.resolve()
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for i := range m.listings {
		for _, p := range m.checkListing(&m.listings[i]) {
			wrong("listing %d of %s at %v: %w", i, m.listings[i].owner, m.listings[i].stormSpan, p)
		}
	}
	for _, l := range m.sights {
		switch s := l.session; {
		case l.gone && !m.mayBeGone(&l):
			wrong("%v is gone at %v, and nobody ended it", s, l.stormSpan)
		case l.gone:
		case s.ended(l.stormSpan):
			wrong("%v is used at %v, after its end", s, l.stormSpan)
		case l.loose:
		case l.owner != "" && s.disowned(l.owner, l.stormSpan):
			wrong("%v belongs to %s at %v", s, l.owner, l.stormSpan)
		case slices.ContainsFunc(s.logins, func(x stormLogin) bool { return x.owner != l.owner && s.owned(x.owner, l.stormSpan) }):
			wrong("%v belongs to %q at %v", s, l.owner, l.stormSpan)
		}
	}
	return problems
}

// mayBeGone reports whether something else than the sight accounts for an end.
func (m *stormModel) mayBeGone(l *stormSight) bool {
	return slices.ContainsFunc(l.session.ends, func(e stormEnd) bool {
		return e.stormSpan != l.stormSpan && e.from < l.to && e.to > l.known
	}) || slices.ContainsFunc(m.revokes, func(r *stormRevoke) bool {
		return r.owner == l.login && r != l.same && r.overlaps(l.stormSpan)
	})
}

func (m *stormModel) checkListing(l *stormSight) (problems []error) {
	listed := map[string]bool{}
	unknown := 0
	for _, id := range l.ids {
		if listed[id] {
			problems = append(problems, fmt.Errorf("%s is there twice", id))
		}
		listed[id] = true
		if s, ok := m.sessions[id]; !ok {
			unknown++
		} else if s.disowned(l.owner, l.stormSpan) {
			problems = append(problems, fmt.Errorf("%v is there", s))
		}
	}
	for id, s := range m.sessions {
		if !listed[id] && s.owned(l.owner, l.stormSpan) {
			problems = append(problems, fmt.Errorf("%v is missing", s))
		}
	}
	for _, r := range m.refused {
		if r.overlaps(l.stormSpan) {
			unknown--
		}
	}
	if unknown > 0 {
		problems = append(problems, fmt.Errorf("%d sessions that nobody was given are there", unknown))
	}
	return problems
}

// String tells the history of s.
func (s *stormSession) String() string {
	text := "session " + s.id
	for _, x := range s.logins {
		text += fmt.Sprintf(", login of %s at %v (begun by %d, sure %t)", x.owner, x.stormSpan, x.begun, x.sure)
	}
	for _, e := range s.ends {
		text += fmt.Sprintf(", end at %v (sure %t)", e.stormSpan, e.sure)
	}
	return text
}
