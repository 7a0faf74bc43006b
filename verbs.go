package session

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// Info is what is known about a session besides its values.
type Info struct {
	// ID is a public handle for lists and for [Manager.Revoke]. It stays the same
	// for the life of the session, opens nothing, and is not the credential. A
	// session that has not been stored has none.
	ID string
	// Owner is what Login was given; empty before.
	Owner string
	// New says that the session has not been stored.
	New bool
	// Created, LoggedIn and Expires are when the session began, when Login was
	// last called (zero: never), and when it ends if it is not used again.
	Created, LoggedIn, Expires time.Time
	// Expiry is the session's policy.
	Expiry Expiry
}

// Info loads the session and describes it, with the changes of this request: a
// pending Login shows its owner, though LoggedIn is set by the commit.
func (s *Session) Info(ctx context.Context) (Info, error) {
	var info Info
	err := s.look(ctx, func(st *state) { info = s.info(st.owner) })
	return info, err
}

// info must be called with s.mu held.
func (s *Session) info(owner string) Info {
	meta := s.base
	if s.isNew {
		meta = s.m.newMeta(record.Hash{})
		meta.Created = 0
	}
	if s.expiry.kind != kindDefault {
		s.expiry.store(&meta)
	}
	info := storedInfo(s.key, &s.rec, &meta)
	info.Owner = owner
	if s.isNew {
		info.ID, info.New = "", true
		info.Expires = time.UnixMilli(expiresAt(&meta, s.m.now(), 0))
	}
	if s.frozen {
		info.Expires = msTime(meta.Deadline)
	}
	return info
}

func storedInfo(key store.Key, rec *store.Record, meta *record.Meta) Info {
	return Info{
		ID: handle(key), Owner: string(meta.Owner),
		Created: msTime(meta.Created), LoggedIn: msTime(meta.LoggedIn), Expires: rec.Expires,
		Expiry: expiryOf(meta),
	}
}

func msTime(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// Keys loads the session and returns the names of its keys, sorted.
func (s *Session) Keys(ctx context.Context) ([]string, error) {
	var names []string
	err := s.look(ctx, func(st *state) { names = st.keys() })
	return names, err
}

// Clear removes every key, also those that other requests add before the commit.
// The session, its owner and its credential stay.
func (s *Session) Clear(ctx context.Context) error {
	return s.change(ctx, func() error {
		s.bad = nil
		s.unmarkFailed("")
		return s.append("", entry{kind: opClear})
	})
}

// change runs f between enter and leave with s.mu held.
func (s *Session) change(ctx context.Context, f func() error) error {
	if err := s.enterChange(ctx); err != nil {
		return err
	}
	defer s.leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	return f()
}

// Login says who the visitor is, after they have proved it: at sign-in, and at
// each re-authentication (OWASP ASVS 7.2.4). At the commit the session gets a new
// credential, a new absolute lifetime, and owner in the store's index. The old
// credential reads for [Config.Grace] what it could read before, and writes
// nothing; requests begun before it are refused with [ErrSuperseded].
//
// Values stay, unless the session belonged to another owner: then they are
// removed first, those that this request set before Login included, and the old
// credential reads nothing of them. Of two
// concurrent logins in one session both succeed, the later one in a new session
// with only its own values.
//
// A login whose owner [Manager.RevokeOwner] revokes meanwhile ends its session, and
// the commit fails with [ErrDestroyed]. So does one that cannot ask whether that
// happened, with a [*StoreError]: the visitor has to log in again.
//
// owner is any UTF-8 text without NUL of 1 to 255 bytes that never changes for
// one user, such as an account's ID.
func (s *Session) Login(ctx context.Context, owner string) error {
	if err := checkOwner(owner); err != nil {
		return err
	}
	if err := s.enterLoaded(ctx, toChange); err != nil {
		return err
	}
	defer s.leave()
	if sent, _ := s.status(); sent {
		return ErrHeadersSent
	}
	noted, err := s.m.noteMark(ctx, owner)
	if err != nil {
		return err
	}
	if s.frozen { // a login does not fail because another one was faster
		s.becomeNew()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append("", entry{kind: opLogin, name: owner}); err != nil {
		return err
	}
	s.rotate, s.loginMark = rotateLogin, noted
	return nil
}

var errOwner = errors.New("session: an owner must be non-empty, valid UTF-8 without NUL")

func checkOwner(owner string) error {
	switch {
	case len(owner) > maxOwner:
		return &LimitError{Limit: LimitOwner, Max: maxOwner, Got: len(owner)}
	case owner == "" || !utf8.ValidString(owner):
		return errOwner
	}
	for i := range len(owner) {
		if owner[i] == 0 {
			return errOwner
		}
	}
	return nil
}

// Elevate gives the session a new credential because its privileges change, as
// for an administration mode. Everything else is kept, the absolute lifetime
// included. What is said of the old credential at [Session.Login] holds here; a
// concurrent Elevate is refused with [ErrSuperseded]. A session that is not
// stored yet has nothing to elevate: no change.
func (s *Session) Elevate(ctx context.Context) error { return s.rotateTo(ctx, rotateLogin) }

// Rotate gives the session a new credential without a change of privileges.
// The old one stays as good for [Config.Grace], so that requests under way are
// not disturbed; of concurrent calls one takes effect, and none within
// [Config.MinRotate] of the last rotation. For logins and changes of privileges
// this is not enough: use Login or Elevate. A session that is not stored yet is
// not changed.
func (s *Session) Rotate(ctx context.Context) error { return s.rotateTo(ctx, rotateKeep) }

func (s *Session) rotateTo(ctx context.Context, r rotation) error {
	return s.change(ctx, func() error {
		switch {
		case s.isNew:
			return nil
		case s.sent:
			return ErrHeadersSent
		}
		s.rotate = max(s.rotate, r)
		s.rev++
		return nil
	})
}

// SetExpiry changes when this session ends; the zero Expiry means that of the
// Config. It is kept with the session. An Expiry that is past or beyond the
// session's absolute lifetime is a *[ConfigError]. When the cookie has to change
// with it, the session is rotated as by Rotate, however soon; a request that
// still carries the credential before the last rotation changes the server's
// end only. It stores nothing by itself in a session that is not stored yet.
func (s *Session) SetExpiry(ctx context.Context, e Expiry) error {
	return s.change(ctx, func() error {
		if e == (Expiry{}) {
			e = s.m.cfg.Expiry
		}
		now, lifetime := time.Now(), s.m.cfg.Lifetime
		deadline := now.Add(lifetime)
		if !s.isNew && !s.state.login {
			deadline = time.UnixMilli(s.base.Deadline)
		}
		if err := e.check(now, deadline, lifetime); err != nil {
			return &ConfigError{Problems: []error{err}}
		}
		was := expiryOf(&s.base)
		switch newCookie := was.persistent() != e.persistent() || was.at != e.at; {
		case s.isNew || !newCookie:
		case s.sent:
			return ErrHeadersSent
		case !s.issue: // otherwise one goes out anyway
			s.rotate = max(s.rotate, rotateForced)
		}
		s.expiry = e
		s.rev++
		return nil
	})
}

// Save commits now what the request has changed so far; the commit at the
// response then has only what comes later. Afterwards reads show the committed
// state, with the results of Updates as they were stored: act on them after Save,
// not before. What was saved stands, whatever the response becomes.
//
// With nothing to save it does nothing. After a *[ConflictError], a *[ReplayError],
// [ErrContention] or a *[LimitError] nothing has been written, and the changes are
// still pending; after [ErrDestroyed], [ErrSuperseded] or [ErrUnknown] the session
// is of no more use in this request.
func (s *Session) Save(ctx context.Context) error {
	if err := s.enterLoaded(ctx, toChange); err != nil {
		return err
	}
	defer s.leave()
	if s.frozen || !s.changed() {
		return nil
	}
	if err := s.writable(); err != nil {
		return err
	}
	return s.flush(ctx)
}

// Destroy ends the session at once and on all nodes: logout. From now on this
// request holds a new, empty session, where a farewell message may be set; the
// visitor's cookie is removed, or replaced if something was set. A session that
// was not stored loses what was set in it.
//
// An error means that the session may still exist. Then the request fails, unless
// a second call of Destroy succeeds; after a failed load none does.
func (s *Session) Destroy(ctx context.Context) error {
	if err := s.enterLoaded(ctx, toDestroy); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.fail == nil && !errors.Is(err, ErrInUpdate) && !errors.Is(err, ErrClosed) {
			s.fail, s.doomed = err, true
		}
		return err
	}
	var ended []ending
	defer func() { tell(ended) }() // once nobody is kept out any more
	defer s.leave()
	var err error
	switch {
	case s.frozen:
		err = ErrSuperseded
	case !s.isNew:
		err = storeError("delete", s.m.store.Delete(ctx, s.key))
	}
	remove := s.remove || !s.isNew
	if err == nil {
		ended = s.endWatches()
		s.becomeNew()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail = err; err == nil {
		s.remove = remove
	}
	return err
}

// Reload reads the session again and forgets what this request has read, for
// handlers that live long. With unsaved changes it returns [ErrPending]. An error
// of the store leaves the session as it was; [ErrDestroyed] and [ErrSuperseded]
// say that it is over.
func (s *Session) Reload(ctx context.Context) error {
	if err := s.enterLoaded(ctx, toChange); err != nil {
		return err
	}
	defer s.leave()
	switch {
	case s.changed():
		return ErrPending
	case s.isNew:
		return nil
	}
	f, err := s.m.find(ctx, s.cred, true)
	if err != nil {
		return err
	}
	switch {
	case !s.frozen && f.rec.Version != 0 && f.view.Epoch == s.base.Epoch:
		f.match = matchCurrent // Rotate leaves a request its rights, also beyond the grace
	case f.match == matchNone:
		return s.failed(ErrDestroyed)
	case f.match != matchCurrent && !s.frozen:
		return s.failed(ErrSuperseded)
	}
	s.adopt(&f)
	return nil
}

// changed reports whether anything waits for the commit. It must be called
// between enter and leave.
func (s *Session) changed() bool {
	return s.rotate != rotateNone || s.expiry.kind != kindDefault || s.state.pending()
}

// isFinal reports whether a session is of no more use in this request.
func isFinal(err error) bool {
	return isOurs(err, ErrDestroyed) || isOurs(err, ErrSuperseded) || isOurs(err, ErrUnknown)
}

// isOurs is errors.Is, except that an Update function may return what it likes.
func isOurs(err, target error) bool {
	if !errors.Is(err, target) {
		return false
	}
	var replay *ReplayError
	return !errors.As(err, &replay)
}
