package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// maxCandidates is how many well-formed credentials of one request are tried.
const maxCandidates = 3

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
// All methods are safe for concurrent use. After the request they return
// [ErrClosed]. A Session prints without its credential and without its data.
type Session struct {
	m    *Manager
	node sessionContext

	// mu guards what follows and is held for moments only. busy is the lock
	// that is held over calls of the store; waiting for it ends with a context.
	mu   sync.Mutex
	busy bool
	wait chan struct{} // closed when busy ends; nil while nobody waits

	fresh    bool // load past caches
	loaded   bool
	used     bool
	isNew    bool // there is no record
	frozen   bool // superseded: reads an old state, writes nothing
	sent     bool // the response has begun
	dropped  bool // the response became an error
	told     bool // fail has been answered
	closed   bool
	issue    bool // the visitor has to get cred
	remove   bool // the visitor's cookie is for nothing
	behind   bool // rec is newer than state: another base for the next commit
	rotate   rotation
	nextCand uint8 // well-formed candidates beside cred
	updating int   // Update functions that are running

	cred      credential // presented or, later, issued
	more      *[maxCandidates - 1]credential
	key       store.Key
	rec       store.Record // what the next commit swaps
	base      record.Meta  // of rec, or before the first commit of a new session zero
	presented record.Hash
	expiry    Expiry // pending, when its kind is set
	commitID  int64
	nextCred  *credential // of a rotation that has not been answered
	fail      error       // ends all use
	rev       uint64      // counts changes of state

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
	stale bool // what is stored has changed since
}

// Open returns the session of one request. It does no I/O.
func (m *Manager) Open(o Opening) *Session {
	s := &Session{m: m, fresh: o.Fresh}
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
	s.nextCand = uint8(found)
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

// enter waits until no other verb is calling the store, and keeps others out
// until leave. For a change it also refuses what can never be committed.
func (s *Session) enter(ctx context.Context, change bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if change && s.updating > 0 && inUpdate() {
			return ErrInUpdate
		}
		if err := s.usable(change); err != nil {
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
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy = false
	if s.wait != nil {
		close(s.wait)
		s.wait = nil
	}
}

// usable must be called with s.mu held.
func (s *Session) usable(change bool) error {
	switch {
	case s.closed, change && s.dropped:
		return ErrClosed
	default:
		return s.fail
	}
}

// enterLoaded is enter, and loads the session.
func (s *Session) enterLoaded(ctx context.Context, change bool) error {
	if err := s.enter(ctx, change); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		s.leave()
		return err
	}
	return nil
}

// enterChange is enterLoaded for what ends up in the log.
func (s *Session) enterChange(ctx context.Context) error {
	if err := s.enterLoaded(ctx, true); err != nil {
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
	switch {
	case s.frozen:
		return ErrSuperseded
	case s.isNew && s.sent:
		return ErrHeadersSent
	default:
		return nil
	}
}

// load must be called between enter and leave. A failure is remembered, unless
// it is only that the caller stopped waiting.
func (s *Session) load(ctx context.Context) error {
	if s.loaded {
		return nil
	}
	err := s.open(ctx, s.fresh)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.loaded = true
	case ctx.Err() == nil:
		s.fail = err
	}
	return err
}

// open finds the record that the request's credentials open.
func (s *Session) open(ctx context.Context, fresh bool) error {
	var fallback found
	for i := range int(s.nextCand) {
		cred := s.cred
		if i > 0 {
			cred = s.more[i-1]
		}
		f, err := s.m.find(ctx, cred, fresh)
		if err != nil {
			return err
		}
		switch {
		case f.match == matchCurrent:
			s.adopt(&f)
			return nil
		case f.match != matchNone && fallback.match == matchNone:
			fallback = f
		}
	}
	if fallback.match != matchNone {
		s.adopt(&fallback)
		return nil
	}
	s.becomeNew()
	return nil
}

// match says what a secret is good for.
type match uint8

const (
	matchNone    match = iota
	matchCurrent       // everything
	matchFrozen        // reading what Prev holds
	matchLost          // nothing; but the session's cookie is on its way
)

// found is a record and what a credential may do with it.
type found struct {
	match     match
	cred      credential
	key       store.Key
	rec       store.Record
	view      record.View
	presented record.Hash
}

// find loads the record of a credential. No record, or one that the secret
// does not open, is matchNone.
func (m *Manager) find(ctx context.Context, cred credential, fresh bool) (f found, err error) {
	f.cred, f.key = cred, cred.storeKey(&m.scopeHash)
	f.rec, err = m.load(ctx, f.key, fresh)
	if errors.Is(err, store.ErrNotFound) {
		return found{}, nil
	}
	if err != nil {
		return found{}, storeError("load", err)
	}
	if f.view, err = m.parse(f.rec.Data); err != nil {
		return found{}, err
	}
	f.presented = cred.secretHash()
	f.match = matchSecret(&f.view, &f.presented, m.now(), m.cfg.Grace.Milliseconds())
	if f.match != matchCurrent && m.fresh != nil && !fresh {
		return m.find(ctx, cred, true) // the cached record may be older than the secret
	}
	return f, nil
}

// matchSecret compares in constant time, as OWASP asks.
func matchSecret(v *record.View, secret *record.Hash, now, grace int64) match {
	switch {
	case equalHash(secret, &v.Secret):
		return matchCurrent
	case v.Prev.Mode != record.ModeNone && now < v.Prev.Until && equalHash(secret, &v.Prev.Hash):
		if v.Prev.Mode == record.ModeAlias {
			return matchCurrent
		}
		return matchFrozen
	case now < v.Rotated+grace:
		// Of an older rotation, or a guess. A new session's cookie could replace
		// the one that the rotation has just sent.
		return matchLost
	default:
		return matchNone
	}
}

// parse reads a frame within the bounds of the manager.
func (m *Manager) parse(data []byte) (record.View, error) {
	view, err := record.Parse(data)
	if err != nil {
		return record.View{}, storeError("load", err)
	}
	if err := m.checkSize(view.Values.Size()); err != nil {
		return record.View{}, err
	}
	return view, nil
}

func (m *Manager) checkSize(s record.Size) error {
	switch {
	case s.Keys > m.cfg.MaxKeys:
		return &LimitError{Limit: LimitKeys, Max: m.cfg.MaxKeys, Got: s.Keys}
	case s.Bytes > m.cfg.MaxBytes:
		return &LimitError{Limit: LimitBytes, Max: m.cfg.MaxBytes, Got: s.Bytes}
	default:
		return nil
	}
}

func (m *Manager) now() int64 { return time.Now().UnixMilli() }

// adopt must be called between enter and leave.
func (s *Session) adopt(f *found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextCand = 1
	s.cred, s.more = f.cred, nil
	s.key, s.rec, s.presented = f.key, f.rec, f.presented
	s.isNew, s.frozen, s.behind = false, f.match != matchCurrent, false
	s.resetRequest()
	switch f.match {
	case matchFrozen:
		p := &f.view.Prev
		s.base = record.Meta{Created: f.view.Created, LoggedIn: p.LoggedIn, Kind: f.view.Kind, Idle: f.view.Idle, At: f.view.At}
		s.base.Deadline = p.Until
		s.state.reset(p.Values, string(p.Owner), s.firstEntry[:0])
	case matchLost:
		s.base = record.Meta{}
		s.state.reset(record.Values{}, "", s.firstEntry[:0])
	default:
		s.base = f.view.Meta
		s.state.reset(f.view.Values, s.m.ownerOf(&f.rec, f.view.Owner), s.firstEntry[:0])
	}
}

// becomeNew makes s a session without a record: nothing is carried over.
func (s *Session) becomeNew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nextCand, s.more, s.cred = 0, nil, credential{}
	s.key, s.rec, s.base = store.Key{}, store.Record{}, record.Meta{}
	s.isNew, s.frozen, s.behind, s.issue = true, false, false, false
	s.resetRequest()
	s.state.reset(record.Values{}, "", s.firstEntry[:0])
}

// resetRequest forgets what the request did. s.mu is held.
func (s *Session) resetRequest() {
	s.rotate, s.expiry, s.commitID, s.nextCred = rotateNone, Expiry{}, 0, nil
	s.reads, s.bad = s.firstReads[:0], nil
	s.rev++
}

// ownerOf returns the owner in a frame, sharing the memory of the store's copy.
func (m *Manager) ownerOf(rec *store.Record, owner []byte) string {
	if prefix := len(m.cfg.Scope.name) + 1; len(owner) > 0 && len(rec.Owner) == prefix+len(owner) &&
		rec.Owner[prefix:] == string(owner) {
		return rec.Owner[prefix:]
	}
	return string(owner)
}
