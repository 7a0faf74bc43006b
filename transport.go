package session

import (
	"context"
	"errors"
	"time"

	"github.com/typedsession/session/internal/record"
)

// The half of the Manager that transports call, in this order: Open, then
// Commit or Discard once before the first byte of the response, then Finish.

// Commit stores what the request has changed and says what to do with the
// cookie. It must be called before the first byte of the response; from then on
// changes that would need a cookie are refused. A request that did not use its
// session costs nothing.
//
// The commit does not end with ctx, whose values it keeps, but after
// [Config.Timeout]. When it fails, the handler's response must not be sent. The
// Ticket is valid also beside an error: it then says what had been done before,
// by Destroy, Save, Take or GetOrSet.
func (m *Manager) Commit(ctx context.Context, s *Session) (Ticket, error) {
	return s.respond(ctx, true)
}

// Discard takes the place of Commit when the response is an error (a status of
// 500 and above) or the handler panicked. What was left for the commit is
// dropped, and later changes are refused with [ErrClosed]; what was done at
// once stands, and the Ticket says so. Called after Commit it drops what came
// since.
func (m *Manager) Discard(ctx context.Context, s *Session) (Ticket, error) {
	return s.respond(ctx, false)
}

// Finish must be called when the handler has returned. It commits what came
// after the first byte of the response and closes s. Its error has no response
// to go into any more.
func (m *Manager) Finish(ctx context.Context, s *Session) error {
	if s.closeUnused() {
		return nil
	}
	if err := s.acquire(ctx); err != nil {
		s.close()
		return err
	}
	defer s.leave()
	defer s.close() // before anybody else gets in
	if pending, err := s.beforeFinish(); !pending {
		return err
	}
	return s.flushDetached(ctx)
}

// beforeFinish reports whether there is anything left to commit, and what there
// is to return if not.
func (s *Session) beforeFinish() (pending bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed || s.told:
		return false, nil
	case s.fail != nil:
		return false, s.fail
	case s.dropped || s.frozen || !s.loaded || !s.changed():
		return false, nil
	case !s.sent:
		return false, errNotCommitted
	default:
		return true, nil
	}
}

var errNotCommitted = errors.New("session: Finish without Commit: the changes are lost")

// The common case, a request that has not used its session, takes one lock each.

func (s *Session) answerUnused(keep bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used || s.busy || s.fail != nil {
		return false
	}
	s.sent = true
	s.dropped = s.dropped || !keep
	return true
}

func (s *Session) closeUnused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used || s.busy || s.fail != nil {
		return false
	}
	s.closed = true
	return true
}

func (s *Session) respond(ctx context.Context, keep bool) (Ticket, error) {
	if s.answerUnused(keep) {
		return Ticket{}, nil
	}
	if err := s.acquire(ctx); err != nil {
		s.answered(keep, err)
		return s.ticket(), err
	}
	defer s.leave()
	sent, err := s.status()
	switch {
	case sent:
		s.answered(keep, nil)
		if !keep {
			err = nil
		}
		return Ticket{}, err
	case !keep:
		err = nil
	case err == nil && s.loaded && !s.frozen:
		if s.changed() {
			err = s.flushDetached(ctx)
		}
		if err == nil {
			err = s.touch(ctx)
		}
	}
	if !keep || err != nil {
		s.dropRotation(err)
	}
	s.answered(keep, err)
	return s.ticket(), err
}

// dropRotation notes that nothing will come of a rotation that has not been stored,
// unless it may have been.
func (s *Session) dropRotation(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !isOurs(err, ErrUnknown) && !isOurs(s.fail, ErrUnknown) {
		s.rotate = rotateNone
	}
}

// status says whether the response has begun, and what the session has failed of.
func (s *Session) status() (sent bool, fail error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent, s.fail
}

// answered notes that the response begins, with err if it is not nil.
func (s *Session) answered(keep bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = true
	s.dropped = s.dropped || !keep
	if err != nil {
		s.fail, s.told = err, true
	}
}

// acquire is enter for transports, which are never refused. It waits for verbs
// that other goroutines have not finished, but not for ever.
func (s *Session) acquire(ctx context.Context) error {
	var work *detached
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy {
		if work == nil {
			work = detach(ctx, s.m)
			defer work.end(context.Canceled)
		}
		if err := s.await(work); err != nil {
			return err
		}
	}
	s.busy = true
	return nil
}

func (s *Session) close() {
	s.mu.Lock()
	s.closed = true
	var ended []ending
	if !s.busy { // otherwise leave does it, when nothing is under way any more
		ended = s.unwatch()
	}
	s.mu.Unlock()
	tell(ended)
}

// flushDetached is flush for transports. When an Update function panics in it,
// the session is of no more use.
func (s *Session) flushDetached(ctx context.Context) error {
	work := detach(ctx, s.m)
	defer work.end(context.Canceled)
	returned := false
	defer func() {
		if !returned {
			s.remember(errPanicked)
		}
	}()
	err := s.flush(work)
	returned = true
	return err
}

var errPanicked = errors.New("session: a function given to Update panicked in the commit")

// flush commits the whole log. It must be called between enter and leave.
func (s *Session) flush(ctx context.Context) error {
	out, err := s.write(ctx, builder{s: s})
	if err != nil {
		return s.failed(err)
	}
	if s.isNew && out.skip { // the log comes to nothing
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rebuild(nil)
		return nil
	}
	view, err := record.Reparse(out.rec.Data)
	if err != nil {
		return s.failed(storeError("load", err))
	}
	noted, err := s.flushed(&out, &view)
	if err != nil || noted == nil {
		return err
	}
	return s.checkMark(ctx, noted)
}

// flushed takes over what flush has stored, and returns what Login has noted.
func (s *Session) flushed(out *outcome, view *record.View) (noted *mark, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	noted, s.loginMark = s.loginMark, nil
	err = s.stored(out)
	if out.replayed {
		s.checkReads(view)
	}
	s.base = view.Meta
	s.behind, s.rotate, s.expiry = false, rotateNone, Expiry{}
	s.state.reset(view.Values, s.m.ownerOf(&s.rec, view.Owner), s.firstEntry[:0])
	s.rev++
	return noted, err
}

// checkReads finds out which of the values that the request has seen are not
// what is stored now. s.mu is held.
func (s *Session) checkReads(now *record.View) {
	for i := range s.reads {
		r := &s.reads[i]
		seen, ok, _ := s.state.find(r.name)
		is, isOK := now.Values.Find(r.name)
		if ok != isOK || string(seen) != string(is.Raw) {
			r.stale = true
			delete(s.bad, r.name) // another value, perhaps a good one
		}
	}
}

// touch keeps a session alive that has only been read, now and then.
func (s *Session) touch(ctx context.Context) error {
	if s.isNew || s.base.Idle == 0 {
		return nil
	}
	last := s.rec.Expires.UnixMilli()
	want := expiresAt(&s.base, s.m.now(), last)
	if want-last < min(touchEvery.Milliseconds(), max(1, s.base.Idle/10)) {
		return nil
	}
	work := detach(ctx, s.m)
	defer work.end(context.Canceled)
	expires := time.UnixMilli(want)
	if err := s.m.store.Touch(work, s.key, s.rec.Version, expires); err != nil {
		return storeError("touch", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rec.Expires = expires
	return nil
}

// touchEvery is the longest that a reader's activity goes unrecorded; it is
// less where the inactivity limit is short.
const touchEvery = time.Minute

// ticket says what has been done. A session that is over gets no cookie: it could
// replace a newer one.
func (s *Session) ticket() Ticket {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch over := isOurs(s.fail, ErrDestroyed) || isOurs(s.fail, ErrSuperseded); {
	case s.issue && !over:
		return Ticket{
			action: ActionSet, cred: s.cred,
			expires: msTime(end(&s.base)), persistent: expiryOf(&s.base).persistent(),
		}
	case s.remove:
		return Ticket{action: ActionRemove}
	default:
		return Ticket{}
	}
}
