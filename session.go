package session

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

type rotation uint8

const (
	rotateNone   rotation = iota
	rotateKeep            // Rotate: the old secret stays an alias for a while
	rotateForced          // the same, however soon: the cookie has to change
	rotateLogin           // Login, Elevate: the old secret is frozen
)

// Session is one visitor's session during one request. A transport makes it
// ([Manager.Open]); handlers get it from [FromContext], or use it through
// [Typed] without ever seeing it. Nothing is loaded before it is needed.
//
// All methods are safe for concurrent use. Each may fail as the load of the session
// does, with a *[StoreError] or a *[LimitError], and every later one then too. Changes
// fail with [ErrInUpdate] inside an Update function, with [ErrSuperseded] after another
// request's login, and with [ErrHeadersSent] where they would need a cookie too late.
// After the request all return [ErrClosed]. A Session prints without its credential
// and without its data. The zero Session is not usable.
type Session struct {
	m    *Manager
	node sessionContext

	// mu guards what follows and is held for moments only. busy is the lock
	// that is held over calls of the store; waiting for it ends with a context.
	mu   sync.Mutex
	wait chan struct{} // closed when busy ends; nil while nobody waits

	busy       bool
	fresh      bool // load past caches
	loaded     bool
	doomed     bool // Destroy has failed for want of time
	oversize   bool // it could not be loaded, being beyond the bounds, but it is ours
	used       bool
	isNew      bool // there is no record
	frozen     bool // superseded: reads an old state, writes nothing
	sent       bool // the response has begun
	dropped    bool // the response became an error
	told       bool // fail has been answered
	closed     bool
	issue      bool // the visitor has to get cred
	remove     bool // the visitor's cookie is for nothing
	behind     bool // rec is newer than state: another base for the next commit
	rotate     rotation
	candidates uint8 // credentials to try: cred, then more
	updating   int32 // Update functions that are running

	cred      credential // presented or, later, issued
	more      *[maxCandidates - 1]credential
	key       store.Key
	rec       store.Record // what the next commit swaps
	base      record.Meta  // of rec, or before the first commit of a new session zero
	presented record.Hash
	expiry    Expiry // pending, when its kind is set
	commitID  int64
	nextCred  *credential // of a rotation that has not been answered
	loginMark *mark       // of a login that has not been committed
	fail      error       // ends all use
	rev       uint64      // counts changes of state

	watches *watch // of Done and WithDone

	state   state // of the request: loaded values and its log
	scratch *state
	reads   []readMark
	bad     map[string]error // keys that could not be decoded

	firstEntry [1]entry
	firstReads [2]readMark
}

// readMark remembers that the request has seen what is stored for a key.
type readMark struct {
	name  string
	stale bool  // what is stored has changed since
	err   error // the last read failed
}

// Open returns the session of one request. It does no I/O.
func (m *Manager) Open(o Opening) *Session {
	if !initialised.Load() {
		initialised.Store(true)
	}
	s := &Session{m: m, fresh: o.Fresh}
	s.reads = s.firstReads[:0]
	found := 0
	for _, text := range o.Credentials {
		c, ok := parseCredential(text)
		switch {
		case !ok:
			continue
		case found == 0:
			s.cred = c
		case found == 1:
			s.more = new([maxCandidates - 1]credential)
			fallthrough
		default:
			s.more[found-1] = c
		}
		if found++; found == maxCandidates {
			break
		}
	}
	s.candidates = uint8(found)
	return s
}

// Used reports whether the request has looked at the session or changed it. A
// response that depends on it must say so to caches.
func (s *Session) Used() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// String describes s without its credential and its data.
func (s *Session) String() string { return "session.Session" + s.m.cfg.Scope.suffix() }

// Format implements [fmt.Formatter]: every verb prints String.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue implements [slog.LogValuer].
func (s *Session) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON implements json.Marshaler.
func (s *Session) MarshalJSON() ([]byte, error) { return []byte("{}"), nil }

// purpose is what a verb enters for.
type purpose uint8

const (
	toRead purpose = iota
	toChange
	toDestroy // works on a session that is of no other use any more
)

// enter waits until no other verb is calling the store, and keeps others out
// until leave.
func (s *Session) enter(ctx context.Context, p purpose) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if p != toRead && s.updating > 0 && inUpdate() {
			return ErrInUpdate
		}
		if err := s.usable(p); err != nil {
			return err
		}
		s.used = true
		if !s.busy {
			s.busy = true
			return nil
		}
		if err := s.await(ctx); err != nil {
			return err
		}
	}
}

// await waits for the end of busy, or of ctx, with s.mu unlocked meanwhile.
func (s *Session) await(ctx context.Context) error {
	if s.wait == nil {
		s.wait = make(chan struct{})
	}
	wait := s.wait
	s.mu.Unlock()
	defer s.mu.Lock()
	select {
	case <-wait:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Session) leave() {
	var ended []ending
	s.mu.Lock()
	s.busy = false
	switch {
	case s.watches == nil:
	case s.closed:
		ended = s.unwatch()
	case s.loaded:
		ended = s.follow()
	}
	if s.wait != nil {
		close(s.wait)
		s.wait = nil
	}
	s.mu.Unlock()
	tell(ended)
}

// usable must be called with s.mu held.
func (s *Session) usable(p purpose) error {
	switch {
	case s.closed, p != toRead && s.dropped:
		return ErrClosed
	case p == toDestroy && (s.loaded || s.oversize || s.doomed) && !isOurs(s.fail, ErrDestroyed):
		return nil
	default:
		return s.fail
	}
}

// enterLoaded is enter, and loads the session.
func (s *Session) enterLoaded(ctx context.Context, p purpose) (err error) {
	if err := s.enter(ctx, p); err != nil {
		return err
	}
	loaded := false
	defer func() {
		if !loaded { // also after a panic in the store
			s.leave()
		}
	}()
	if err = s.load(ctx, p); p == toDestroy && s.oversize {
		err = nil
	}
	loaded = err == nil
	return err
}

// enterChange is enterLoaded for what ends up in the log.
func (s *Session) enterChange(ctx context.Context) error {
	if err := s.enterLoaded(ctx, toChange); err != nil {
		return err
	}
	if err := s.writable(); err != nil {
		s.leave()
		return err
	}
	return nil
}

// writable must be called between enter and leave.
func (s *Session) writable() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.frozen:
		return ErrSuperseded
	case s.isNew && s.sent:
		return ErrHeadersSent
	default:
		return nil
	}
}
