package session

import (
	"context"
	"fmt"
	"slices"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// settlement commits the keys of one declaration at once and leaves the rest of
// the log for later: GetOrSet inserts values where there are none, Take removes
// them.
type settlement struct {
	insert [][]byte                    // by key, nil for none; nil for Take
	check  func(values []stored) error // what is taken must pass it
	names  []string                    // sorted
}

func (t *settlement) inserts() bool { return t.insert != nil }

// about reports whether t concerns a key.
func (t *settlement) about(name string) bool { return slices.Contains(t.names, name) }

// values returns what st has under the keys of t.
func (t *settlement) values(st *state) []stored {
	out := make([]stored, len(t.names))
	for i, name := range t.names {
		out[i].raw, out[i].ok, out[i].rooted = st.find(name)
	}
	return out
}

// inserted returns what there is once t has inserted.
func (t *settlement) inserted() []stored {
	out := make([]stored, len(t.names))
	for i, raw := range t.insert {
		out[i] = stored{raw: raw, ok: raw != nil}
	}
	return out
}

// names returns the keys that d is about, sorted.
func (d *declaration) names() []string {
	if d.plan == nil {
		return []string{d.name}
	}
	names := make([]string, len(d.plan.fields))
	for i := range names {
		names[i] = d.plan.fields[i].name
	}
	return names
}

// settle returns the values of the keys: those inserted or found, or those that
// were taken.
func (s *Session) settle(ctx context.Context, d *declaration, t *settlement) ([]stored, error) {
	if d.err != nil {
		return nil, d.err
	}
	if err := s.enterChange(ctx); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.badness(d); err != nil && t.inserts() {
		return nil, err
	}
	t.names = d.names()
	if s.state.changesOwner() {
		return s.settleLater(d, t)
	}
	if s.state.spans(t) {
		// That is about more than these keys, so they cannot go ahead of it.
		if err := s.flush(ctx); err != nil {
			return nil, err
		}
	}
	out, err := s.write(ctx, builder{s: s, settle: t})
	if err != nil {
		return nil, s.failed(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return out.values, s.settled(t, &out)
}

// spans reports whether the log has an Update of a struct with a key of t, or a Set
// whose rules concern one.
func (st *state) spans(t *settlement) bool {
	return slices.ContainsFunc(st.log, func(e entry) bool {
		return e.d != nil && e.d.plan != nil && slices.ContainsFunc(e.d.plan.fields, func(f structField) bool { return t.about(f.name) })
	})
}

// settleLater does in the log what settle does at once. Behind a login by another
// owner there is nobody to race with: what is stored is somebody else's, and the new
// owner's session exists with the commit.
func (s *Session) settleLater(d *declaration, t *settlement) ([]stored, error) {
	values := t.values(&s.state)
	if anyOf(values) == t.inserts() {
		return values, nil
	}
	entries := make([]entry, 0, len(t.names))
	if t.inserts() {
		values = t.inserted()
	} else if err := t.check(values); err != nil {
		return nil, err
	}
	for i, name := range t.names {
		switch {
		case !values[i].ok:
		case t.inserts():
			entries = append(entries, entry{kind: opSet, name: name, raw: values[i].raw, present: true})
		default:
			entries = append(entries, entry{kind: opDelete, name: name})
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return values, s.append(d.name, entries...)
}

// buildSettlement applies t on top of the log, and stores its keys.
func (s *Session) buildSettlement(t *settlement, env *record.View, cur *store.Record) (outcome, error) {
	if env.Epoch != s.base.Epoch {
		return outcome{}, ErrSuperseded
	}
	st, conflicts, err := s.onto(env, cur)
	if err != nil {
		return outcome{}, err
	}
	// Conflicts of other keys are for the commit to report.
	if conflicts = slices.DeleteFunc(conflicts, func(name string) bool { return !t.about(name) }); len(conflicts) > 0 {
		return outcome{}, &ConflictError{Keys: conflicts}
	}
	values := t.values(st)
	if anyOf(values) == t.inserts() {
		return outcome{rec: *cur, skip: true, values: values}, nil
	}
	if t.inserts() {
		values = t.inserted()
	} else if err := t.check(values); err != nil {
		return outcome{}, err
	}
	var edits record.Edits
	for i, name := range t.names {
		edit := record.Edit{Name: name, Delete: true}
		if t.inserts() && values[i].ok {
			edit.Raw, edit.Delete = values[i].raw, false
		}
		if _, there := env.Values.Find(name); there || !edit.Delete { // or it was set and taken within one request
			edits.Set = append(edits.Set, edit)
		}
	}
	if len(edits.Set) == 0 {
		return outcome{rec: *cur, skip: true, values: values, applied: true}, nil
	}
	out, err := s.frame(env, cur, &edits, rotateNone, nil)
	out.values, out.applied = values, true
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
	log := s.state.log
	for i, name := range t.names {
		if !out.applied && !s.state.undecided(name) {
			continue // what the log says about the key is still to be committed
		}
		v := &out.values[i]
		e := entry{kind: opSettled, name: name, present: v.ok && t.inserts(), rooted: true}
		if e.present {
			e.raw = v.raw
		} else {
			delete(s.bad, name)
		}
		log = settleEntry(log, e)
		s.mark(readMark{name: name})
	}
	s.rebuild(log)
	return err
}

// settleEntry returns a copy of a log in which e stands for all that was to be done
// to its key.
func settleEntry(log []entry, e entry) []entry {
	kept := make([]entry, 0, len(log)+1)
	for _, l := range log {
		if l.single() && l.name == e.name {
			continue
		}
		if l.kind == opClear && !slices.Contains(l.keep, e.name) {
			l.keep = append(slices.Clip(l.keep), e.name)
		}
		kept = append(kept, l)
	}
	return append(kept, e)
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
		if view, err := record.Reparse(out.rec.Data); err == nil {
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
