package session

import (
	"context"
	"runtime"
	"strings"
)

// The untyped half of Update.

// start is what an Update begins with.
type start struct {
	stored
	values []stored // of the fields of a struct
	rev    uint64
}

// start returns the values that d is about.
func (st *state) start(d *declaration) (u start) {
	if d.plan == nil {
		u.raw, u.ok, u.rooted = st.find(d.name)
		return u
	}
	u.values = st.findFields(d.plan)
	for i := range u.values {
		u.ok = u.ok || u.values[i].ok
		u.rooted = u.rooted || u.values[i].rooted
	}
	return u
}

// beginUpdate returns the value for an Update function and announces that one
// is about to run; endUpdate takes that back.
func (s *Session) beginUpdate(ctx context.Context, d *declaration) (u start, err error) {
	if u, err = s.begin(ctx, d); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.updating++
	}
	return u, err
}

// begin returns what a change of d starts from.
func (s *Session) begin(ctx context.Context, d *declaration) (u start, err error) {
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
	u = s.state.start(d)
	u.rev = s.rev
	return u, nil
}

func (s *Session) endUpdate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.updating--
}

// finish calls log with s.mu held, unless the session has changed since u.
func (s *Session) finish(ctx context.Context, u *start, log func() error) (done bool, err error) {
	if err := s.enterChange(ctx); err != nil {
		return false, err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rev != u.rev {
		return false, nil
	}
	return true, log()
}

// finishUpdate logs an Update with its result. done is false when the session
// has changed since u.
func (s *Session) finishUpdate(ctx context.Context, d *declaration, fn any, u start, out updated) (done bool, err error) {
	return s.finish(ctx, &u, func() error {
		var buf [1]entry
		if err := s.append(d.name, updateEntries(buf[:0], d, fn, &u, &out)...); err != nil {
			return err
		}
		s.markAll(d, nil)
		return nil
	})
}

// updateEntries appends the entries of an Update to log.
func updateEntries(log []entry, d *declaration, fn any, u *start, out *updated) []entry {
	if d.plan == nil {
		return append(log, entry{kind: opUpdate, name: d.name, raw: out.raw, present: true, rooted: u.rooted, d: d, fn: fn})
	}
	log = append(log, entry{kind: opStruct, name: d.name, d: d, fn: fn})
	for _, c := range out.changes {
		log = append(log, entry{kind: opPart, name: c.name, raw: c.raw, present: c.present, rooted: u.rooted})
	}
	return log
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
