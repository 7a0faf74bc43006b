package session

import (
	"context"
	"slices"
	"unicode/utf8"
)

// The untyped half of the verbs of Typed.

// look calls f with the session as the caller may see it, loaded and with s.mu
// held: that of the request, or what a replay is building on. A commit that is
// under way does not hold it up.
func (s *Session) look(ctx context.Context, f func(st *state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.usable(toRead); err != nil {
			return err
		}
		s.used = true
		switch {
		case s.scratch != nil && inUpdate():
			f(s.scratch)
			return nil
		case s.loaded:
			f(&s.state)
			return nil
		}
		if err := s.loadUnlocked(ctx); err != nil {
			return err
		}
	}
}

// loadUnlocked must be called with s.mu held, and gives it up meanwhile.
func (s *Session) loadUnlocked(ctx context.Context) error {
	s.mu.Unlock()
	defer s.mu.Lock()
	if err := s.enterLoaded(ctx, toRead); err != nil {
		return err
	}
	s.leave()
	return nil
}

// read returns the stored form of a key as the request sees it.
func (s *Session) read(ctx context.Context, d *declaration) (raw []byte, ok bool, err error) {
	if d.err != nil {
		return nil, false, d.err
	}
	err = s.look(ctx, func(st *state) {
		raw, ok, _ = st.find(d.name)
		if st == &s.state {
			s.mark(readMark{name: d.name})
		}
	})
	if err != nil {
		s.markFailed(d, err)
	}
	return raw, ok, err
}

// readFields is read for a struct.
func (s *Session) readFields(ctx context.Context, d *declaration) (values []stored, err error) {
	if d.err != nil {
		return nil, d.err
	}
	err = s.look(ctx, func(st *state) {
		values = st.findFields(d.plan)
		if st == &s.state {
			s.markAll(d, nil)
		}
	})
	if err != nil {
		s.markFailed(d, err)
	}
	return values, err
}

func (s *Session) markFailed(d *declaration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markAll(d, err)
}

// mark must be called with s.mu held.
func (s *Session) mark(m readMark) {
	for i := range s.reads {
		if s.reads[i].name == m.name {
			s.reads[i] = m
			return
		}
	}
	s.reads = append(s.reads, m)
}

// unmarkFailed forgets failed reads: of one key, or of all. s.mu is held.
func (s *Session) unmarkFailed(name string) {
	s.reads = slices.DeleteFunc(s.reads, func(m readMark) bool {
		return m.err != nil && (name == "" || m.name == name)
	})
}

func (s *Session) readMarkOf(name string) (mark readMark, ok bool) {
	for _, r := range s.reads {
		if r.name == name {
			return r, true
		}
	}
	return readMark{}, false
}

// markBad remembers that a key could not be decoded.
func (s *Session) markBad(name string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad == nil {
		s.bad = make(map[string]error)
	}
	s.bad[name] = err
}

// badness returns why a key of d could not be decoded.
func (s *Session) badness(d *declaration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.plan == nil || len(s.bad) == 0 {
		return s.bad[d.name]
	}
	for i := range d.plan.fields {
		if err := s.bad[d.plan.fields[i].name]; err != nil {
			return err
		}
	}
	return nil
}

// remember makes the commit fail with an error that its caller could not
// return.
func (s *Session) remember(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil && !s.closed {
		s.fail = err
	}
}

// set logs that a key gets the value raw, or is deleted.
func (s *Session) set(ctx context.Context, d *declaration, raw []byte, present bool) error {
	if d.err != nil {
		return d.err
	}
	if err := s.enterChange(ctx); err != nil {
		return err
	}
	defer s.leave()
	if present {
		if err := s.badness(d); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.put(d, present, change{name: d.name, raw: raw, present: present})
}

// setFields logs what makes after out of the fields of a struct. User code may
// run in the comparison, so it is made outside of all locks.
func (s *Session) setFields(ctx context.Context, d *declaration, after [][]byte) error {
	for range maxChanges {
		u, err := s.begin(ctx, d)
		if err != nil {
			return err
		}
		changes := s.m.codec.replacing(d.plan, u.values, after)
		if done, err := s.finish(ctx, &u, func() error { return s.put(d, true, changes...) }); done || err != nil {
			return err
		}
	}
	return ErrContention
}

// deleteFields logs that the fields of a struct are deleted.
func (s *Session) deleteFields(ctx context.Context, d *declaration) error {
	if d.err != nil {
		return d.err
	}
	if err := s.enterChange(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	changes := make([]change, len(d.plan.fields))
	for i := range changes {
		changes[i].name = d.plan.fields[i].name
	}
	return s.put(d, false, changes...)
}

// put logs changes that do not depend on what they replace: all of them, or none.
// They are those of a Set, which may delete fields too, or of a Delete. It must be
// called between enter and leave, with s.mu held.
func (s *Session) put(d *declaration, isSet bool, changes ...change) error {
	var buf [1]entry
	entries := buf[:0]
	var conflicts []string
	for _, c := range changes {
		old, ok, rooted := s.state.find(c.name)
		mark, marked := s.readMarkOf(c.name)
		observed := marked && mark.err == nil && rooted && !d.lastWriteWins
		switch {
		case mark.err != nil && isSet:
			return mark.err // or it would overwrite what it failed to read
		case observed && mark.stale:
			conflicts = append(conflicts, c.name)
		case ok == c.present && string(old) == string(c.raw) && s.state.undecided(c.name):
			// as stored
		default:
			e := entry{kind: opDelete, name: c.name, raw: c.raw, present: c.present, observed: observed}
			if c.present {
				e.kind = opSet
			}
			entries = append(entries, e)
		}
	}
	if len(conflicts) > 0 {
		slices.Sort(conflicts)
		return &ConflictError{Keys: conflicts}
	}
	if n := len(entries); n > 0 && isSet && d.plan != nil && s.m.codec.checks(d) {
		entries[n-1].d = d
	}
	if err := s.append(d.name, entries...); err != nil {
		return err
	}
	if !isSet {
		for _, c := range changes {
			s.unmarkFailed(c.name)
			delete(s.bad, c.name)
		}
	}
	return nil
}

// append must be called between enter and leave, with s.mu held. name is what the
// entries are about.
func (s *Session) append(name string, entries ...entry) error {
	if len(entries) == 0 {
		return nil
	}
	more := len(entries)
	if s.state.replaces(&entries[0]) {
		more--
	}
	if n := len(s.state.log) + more; n > maxChanges {
		return &LimitError{Limit: LimitChanges, Max: maxChanges, Got: n}
	}
	size, grows := s.state.size, false
	for i := range entries {
		if e := &entries[i]; e.single() {
			size = s.state.sizeAfter(size, e.name, e.raw, e.present)
			grows = grows || e.present
		}
	}
	if grows {
		if err := s.m.checkSize(size, name); err != nil {
			return err
		}
	}
	for _, e := range entries {
		s.state.add(e)
	}
	s.rev++
	return nil
}

// markAll marks every key of d as read. s.mu is held.
func (s *Session) markAll(d *declaration, err error) {
	if d.plan == nil {
		s.mark(readMark{name: d.name, err: err})
		return
	}
	for i := range d.plan.fields {
		s.mark(readMark{name: d.plan.fields[i].name, err: err})
	}
}

// checkName refuses names that some store or log could not hold.
func checkName(name string) error {
	switch {
	case name == "":
		return &ValueError{Key: name, Err: errEmptyName}
	case len(name) > maxName:
		return &LimitError{Limit: LimitName, Key: name[:32] + "...", Max: maxName, Got: len(name)}
	case !utf8.ValidString(name):
		return &ValueError{Key: name, Err: errNameUTF8}
	}
	return nil
}
