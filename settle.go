package session

import (
	"context"
	"fmt"
	"slices"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// settlement commits one key at once and leaves the rest of the log for later:
// GetOrSet inserts a value where there is none, Take removes one.
type settlement struct {
	insert bool
	raw    []byte                 // to insert
	check  func(raw []byte) error // what is taken must pass it
	name   string
}

// settle returns the value of the key: the one inserted or found, or the one
// that was taken.
func (s *Session) settle(ctx context.Context, d *declaration, t *settlement) (raw []byte, ok bool, err error) {
	if d.err != nil {
		return nil, false, d.err
	}
	if err := s.enterChange(ctx); err != nil {
		return nil, false, err
	}
	defer s.leave()
	if err := s.badness(d); err != nil && t.insert {
		return nil, false, err
	}
	t.name = d.name
	if s.state.changesOwner() {
		return s.settleLater(t)
	}
	out, err := s.write(ctx, builder{s: s, settle: t})
	if err != nil {
		return nil, false, s.failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return out.raw, out.ok, s.settled(t, &out)
}

// settleLater does in the log what settle does at once. Behind a login by another
// owner there is nobody to race with: what is stored is somebody else's, and the new
// owner's session exists with the commit.
func (s *Session) settleLater(t *settlement) (raw []byte, ok bool, err error) {
	raw, ok, _ = s.state.find(t.name)
	if ok == t.insert {
		return raw, ok, nil
	}
	e := entry{kind: opDelete, name: t.name}
	if t.insert {
		e = entry{kind: opSet, name: t.name, raw: t.raw, present: true}
		raw, ok = t.raw, true
	} else if err := t.check(raw); err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return raw, ok, s.append(e)
}

// buildSettlement applies t on top of the log, and stores the one key.
func (s *Session) buildSettlement(t *settlement, env *record.View, cur *store.Record) (outcome, error) {
	if env.Epoch != s.base.Epoch {
		return outcome{}, ErrSuperseded
	}
	st, conflicts, err := s.onto(env, cur)
	switch {
	case err != nil:
		return outcome{}, err
	case slices.Contains(conflicts, t.name): // the others are for the commit to report
		return outcome{}, &ConflictError{Keys: []string{t.name}}
	}
	raw, ok, _ := st.find(t.name)
	edit := record.Edit{Name: t.name, Delete: true}
	switch {
	case t.insert && ok, !t.insert && !ok:
		return outcome{rec: *cur, skip: true, raw: raw, ok: ok}, nil
	case t.insert:
		raw, edit.Raw, edit.Delete = t.raw, t.raw, false
	default:
		if err := t.check(raw); err != nil {
			return outcome{}, err
		}
	}
	if _, stored := env.Values.Find(t.name); edit.Delete && !stored { // set and taken within one request
		return outcome{rec: *cur, skip: true, raw: raw, ok: true, applied: true}, nil
	}
	out, err := s.frame(env, cur, &record.Edits{Set: []record.Edit{edit}}, rotateNone, nil)
	out.raw, out.ok, out.applied = raw, true, true
	return out, err
}

// settled shows the result of a settlement to the rest of the request. The
// other keys stay as they were loaded, so that the commit can still tell what has
// changed since. s.mu is held.
func (s *Session) settled(t *settlement, out *outcome) error {
	var err error
	if out.rec.Version != s.rec.Version {
		s.behind = true
		err = s.stored(out)
	}
	if !out.applied && !s.state.undecided(t.name) {
		return err // what the log says about the key is still to be committed
	}
	kept := s.state.log[:0:0]
	for _, e := range s.state.log {
		if e.single() && e.name == t.name {
			continue
		}
		if e.kind == opClear && !slices.Contains(e.keep, t.name) {
			e.keep = append(slices.Clip(e.keep), t.name)
		}
		kept = append(kept, e)
	}
	present := out.ok && t.insert
	e := entry{kind: opSettled, name: t.name, present: present, rooted: true}
	if present {
		e.raw = out.raw
	}
	s.rebuild(append(kept, e))
	s.mark(readMark{name: t.name})
	if !present {
		delete(s.bad, t.name)
	}
	return err
}

// rebuild replaces the log. s.mu is held.
func (s *Session) rebuild(log []entry) {
	st := &s.state
	st.reset(st.values, s.m.ownerOf(&s.rec, s.base.Owner), nil)
	for _, e := range log {
		st.add(e)
	}
	s.rev++
}

// stored takes over what a write has stored. s.mu is held. It fails when the
// visitor cannot get the credential any more: the response began meanwhile.
func (s *Session) stored(out *outcome) error {
	if s.isNew {
		s.isNew, s.issue = false, true
		s.key = out.cred.storeKey(&s.m.scopeHash)
		if view, err := record.Parse(out.rec.Data); err == nil {
			s.base = view.Meta
		}
	}
	s.rec = out.rec
	if out.cred != nil {
		s.cred, s.nextCred, s.issue = *out.cred, nil, true
		s.presented = s.cred.secretHash()
		s.candidates = 1
		if s.sent {
			s.fail = fmt.Errorf("%w: stored under a credential that nobody has", ErrHeadersSent)
			return s.fail
		}
	}
	return nil
}

// failed remembers errors after which the session cannot go on.
func (s *Session) failed(err error) error {
	if !isFinal(err) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
	return err
}
