package session

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// buildLog builds the record that the whole log of a request leads to.
func (s *Session) buildLog(env *record.View, cur *store.Record) (outcome, error) {
	if env.Epoch != s.base.Epoch {
		return outcome{}, ErrSuperseded
	}
	st, conflicts, err := s.onto(env, cur)
	switch {
	case err != nil:
		return outcome{}, err
	case len(conflicts) > 0:
		return outcome{}, &ConflictError{Keys: conflicts}
	}
	replayed := st != &s.state
	var buf [4]record.Edit
	edits := st.edits(buf[:0])
	r := s.rotationOn(env, cur)
	if len(edits.Set) == 0 && !st.login && r == rotateNone &&
		(cur.Version == 0 || !edits.Clear && !s.changesExpiry(&env.Meta)) {
		return outcome{rec: *cur, skip: true, replayed: replayed}, nil
	}
	out, err := s.frame(env, cur, &edits, r, st)
	out.replayed = replayed
	return out, err
}

// onto returns the log on top of a record, replayed if that is not the record it
// was written on.
func (s *Session) onto(env *record.View, cur *store.Record) (st *state, conflicts []string, err error) {
	if !s.behind && cur.Version == s.rec.Version {
		return &s.state, nil, nil
	}
	return s.replay(s.state.log, env, s.m.ownerOf(cur, env.Owner))
}

// frame encodes the next record. st is nil when only the edits are to be stored.
func (s *Session) frame(env *record.View, cur *store.Record, edits *record.Edits, r rotation, st *state) (out outcome, err error) {
	if err := s.m.checkSize(edits.Size(env.Values), ""); err != nil {
		return outcome{}, err
	}
	now := s.m.now()
	meta := env.Meta
	meta.Seq++
	if now >= meta.Prev.Until {
		meta.Prev = record.Prev{}
	}
	owner := cur.Owner
	newIdle := st != nil && s.changesExpiry(&meta)
	if newIdle {
		s.expiry.store(&meta)
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
		if !s.undelivered(&meta) { // otherwise the visitor still has the one before
			meta.Prev = record.Prev{Mode: record.ModeAlias, Hash: env.Secret, Until: now + s.m.cfg.Grace.Milliseconds()}
		}
		if r == rotateLogin {
			meta.Epoch++
			if meta.Prev.Mode == record.ModeAlias {
				meta.Prev.Mode = record.ModeFrozen
				// What was another owner's is not kept: RevokeOwner would not find it.
				if st == nil || !st.login || len(env.Owner) == 0 || string(env.Owner) == st.owner {
					meta.Prev.Values, meta.Prev.Owner, meta.Prev.LoggedIn = env.Values, env.Owner, env.LoggedIn
				}
			}
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
		return outcome{ended: true}, ErrDestroyed
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
	meta := record.Meta{
		Created: now, Rotated: now, Deadline: now + m.cfg.Lifetime.Milliseconds(),
		Secret: secret,
	}
	m.cfg.Expiry.store(&meta)
	return meta
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

// undelivered reports whether the current secret is one that this request has
// issued and not sent yet, in place of an earlier one.
func (s *Session) undelivered(meta *record.Meta) bool {
	return s.issue && meta.Prev.Mode != record.ModeNone && equalHash(&meta.Secret, &s.presented)
}

func (s *Session) changesExpiry(meta *record.Meta) bool {
	return s.expiry.kind != kindDefault && s.expiry != expiryOf(meta)
}

// replay applies a log, that of the state or a part of it, to fresh values. User
// code runs here, with s.mu unlocked: other reads of the request go on, changes and
// the commits of other requests wait, no longer than their contexts. What it builds
// on is out of everybody else's sight. conflicts are the keys of entries that must
// not be applied.
func (s *Session) replay(log []entry, env *record.View, owner string) (st *state, conflicts []string, err error) {
	st = new(state)
	st.reset(env.Values, owner, make([]entry, 0, len(log)))
	for i, e := range log {
		if e.kind == opSettled {
			continue
		}
		if e.observed {
			was, wasOK := s.state.baseline(i, e.name)
			is, isOK := env.Values.Find(e.name)
			if wasOK != isOK || string(was) != string(is.Raw) {
				conflicts = append(conflicts, e.name)
			}
		}
		switch e.kind {
		case opUpdate, opStruct:
			if err := s.replayUpdate(st, &e); err != nil {
				return nil, nil, err
			}
			continue
		case opPart:
			continue
		}
		st.add(e)
		if e.d != nil && len(conflicts) == 0 { // which are the cause then
			if err := s.checkStruct(st, e.d); err != nil {
				return nil, nil, err
			}
		}
	}
	slices.Sort(conflicts)
	return st, slices.Compact(conflicts), nil
}

// replayUpdate runs the function of an Update again and adds what it comes to.
func (s *Session) replayUpdate(st *state, e *entry) error {
	u := st.start(e.d)
	out, err := s.rerun(st, e, u)
	if err != nil {
		return err
	}
	var buf [1]entry
	for _, e := range updateEntries(buf[:0], e.d, e.fn, &u, &out) {
		st.add(e)
	}
	return nil
}

func (s *Session) rerun(st *state, e *entry, u start) (updated, error) {
	s.setScratch(st, 1)
	defer s.setScratch(nil, -1)
	out, err := e.d.replay(&s.m.codec, e.d, e.fn, u)
	if err == nil {
		_, err = s.status() // of a read in there that could not return it
	}
	return out, err
}

// checkStruct validates a struct that has been merged from fields of several
// requests.
func (s *Session) checkStruct(st *state, d *declaration) error {
	c := &s.m.codec
	v := reflect.New(d.typ)
	if _, err := c.decodeFields(d.plan, st.findFields(d.plan), v.Elem()); err != nil {
		return err
	}
	return refused(d, c.validate(d, v.Interface()))
}

func (s *Session) setScratch(st *state, running int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = st
	s.updating += running
}
