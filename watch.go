package session

import (
	"context"

	"github.com/typedsession/session/store"
)

// Done returns a channel that is closed when the session is over: destroyed or
// revoked on whichever node, expired, or superseded by the login or elevation of
// another request. It is for handlers that live long, such as those of server-sent
// events and WebSockets. A [Session.Rotate] is no end. Each call returns the same
// channel. When the request is over it is closed as well; for a connection that
// outlives its request there is [Session.WithDone].
//
// Where the store tells of changes ([store.Watcher]) the channel is closed as soon as
// that is heard; otherwise, and where it is not heard, as [Config.WatchInterval] says.
// A session that has no record yet is watched from its first commit.
//
// Done loads the session if nothing has before, and then takes as long as that. A
// session that cannot be loaded counts as over. So does one that nobody could look at
// for three times the interval, because the store failed. Watching is no
// activity: it does not keep a session from expiring.
func (s *Session) Done() <-chan struct{} {
	s.mu.Lock()
	w := s.watches
	for w != nil && w.done == nil {
		w = w.next
	}
	if w == nil {
		w = &watch{done: make(chan struct{})}
		s.addWatch(w)
	}
	ctx := s.node.Context
	s.mu.Unlock()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, s.m.cfg.Timeout)
	defer cancel()
	s.beginWatch(ctx, w)
	return w.done
}

// WithDone returns a context that ends with ctx and when the session is over, which
// is when [Session.Done] says. Its [context.Cause] is then [ErrDestroyed], also for a
// revocation or an expiry; [ErrSuperseded]; [ErrClosed] where the request was over
// before; or what the store failed with. Unlike a channel of Done it may outlive the
// request: the session is watched until the context ends, so call cancel when nobody
// needs it any more.
func (s *Session) WithDone(ctx context.Context) (done context.Context, cancel context.CancelFunc) {
	done, end := context.WithCancelCause(ctx)
	w, r := &watch{cancel: end}, &s.m.watcher
	w.forget = context.AfterFunc(done, func() { r.end(w, nil) })
	s.mu.Lock()
	s.addWatch(w)
	s.mu.Unlock()
	s.beginWatch(ctx, w)
	return done, func() {
		r.end(w, context.Canceled)
		end(context.Canceled) // where somebody else is about to
	}
}

// watch is a channel or a context that ends with a session.
type watch struct {
	// Session.mu guards these.
	next *watch    // of the same request
	key  store.Key // zero while there is no record

	// Only one of them is there.
	done   chan struct{}
	cancel context.CancelCauseFunc
	forget func() bool // takes back what would end w together with the context

	// watcher.mu guards these.
	record *watchedRecord // nil while there is nothing to look at
	before *watch         // of the same record
	after  *watch
	epoch  uint64
	paused bool // its own request is about to change the epoch
	late   bool // a look that is under way may have begun before that change
	ended  bool
}

// fire tells whoever waits for w. It is called once, without a lock.
func (w *watch) fire(cause error) {
	if w.cancel == nil {
		close(w.done)
		return
	}
	w.forget()
	w.cancel(cause)
}

// ending is a watch that has ended and is to be told why, without a lock.
type ending struct {
	w     *watch
	cause error
}

func tell(all []ending) {
	for _, e := range all {
		e.w.fire(e.cause)
	}
}

// addWatch is called with s.mu held. It forgets those that have ended.
func (s *Session) addWatch(w *watch) {
	w.next = s.m.watcher.unended(s.watches)
	s.watches = w
}

// beginWatch finds out what w is about.
func (s *Session) beginWatch(ctx context.Context, w *watch) {
	if s.followLoaded() {
		return
	}
	if err := s.look(ctx, func(*state) {}); err != nil {
		s.m.watcher.end(w, err)
		return
	}
	s.followLoaded()
}

// followLoaded is follow, if the session has been loaded, whatever else has failed
// since.
func (s *Session) followLoaded() bool {
	s.mu.Lock()
	if !s.loaded || s.closed {
		s.mu.Unlock()
		return false
	}
	s.used = true
	ended := s.follow()
	s.mu.Unlock()
	tell(ended)
	return true
}

// follow tells the watcher what the request's session is now: a commit may have stored
// it, changed its epoch, or found that it is over. s.mu is held.
func (s *Session) follow() (ended []ending) {
	for w := s.watches; w != nil; w = w.next {
		switch {
		case isOurs(s.fail, ErrDestroyed):
			ended = s.m.watcher.remove(ended, w, ErrDestroyed)
		case isOurs(s.fail, ErrSuperseded), s.frozen,
			w.key != store.Key{} && w.key != s.key: // a login goes on in another session
			ended = s.m.watcher.remove(ended, w, ErrSuperseded)
		case s.isNew:
		default:
			w.key = s.key
			s.m.watcher.follow(w, s.key, s.base.Epoch, s.rotate == rotateLogin)
		}
	}
	return ended
}

// unwatch is called when the request is over, with s.mu held.
func (s *Session) unwatch() (ended []ending) {
	if s.watches == nil {
		return nil
	}
	s.rotate = rotateNone // what has not been committed never will be
	if s.loaded {
		ended = s.follow()
	}
	for w := s.watches; w != nil; w = w.next {
		if w.done != nil || w.key == (store.Key{}) {
			ended = s.m.watcher.remove(ended, w, ErrClosed)
		}
	}
	s.watches = nil
	return ended
}

// endWatches says that the request itself has ended the session.
func (s *Session) endWatches() (ended []ending) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for w := s.watches; w != nil; w = w.next {
		ended = s.m.watcher.remove(ended, w, ErrDestroyed)
	}
	return ended
}
