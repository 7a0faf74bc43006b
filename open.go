package session

import (
	"context"
	"errors"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// maxCandidates is how many well-formed credentials of one request are tried.
const maxCandidates = 3

// load must be called between enter and leave. A failure is remembered, unless
// it is only that the caller stopped waiting. What is to be changed is loaded past
// every cache, also when it has been read from one: what seems to be stored already
// need not be.
func (s *Session) load(ctx context.Context, p purpose) (err error) {
	exact := s.fresh || s.m.fresh == nil
	fresh := exact || p != toRead
	switch {
	case !s.loaded:
		err = s.open(ctx, fresh)
	case exact || !fresh:
		return nil
	case !s.isNew && !s.frozen: // those are never from a cache
		err = s.refresh(ctx, p)
	}
	ended := ctx.Err() != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.loaded, s.fresh = true, fresh
	case !ended:
		s.fail = err
	}
	return err
}

// refresh replaces what a cache had by what is stored. The request has changed nothing
// yet, and what it has read remains read.
func (s *Session) refresh(ctx context.Context, p purpose) error {
	f, err := s.m.find(ctx, s.cred, true)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.oversize = f.match == matchCurrent
		return err
	case f.rec.Version == 0 && p == toDestroy:
		return nil
	case f.rec.Version == 0:
		return ErrDestroyed
	case f.view.Epoch != s.base.Epoch:
		s.frozen = true // it reads what the cache had, which is what it could read before
		return nil
	}
	s.checkReads(&f.view)
	s.rec, s.base = f.rec, f.view.Meta
	s.state.reset(f.view.Values, s.m.ownerOf(&f.rec, f.view.Owner), s.firstEntry[:0])
	s.rev++
	return nil
}

// open finds the record that the request's credentials open.
func (s *Session) open(ctx context.Context, fresh bool) error {
	var fallback found
	for i := range int(s.candidates) {
		cred := s.cred
		if i > 0 {
			cred = s.more[i-1]
		}
		f, err := s.m.find(ctx, cred, fresh)
		if err != nil {
			if f.match == matchCurrent { // may be destroyed
				s.mu.Lock()
				s.key, s.oversize = f.key, true
				s.mu.Unlock()
			}
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
// does not open, is matchNone. A record beyond the bounds is an error beside its
// match.
func (m *Manager) find(ctx context.Context, cred credential, fresh bool) (f found, err error) {
	f.cred, f.key = cred, cred.storeKey(&m.scopeHash)
	f.rec, err = m.load(ctx, f.key, fresh)
	if errors.Is(err, store.ErrNotFound) {
		return found{}, nil
	}
	if err != nil {
		return found{}, storeError("load", err)
	}
	if f.view, err = record.Parse(f.rec.Data); err != nil {
		return found{}, storeError("load", err)
	}
	f.presented = cred.secretHash()
	f.match = matchSecret(&f.view, &f.presented, m.now(), m.cfg.Grace.Milliseconds())
	if f.match != matchCurrent && m.fresh != nil && !fresh {
		return m.find(ctx, cred, true) // the cached record may be older than the secret
	}
	return f, m.checkSize(f.view.Values.Size(), "")
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
	if err := m.checkSize(view.Values.Size(), ""); err != nil {
		return record.View{}, err
	}
	return view, nil
}

// checkSize holds a session to the bounds; key is what made it grow, if it did.
func (m *Manager) checkSize(s record.Size, key string) error {
	switch {
	case s.Keys > m.cfg.MaxKeys:
		return &LimitError{Limit: LimitKeys, Key: key, Max: m.cfg.MaxKeys, Got: s.Keys}
	case s.Bytes > m.cfg.MaxBytes:
		return &LimitError{Limit: LimitBytes, Key: key, Max: m.cfg.MaxBytes, Got: s.Bytes}
	default:
		return nil
	}
}

func (m *Manager) now() int64 { return time.Now().UnixMilli() }

// adopt must be called between enter and leave.
func (s *Session) adopt(f *found) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.candidates = 1
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
	s.candidates, s.more, s.cred = 0, nil, credential{}
	s.key, s.rec, s.base = store.Key{}, store.Record{}, record.Meta{}
	s.isNew, s.frozen, s.behind, s.issue = true, false, false, false
	s.resetRequest()
	s.loaded, s.oversize = true, false
	s.state.reset(record.Values{}, "", s.firstEntry[:0])
}

// resetRequest forgets what the request did. s.mu is held.
func (s *Session) resetRequest() {
	s.rotate, s.expiry, s.commitID, s.nextCred, s.loginMark = rotateNone, Expiry{}, 0, nil, nil
	if s.loaded { // before, reads can only have failed
		s.reads, s.bad = s.firstReads[:0], nil
	}
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
