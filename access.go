package session

import (
	"context"
	"runtime"
	"strings"
	"unicode/utf8"
)

// The untyped half of the verbs of Typed.

// read returns the stored form of a key as the request sees it.
func (s *Session) read(ctx context.Context, d *declaration) (raw []byte, ok bool, err error) {
	if d.err != nil {
		return nil, false, d.err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.usable(false); err != nil {
			return nil, false, err
		}
		s.used = true
		if s.scratch != nil && inUpdate() { // a replay reads what it is building on
			raw, ok, _ := s.scratch.find(d.name)
			return raw, ok, nil
		}
		if s.loaded {
			raw, ok, rooted := s.state.find(d.name)
			if rooted {
				s.markRead(d.name)
			}
			return raw, ok, nil
		}
		s.mu.Unlock()
		err := s.enterLoaded(ctx, false)
		if err == nil {
			s.leave()
		}
		s.mu.Lock()
		if err != nil {
			return nil, false, err
		}
	}
}

// markRead must be called with s.mu held.
func (s *Session) markRead(name string) {
	for i := range s.reads {
		if s.reads[i].name == name {
			s.reads[i].stale = false
			return
		}
	}
	s.reads = append(s.reads, readMark{name: name})
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
	if old, ok, _ := s.state.find(d.name); ok == present && string(old) == string(raw) && s.state.undecided(d.name) {
		return nil // as stored
	}
	mark, observed := s.readMarkOf(d.name)
	observed = observed && !d.lastWriteWins
	if observed && mark.stale {
		return &ConflictError{Keys: []string{d.name}}
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
	if len(s.state.log) >= maxChanges {
		return &LimitError{Limit: LimitChanges, Max: maxChanges, Got: maxChanges + 1}
	}
	if e.single() && e.present {
		if err := s.m.checkSize(s.state.sizeAfter(e.name, e.raw, true)); err != nil {
			err.(*LimitError).Key = e.name
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
	if u.rooted {
		s.markRead(d.name)
	}
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
