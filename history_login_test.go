package session_test

import (
	"encoding/base64"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// rigUser is a request in a history of logins.
type rigUser struct {
	*rigRequest
	id int

	// Of histories of epochs.
	session string          // the ID, empty before it is stored
	epoch   int             // privilege changes before this request's credential
	late    bool            // opened after the session had been destroyed
	raised  bool            // pending: a change of privileges
	own     map[string]bool // pending: keys it has set
}

// rigLogins is a history of logins in one browser after the other.
type rigLogins struct {
	h        *rigHistory
	r        *rig
	keys     []session.Typed[string]
	cookies  []rigCookie
	requests []*rigUser
	opened   int
	seq      int             // of values
	loose    map[string]bool // values that GetOrSet has put into nobody's session

	epochs map[string]int
	since  map[string][]int // seq when each epoch began
	gone   map[string]bool
}

type rigCookie struct {
	text    string
	session string
	epoch   int
}

func newRigLogins(h *rigHistory, first func(q *rigRequest)) *rigLogins {
	l := &rigLogins{
		h: h, r: newRig(h),
		keys:   []session.Typed[string]{session.Key[string]("x"), session.Key[string]("y"), session.Key[string]("z")},
		loose:  map[string]bool{},
		epochs: map[string]int{}, since: map[string][]int{}, gone: map[string]bool{},
	}
	text := l.r.request("", first)
	id := l.r.open(text).info().ID
	l.cookies = []rigCookie{{text: text, session: id}}
	l.since[id] = []int{0}
	return l
}

// open begins a request with one of the latest cookies.
func (l *rigLogins) open() *rigUser {
	c := l.cookies[len(l.cookies)-1-l.h.rnd.IntN(min(len(l.cookies), 4))]
	l.opened++
	q := &rigUser{
		rigRequest: l.r.open(c.text), id: l.opened,
		session: c.session, epoch: c.epoch, late: l.gone[c.session], own: map[string]bool{},
	}
	l.h.note("request %d opens %.4s of epoch %d", q.id, c.session, c.epoch)
	return q
}

// run lets three requests at a time take steps; an ended one is followed by
// another.
func (l *rigLogins) run(step func(q *rigUser), end func(q *rigUser, cookie string, err error)) {
	l.requests = []*rigUser{l.open(), l.open(), l.open()}
	for range 55 {
		i := l.h.rnd.IntN(3)
		q := l.requests[i]
		if !l.h.once(8) {
			step(q)
			continue
		}
		ticket, err := q.commit()
		l.h.note("request %d commits: %v, %v", q.id, ticket, err)
		end(q, ticket.Credential(), err)
		_ = l.r.m.Finish(q.ctx, q.s)
		l.requests[i] = l.open()
	}
}

// rotate changes the credential, or what it is for.
func (l *rigLogins) rotate(q *rigUser) {
	if l.h.once(2) {
		l.h.note("request %d rotates: %v", q.id, q.s.Rotate(q.ctx))
		return
	}
	e := []session.Expiry{session.OnInactivity(30 * time.Minute), session.OnSessionEnd()}[l.h.rnd.IntN(2)]
	l.h.note("request %d expects %v: %v", q.id, e, q.s.SetExpiry(q.ctx, e))
}

// value makes a value that names the owner in whose session it is put.
func (l *rigLogins) value(q *rigUser) (text, owner string, ok bool) {
	info, err := q.s.Info(q.ctx)
	if err != nil {
		return "", "", false
	}
	l.seq++
	return info.Owner + "/" + strconv.Itoa(l.seq), info.Owner, true
}

// may checks that a value which an owner sees is not the other one's.
func (l *rigLogins) may(owner, text string) {
	made, _, _ := strings.Cut(text, "/")
	if made != "" && owner != "" && !l.loose[text] {
		require.Equal(l.h, made, owner, "%s sees %q", owner, text)
	}
}

// ownerless reports whether the session of q is stored, and as nobody's.
func (l *rigLogins) ownerless(q *rigUser) bool {
	id := q.info().ID
	if id == "" {
		return false
	}
	key, err := base64.RawURLEncoding.DecodeString(id)
	require.NoError(l.h, err)
	rec, err := l.r.inner.Load(q.ctx, store.Key(key))
	return err == nil && rec.Owner == ""
}

func (l *rigLogins) ownerStep(q *rigUser) {
	h := l.h
	k := l.keys[h.rnd.IntN(len(l.keys))]
	text, owner, ok := l.value(q)
	if !ok {
		return
	}
	var err error
	verb := [...]string{
		"set", "set", "set", "update", "lookup", "lookup", "lookup", "get or set", "get or set", "take",
		"login", "elevate", "rotate", "clear", "save", "destroy", "pass",
	}[h.rnd.IntN(17)]
	got := ""
	switch verb {
	case "set":
		got, err = text, k.Set(q.ctx, text)
	case "update":
		got, err = k.Update(q.ctx, func(s *string) error {
			l.may(owner, *s)
			*s = text
			return nil
		})
	case "lookup":
		got, _, err = k.Lookup(q.ctx)
		l.may(owner, got)
	case "get or set":
		got, err = k.GetOrSet(q.ctx, func() (string, error) { return text, nil })
		if got == text && owner != "" && l.ownerless(q) {
			l.loose[text] = true // before the login has happened
		}
		l.may(owner, got)
	case "take":
		got, _, err = k.Take(q.ctx)
		l.may(owner, got)
	case "login":
		got = []string{"alice", "bob"}[h.rnd.IntN(2)]
		err = q.s.Login(q.ctx, got)
	case "elevate":
		err = q.s.Elevate(q.ctx)
	case "rotate":
		l.rotate(q)
	case "clear":
		err = q.s.Clear(q.ctx)
	case "save":
		err = q.s.Save(q.ctx)
	case "destroy":
		if h.once(3) {
			err = q.s.Destroy(q.ctx)
		}
	case "pass":
		h.pass(25)
	}
	h.note("request %d of %q: %s %s %q: %v", q.id, owner, verb, k.Name(), got, err)
}

// Two people log in and out of the same browsers, in requests that overtake each
// other, with credentials of all ages. Nobody ever reads a value that was put into
// the other one's session.
func TestPromise3_HistoriesOfTwoOwners(t *testing.T) {
	rigHistories(t, 100, 1, func(h *rigHistory) {
		l := newRigLogins(h, func(q *rigRequest) {
			require.NoError(h, session.Key[string]("x").Set(q.ctx, "/0"))
			if h.once(2) {
				q.login("alice")
			}
		})
		if h.seed%2 == 1 {
			l.r.store.Hook(rigLosing(h.once, 5, math.MaxInt))
		}
		l.run(l.ownerStep, func(_ *rigUser, cookie string, _ error) {
			if cookie != "" {
				l.cookies = append(l.cookies, rigCookie{text: cookie})
			}
		})
	})
}

// flushed notes that a request has committed its log, and checks that it was
// allowed to.
func (l *rigLogins) flushed(q *rigUser) {
	moved := l.moved(q)
	if !moved && (q.raised || len(q.own) > 0) {
		l.mayWrite(q)
	}
	if !moved && q.raised {
		l.epochs[q.session]++
		q.epoch = l.epochs[q.session]
		l.since[q.session] = append(l.since[q.session], l.seq)
	}
	q.raised, q.own = false, map[string]bool{}
}

// moved notices that a request has got another session.
func (l *rigLogins) moved(q *rigUser) bool {
	id := q.info().ID
	if id == "" || id == q.session {
		return id == ""
	}
	q.session, q.epoch, q.late = id, 0, false
	l.since[id] = []int{0}
	return true
}

func (l *rigLogins) mayWrite(q *rigUser) {
	require.False(l.h, l.gone[q.session], "request %d has written into a destroyed session", q.id)
	require.Equal(l.h, l.epochs[q.session], q.epoch, "request %d has written after a change of privileges", q.id)
}

// mayRead checks a value that was read, and not set by the request itself.
func (l *rigLogins) mayRead(q *rigUser, text string) {
	require.False(l.h, q.late, "request %d reads a session that had been destroyed before it", q.id)
	n, err := strconv.Atoi(text)
	require.NoError(l.h, err)
	if q.epoch < l.epochs[q.session] {
		require.LessOrEqual(l.h, n, l.since[q.session][q.epoch+1],
			"request %d of epoch %d reads what is newer", q.id, q.epoch)
	}
}

func (l *rigLogins) epochStep(q *rigUser) {
	h := l.h
	k := l.keys[h.rnd.IntN(len(l.keys))]
	name := k.Name()
	l.seq++
	text := strconv.Itoa(l.seq)
	var err error
	verb := [...]string{
		"set", "set", "set", "lookup", "lookup", "lookup", "get or set", "take",
		"login", "elevate", "rotate", "save", "destroy", "pass",
	}[h.rnd.IntN(14)]
	switch verb {
	case "set":
		if err = k.Set(q.ctx, text); err == nil {
			q.own[name] = true
		}
	case "lookup":
		var ok bool
		if text, ok, err = k.Lookup(q.ctx); ok && !q.own[name] {
			l.mayRead(q, text)
		}
	case "get or set":
		var got string
		got, err = k.GetOrSet(q.ctx, func() (string, error) { return text, nil })
		if err == nil && got == text && !l.moved(q) {
			l.mayWrite(q)
		}
	case "take":
		var ok bool
		text, ok, err = k.Take(q.ctx)
		if err != nil {
			break
		}
		if !l.moved(q) && ok && !q.own[name] {
			l.mayWrite(q)
			l.mayRead(q, text)
		}
		delete(q.own, name)
	case "login":
		err = q.s.Login(q.ctx, "alice")
		q.raised = q.raised || err == nil
	case "elevate":
		info, _ := q.s.Info(q.ctx)
		err = q.s.Elevate(q.ctx)
		q.raised = q.raised || err == nil && !info.New
	case "rotate":
		l.rotate(q)
	case "save":
		if err = q.s.Save(q.ctx); err == nil {
			l.flushed(q)
		}
	case "destroy":
		if !h.once(4) {
			return
		}
		info, _ := q.s.Info(q.ctx)
		if err = q.s.Destroy(q.ctx); err == nil {
			l.gone[info.ID] = !info.New
			q.session, q.epoch, q.late = "", 0, false
			q.raised, q.own = false, map[string]bool{}
		}
	case "pass":
		h.pass(35)
	}
	h.note("request %d in %.4s: %s %s %s: %v", q.id, q.session, verb, name, text, err)
}

// Requests with credentials of all ages beside logins, elevations and logouts.
// Whoever was there before a change of privileges writes nothing after it and
// reads nothing newer; after a logout nobody writes, and nobody new reads.
func TestPromise2_HistoriesOfEpochs(t *testing.T) {
	rigHistories(t, 100, 1, func(h *rigHistory) {
		l := newRigLogins(h, func(q *rigRequest) {
			require.NoError(h, session.Key[string]("x").Set(q.ctx, "0"))
		})
		l.run(l.epochStep, func(q *rigUser, cookie string, err error) {
			if err == nil {
				l.flushed(q)
			}
			if cookie != "" {
				l.cookies = append(l.cookies, rigCookie{text: cookie, session: q.session, epoch: q.epoch})
			}
		})
	})
}
