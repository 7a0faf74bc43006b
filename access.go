package session

import (
	"context"
	"runtime"
	"slices"
	"strings"
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
		s.mu.Lock()
		defer s.mu.Unlock()
		s.mark(readMark{name: d.name, err: err})
	}
	return raw, ok, err
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
func (s *Session) markBad(d *declaration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bad == nil {
		s.bad = make(map[string]error)
	}
	s.bad[d.name] = err
}

func (s *Session) badness(d *declaration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bad[d.name]
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
	old, ok, rooted := s.state.find(d.name)
	mark, marked := s.readMarkOf(d.name)
	observed := marked && mark.err == nil && rooted && !d.lastWriteWins
	switch {
	case mark.err != nil && present:
		return mark.err // or it would overwrite what it failed to read
	case mark.err != nil:
		s.unmarkFailed(d.name)
	}
	switch {
	case observed && mark.stale:
		return &ConflictError{Keys: []string{d.name}}
	case ok == present && string(old) == string(raw) && s.state.undecided(d.name):
		return nil // as stored
	}
	e := entry{kind: opDelete, name: d.name, raw: raw, present: present, observed: observed}
	if present {
		e.kind = opSet
	} else {
		delete(s.bad, d.name)
	}
	return s.append(e)
}

// append must be called between enter and leave, with s.mu held.
func (s *Session) append(e entry) error {
	if len(s.state.log) >= maxChanges && !s.state.replaces(&e) {
		return &LimitError{Limit: LimitChanges, Max: maxChanges, Got: maxChanges + 1}
	}
	if e.single() && e.present {
		if err := s.m.checkSize(s.state.sizeAfter(e.name, e.raw, true), e.name); err != nil {
			return err
		}
	}
	s.state.add(e)
	s.rev++
	return nil
}

// updating is what an Update starts from.
type updating struct {
	raw    []byte
	ok     bool
	rooted bool
	rev    uint64
}

// beginUpdate returns the value for an Update function and announces that one
// is about to run; endUpdate takes that back.
func (s *Session) beginUpdate(ctx context.Context, d *declaration) (u updating, err error) {
	if d.err != nil {
		return u, d.err
	}
	if err := s.enterChange(ctx); err != nil {
		return u, err
	}
	defer s.leave()
	if err := s.badness(d); err != nil {
		return u, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u.raw, u.ok, u.rooted = s.state.find(d.name)
	u.rev = s.rev
	s.updating++
	return u, nil
}

func (s *Session) endUpdate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updating--
}

// finishUpdate logs an Update with its result. done is false when the session
// has changed since u.
func (s *Session) finishUpdate(ctx context.Context, d *declaration, fn any, u updating, raw []byte) (done bool, err error) {
	if err := s.enterChange(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rev != u.rev {
		return false, nil
	}
	e := entry{kind: opUpdate, name: d.name, raw: raw, present: true, rooted: u.rooted, d: d, fn: fn}
	if err := s.append(e); err != nil {
		return false, err
	}
	s.mark(readMark{name: d.name})
	return true, nil
}

// inUpdate reports whether the caller was called by an Update function. Nothing
// is passed through such a function that could tell, so its stack is searched;
// callers ask only while some Update function is running.
func inUpdate() bool {
	const runner = "github.com/typedsession/session.callUpdate["
	var pcs [64]uintptr
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs[:])
		frames := runtime.CallersFrames(pcs[:n])
		for {
			frame, more := frames.Next()
			if strings.HasPrefix(frame.Function, runner) {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
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
