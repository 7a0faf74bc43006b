package session

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// buildLog builds the record that the whole log of a request leads to.
func (s *Session) buildLog(env *record.View, cur *store.Record) (outcome, error) {
	if env.Epoch != s.base.Epoch {
		return outcome{}, ErrSuperseded
	}
	st, replayed := &s.state, false
	if s.behind || cur.Version != s.rec.Version {
		fresh, err := s.replay(env, s.m.ownerOf(cur, env.Owner))
		if err != nil {
			return outcome{}, err
		}
		st, replayed = fresh, true
	}
	var buf [4]record.Edit
	edits := st.edits(buf[:0])
	r := s.rotationOn(env, cur)
	if len(edits.Set) == 0 && !st.login && r == rotateNone &&
		(cur.Version == 0 || !edits.Clear && !s.changesExpiry(&env.Meta)) {
		return outcome{rec: *cur, skip: true, replayed: replayed}, nil
	}
	return s.frame(env, cur, &edits, r, st, replayed)
}

// frame encodes the next record.
func (s *Session) frame(env *record.View, cur *store.Record, edits *record.Edits, r rotation, st *state, replayed bool) (outcome, error) {
	if err := s.m.checkSize(edits.Size(env.Values)); err != nil {
		return outcome{}, err
	}
	now := s.m.now()
	out := outcome{replayed: replayed}
	meta := env.Meta
	meta.Seq++
	if now >= meta.Prev.Until {
		meta.Prev = record.Prev{}
	}
	owner := cur.Owner
	newIdle := st != nil && s.changesExpiry(&meta)
	if newIdle {
		meta.Kind, meta.Idle, meta.At = uint8(s.expiry.kind), s.expiry.idle.Milliseconds(), s.expiry.at
	}
	if st != nil && st.login {
		meta.Owner, meta.LoggedIn = []byte(st.owner), now
		meta.Deadline = now + s.m.cfg.Lifetime.Milliseconds()
		owner = s.m.cfg.Scope.owner(st.owner)
	}
	if r != rotateNone {
		if s.nextCred == nil {
			next := s.cred.withNewSecret()
			s.nextCred = &next
		}
		out.cred = s.nextCred
		meta.Prev = record.Prev{Mode: record.ModeAlias, Hash: env.Secret, Until: now + s.m.cfg.Grace.Milliseconds()}
		if r == rotateLogin {
			meta.Prev.Mode, meta.Prev.Values = record.ModeFrozen, env.Values
			meta.Prev.Owner, meta.Prev.LoggedIn = env.Owner, env.LoggedIn
			meta.Epoch++
		}
		meta.Secret, meta.Rotated = out.cred.secretHash(), now
	}
	last := cur.Expires.UnixMilli()
	if newIdle || cur.Version == 0 {
		last = 0
	}
	expires := expiresAt(&meta, now, last)
	switch {
	case expires > now:
	case cur.Version != 0:
		return outcome{}, ErrDestroyed
	default:
		return outcome{}, &ConfigError{Problems: []error{errors.New("Expiry: the end of new sessions is in the past")}}
	}
	out.rec = store.Record{
		Data:    record.Encode(&meta, cur.Version, env.Values, edits),
		Version: s.commitID,
		Expires: time.UnixMilli(expires),
		Owner:   owner,
	}
	return out, nil
}

// newMeta returns the frame of a session that begins now.
func (m *Manager) newMeta(secret record.Hash) record.Meta {
	now := m.now()
	e := m.cfg.Expiry
	return record.Meta{
		Kind: uint8(e.kind), Idle: e.idle.Milliseconds(), At: e.at,
		Created: now, Rotated: now, Deadline: now + m.cfg.Lifetime.Milliseconds(),
		Secret: secret,
	}
}

// end returns the absolute end of a session.
func end(meta *record.Meta) int64 {
	if meta.At > 0 {
		return min(meta.At, meta.Deadline)
	}
	return meta.Deadline
}

// expiresAt returns when a session ends if nobody uses it after now. It is never
// earlier than last, what had been promised before.
func expiresAt(meta *record.Meta, now, last int64) int64 {
	if meta.Idle == 0 {
		return end(meta)
	}
	return min(max(now+meta.Idle, last), end(meta))
}

// rotationOn returns which rotation is due on a record. Of several requests that
// rotate at once, one does; and soon after a rotation another would end the
// grace of the one before.
func (s *Session) rotationOn(env *record.View, cur *store.Record) rotation {
	switch {
	case cur.Version == 0:
		return rotateNone // a new session has a new secret
	case s.rotate == rotateLogin:
		return rotateLogin
	case s.rotate == rotateNone, !equalHash(&env.Secret, &s.presented):
		return rotateNone
	case s.rotate == rotateKeep && s.m.now()-env.Rotated < s.m.cfg.MinRotate.Milliseconds():
		return rotateNone
	default:
		return s.rotate
	}
}

func (s *Session) changesExpiry(meta *record.Meta) bool {
	return s.expiry.kind != kindDefault && s.expiry != expiryOf(meta)
}

func expiryOf(meta *record.Meta) Expiry {
	return Expiry{kind: expiryKind(meta.Kind), idle: time.Duration(meta.Idle) * time.Millisecond, at: meta.At}
}

// replay applies the log to fresh values. User code runs here: no lock is held,
// and what it builds on is out of everybody else's sight.
func (s *Session) replay(env *record.View, owner string) (*state, error) {
	st := new(state)
	st.reset(env.Values, owner, make([]entry, 0, len(s.state.log)))
	var conflicts []string
	for i := range s.state.log {
		if s.state.log[i].kind == opSettled {
			continue
		}
		conflict, err := s.replayEntry(st, i, env)
		if err != nil {
			return nil, err
		}
		if conflict {
			conflicts = append(conflicts, s.state.log[i].name)
		}
	}
	if len(conflicts) > 0 {
		slices.SortFunc(conflicts, strings.Compare)
		return nil, &ConflictError{Keys: slices.Compact(conflicts)}
	}
	return st, nil
}

func (s *Session) replayEntry(st *state, i int, env *record.View) (conflict bool, err error) {
	e := s.state.log[i]
	if e.observed {
		was, wasOK := s.state.baseline(i, e.name)
		is, isOK := env.Values.Find(e.name)
		if wasOK != isOK || string(was) != string(is.Raw) {
			return true, nil
		}
	}
	if e.kind == opUpdate {
		raw, ok, rooted := st.find(e.name)
		e.rooted = rooted
		if e.raw, err = s.replayUpdate(st, &e, raw, ok); err != nil {
			return false, err
		}
	}
	st.add(e)
	return false, nil
}

func (s *Session) replayUpdate(st *state, e *entry, raw []byte, ok bool) ([]byte, error) {
	s.setScratch(st, 1)
	defer s.setScratch(nil, -1)
	return e.d.replay(&s.m.codec, e.d, e.fn, raw, ok)
}

func (s *Session) setScratch(st *state, running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = st
	s.updating += running
}
