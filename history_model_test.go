package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// rigModel is one request and what it has to see and to leave behind: a few maps,
// and none of the machinery.
type rigModel struct {
	h    *rigHistory
	r    *rig
	q    *rigRequest
	keys []session.Typed[int]

	cookie string   // of the session; empty once it is another one
	gone   []string // cookies of sessions that were destroyed

	view  map[string]int // as the request sees it
	owner string

	stored map[string]int // what a Discard would leave
	kept   string         // the owner, in the same way
	sent   map[string]int // what may be stored instead: an answer was lost

	clears  bool // pending: removes what other requests have added
	foreign bool // pending: a login by another owner

	theirs     int // what another request has counted in its own key
	uncounted  bool
	failing    bool // the store loses answers
	theirCount session.Typed[int]
}

func newRigModel(h *rigHistory) *rigModel {
	m := &rigModel{
		h: h, r: newRig(h),
		view: map[string]int{}, stored: map[string]int{},
		theirCount: session.Key[int]("theirs"),
	}
	for i := range []int{4, 12}[h.rnd.IntN(2)] { // above and below what the log has an index for
		m.keys = append(m.keys, session.Key[int](fmt.Sprint("key ", i)))
	}
	if !h.once(4) {
		m.cookie = m.r.request("", func(q *rigRequest) {
			for i, k := range m.keys {
				if i == 0 || h.once(2) {
					m.view[k.Name()] = h.rnd.IntN(5)
					q.set(k, m.view[k.Name()])
				}
			}
			if h.once(2) {
				m.owner = "alice"
				q.login(m.owner)
			}
		})
	}
	m.saved()
	m.q = m.r.open(m.cookie)
	return m
}

// saved notes that the whole log has been committed.
func (m *rigModel) saved() {
	m.stored, m.kept = maps.Clone(m.view), m.owner
	if m.clears || m.foreign {
		m.theirs = 0
	}
	m.clears, m.foreign = false, false
}

// settled notes that one key has been committed, unless err says otherwise.
func (m *rigModel) settled(err error, change func(values map[string]int)) {
	next := maps.Clone(m.stored)
	switch {
	case err == nil && m.foreign: // waits for the login
		change(m.view)
	case err == nil:
		change(m.view)
		change(m.stored)
	case errors.Is(err, session.ErrUnknown) && !m.foreign:
		change(next)
		m.sent = next
	}
}

// blame accepts an error that a failure of the store explains.
func (m *rigModel) blame(err error) {
	if err != nil {
		require.ErrorIs(m.h, err, errRig)
		require.True(m.h, m.failing)
	}
}

// step does one thing and compares.
func (m *rigModel) step() error {
	h, q := m.h, m.q
	k := m.keys[h.rnd.IntN(len(m.keys))]
	name, v := k.Name(), h.rnd.IntN(5)
	want, had := m.view[name]
	var got any = "done"
	var err error
	verb := [...]string{
		"set", "set", "delete", "update", "update", "get or set", "get or set", "take", "take",
		"save", "lookup", "keys", "beside", "beside", "rarely",
	}[h.rnd.IntN(15)]
	if verb == "rarely" {
		verb = [...]string{"clear", "login", "elevate", "rotate", "destroy"}[h.rnd.IntN(5)]
	}
	switch verb {
	case "set":
		err = k.Set(q.ctx, v)
		m.view[name] = v
	case "delete":
		err = k.Delete(q.ctx)
		delete(m.view, name)
	case "update":
		got, err = k.Update(q.ctx, func(n *int) error { *n += v; return nil })
		m.view[name] += v
		require.Equal(h, m.view[name], got, "update of %s", name)
	case "get or set":
		got, err = k.GetOrSet(q.ctx, func() (int, error) { return v, nil })
		if !had {
			want = v
			m.settled(err, func(values map[string]int) { values[name] = v })
		}
		if err == nil {
			require.Equal(h, want, got, "get or set of %s", name)
		}
	case "take":
		var ok bool
		got, ok, err = k.Take(q.ctx)
		if had {
			m.settled(err, func(values map[string]int) { delete(values, name) })
		}
		if err == nil {
			require.Equal(h, had, ok, "take of %s", name)
			require.Equal(h, want, got, "take of %s", name)
		}
	case "save":
		err = q.s.Save(q.ctx)
		m.committed(err)
	case "lookup":
		var ok bool
		got, ok, err = k.Lookup(q.ctx)
		require.Equal(h, had, ok, "lookup of %s", name)
		require.Equal(h, want, got, "lookup of %s", name)
	case "keys":
		var names []string
		names, err = q.s.Keys(q.ctx)
		names = slices.DeleteFunc(names, func(name string) bool { return name == m.theirCount.Name() })
		require.True(h, slices.Equal(slices.Sorted(maps.Keys(m.view)), names), "keys %q instead of %v", names, m.view)
	case "beside":
		m.beside()
	case "clear":
		err = q.s.Clear(q.ctx)
		clear(m.view)
		m.clears = true
	case "login":
		owner := []string{"alice", "bob"}[v%2]
		err = q.s.Login(q.ctx, owner)
		if m.owner != "" && m.owner != owner {
			clear(m.view)
			m.foreign = true
		}
		m.owner, got = owner, owner
	case "elevate":
		err = q.s.Elevate(q.ctx)
	case "rotate":
		err = q.s.Rotate(q.ctx)
	case "destroy":
		err = q.s.Destroy(q.ctx)
		clear(m.view)
		m.owner, m.clears = "", true
		m.saved()
		if m.cookie != "" {
			m.gone, m.cookie = append(m.gone, m.cookie), ""
		}
	}
	h.note("%s %s %d: %v, %v", verb, name, v, got, err)
	return err
}

// beside lets another request count in a key of its own.
func (m *rigModel) beside() {
	if m.cookie == "" {
		return
	}
	o := m.r.open(m.cookie)
	_, err := m.theirCount.Update(o.ctx, func(n *int) error { *n++; return nil })
	if err == nil {
		_, err = o.commit()
	}
	switch {
	case err == nil:
		m.theirs++
	case errors.Is(err, session.ErrUnknown):
		m.uncounted = true
	default: // this request has changed privileges
		require.ErrorIs(m.h, err, session.ErrSuperseded)
	}
	m.h.note("the other one: %v", err)
}

// committed notes the outcome of a commit of the whole log.
func (m *rigModel) committed(err error) {
	switch {
	case err == nil:
		m.saved()
	case errors.Is(err, session.ErrUnknown):
		m.sent, m.uncounted = maps.Clone(m.view), true
	}
}

// check compares what the request has left behind.
func (m *rigModel) check(ticket session.Ticket) {
	m.r.store.Hook(nil)
	for _, cookie := range m.gone {
		require.True(m.h, m.r.open(cookie).info().New, "destroyed, and alive")
	}
	cookie := m.cookie
	if ticket.Action() != session.ActionNone {
		cookie = ticket.Credential()
	}
	p := m.r.open(cookie)
	names, err := p.s.Keys(p.ctx)
	require.NoError(m.h, err)
	values := map[string]int{}
	for _, name := range names {
		values[name] = p.get(session.Key[int](name))
	}
	theirs := values[m.theirCount.Name()]
	delete(values, m.theirCount.Name())
	if m.sent != nil && maps.Equal(m.sent, values) {
		return
	}
	require.Equal(m.h, m.stored, values)
	require.Equal(m.h, m.kept, p.info().Owner)
	if !m.uncounted {
		require.Equal(m.h, m.theirs, theirs, "changes of the other request")
	}
}

// One request, whatever it does, sees and leaves behind what the simplest model
// does; a Discard, what was done at once. Another request adds to the session
// meanwhile, and in half of the histories the store fails.
func TestHistoriesOfOneRequest(t *testing.T) {
	rigHistories(t, 200, 1, func(h *rigHistory) {
		m := newRigModel(h)
		if m.failing = h.seed%2 == 1; m.failing {
			lose := rigLosing(h.once, 4, math.MaxInt)
			m.r.store.Hook(func(ctx context.Context, c *spy.Call) {
				if c.Op == spy.Insert && h.once(4) {
					c.Err = errRig
					return
				}
				lose(ctx, c)
			})
		}
		var err error
		for range 10 + h.rnd.IntN(40) {
			if err = m.step(); rigOver(err) {
				break
			}
			m.blame(err)
		}
		var ticket session.Ticket
		switch {
		case rigOver(err) || h.once(3):
			ticket, _ = m.r.m.Discard(m.q.ctx, m.q.s)
			h.note("discard: %v", ticket)
		default:
			ticket, err = m.q.commit()
			m.committed(err)
			h.note("commit: %v, %v", ticket, err)
		}
		m.blame(err)
		m.check(ticket)
	})
}
