package session

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"time"

	"github.com/typedsession/session/store"
)

// A login that is under way while its owner is revoked must not outlive that: the
// proof it rests on, a password for example, may be what was revoked. The owner index
// does not know it yet. So each owner has a mark in the store, a record of nobody,
// whose version RevokeOwner replaces before it looks at the index. Login notes the
// version; the commit, once its session is in the index, looks whether it is still
// there. Either the index shows the session to RevokeOwner, or the mark shows
// RevokeOwner to the commit.
//
// Keys of records are not used again, so each day has a mark of its own. RevokeOwner
// replaces that of an hour ago and that of an hour ahead, nearly always the same:
// that is how long a login may take, together with what clocks differ by.

const (
	markPeriod   = 24 * time.Hour
	markSlack    = time.Hour
	markLifetime = 2 * markPeriod // beyond the day and the slack around it
)

// mark is what Login has noted.
type mark struct {
	key     store.Key
	version int64 // 0: there was none
}

// markKey returns the key of an owner's mark at a time.
func (m *Manager) markKey(owner string, at time.Time) store.Key {
	h := sha256.New()
	h.Write([]byte{markPurpose})
	h.Write(m.scopeHash[:])
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano()/int64(markPeriod))))
	h.Write([]byte(owner))
	return store.Key(h.Sum(nil))
}

// noteMark returns the mark of an owner as it is now.
func (m *Manager) noteMark(ctx context.Context, owner string) (*mark, error) {
	if m.owners == nil {
		return nil, nil // there is no RevokeOwner
	}
	key := m.markKey(owner, time.Now())
	version, err := m.markVersion(ctx, key)
	return &mark{key: key, version: version}, err
}

func (m *Manager) markVersion(ctx context.Context, key store.Key) (int64, error) {
	rec, err := m.load(ctx, key, true)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return rec.Version, storeError("load", err)
}

// moveMarks replaces the marks of an owner and returns those before and after, also
// with an error.
func (m *Manager) moveMarks(ctx context.Context, owner string) (moved [][2]mark, err error) {
	now := time.Now()
	keys := []store.Key{m.markKey(owner, now.Add(-markSlack)), m.markKey(owner, now.Add(markSlack))}
	if keys[0] == keys[1] {
		keys = keys[:1]
	}
	for _, key := range keys {
		r := store.Record{Version: newVersion(), Expires: now.Add(markLifetime)}
		was, err := m.moveMark(ctx, key, r)
		if err != nil {
			return moved, err
		}
		moved = append(moved, [2]mark{{key, was}, {key, r.Version}})
	}
	return moved, nil
}

// moveMark stores r as a mark. Several that do so at once follow one another.
func (m *Manager) moveMark(ctx context.Context, key store.Key, r store.Record) (was int64, err error) {
	for n := range maxAttempts {
		if n > 0 {
			pause(ctx, n)
		}
		if was, err = m.markVersion(ctx, key); err != nil {
			return 0, err
		}
		if was == 0 {
			err = m.store.Insert(ctx, key, r)
		} else {
			_, err = m.store.Swap(ctx, key, was, r)
		}
		if !errors.Is(err, store.ErrExists) && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict) {
			return was, storeError("swap", err)
		}
	}
	return 0, ErrContention
}

// checkMark ends a session that has just been stored with a login, if its owner has
// been revoked since; and if that cannot be found out. It must be called between
// enter and leave.
func (s *Session) checkMark(ctx context.Context, noted *mark) error {
	version, err := s.m.markVersion(ctx, noted.key)
	if err == nil && (version == noted.version || version == 0) {
		return nil
	}
	if deleteErr := storeError("delete", s.m.store.Delete(ctx, s.key)); err == nil {
		if err = deleteErr; err == nil {
			err = ErrDestroyed
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.issue, s.doomed = err, false, true // nobody gets the credential
	return err
}

// excuse makes a login of this request outlive a RevokeOwner of the same request.
func (s *Session) excuse(moved [][2]mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range moved {
		if s.loginMark != nil && *s.loginMark == m[0] {
			s.loginMark = &m[1]
		}
	}
}
