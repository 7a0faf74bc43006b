package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

const (
	listPage   = 100  // sessions read at a time
	sweepBatch = 1000 // records removed at a time
)

// Sessions yields the live sessions of an owner, in no particular order, a page at
// a time. A session that begins or ends meanwhile may be missing or not. A record
// that cannot be read is yielded as an error beside its ID, and the iteration goes
// on; a failure of the store is yielded and ends it. The error wraps
// [errors.ErrUnsupported] when the store has no owner index.
func (m *Manager) Sessions(ctx context.Context, owner string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := m.checkOwners(owner); err != nil {
			yield(Info{}, err)
			return
		}
		var after store.Key
		for {
			page, err := m.owners.ListOwner(ctx, m.cfg.Scope.owner(owner), after, listPage)
			if err != nil {
				yield(Info{}, storeError("list", err))
				return
			}
			for _, e := range page {
				view, err := record.Parse(e.Record.Data)
				after = e.Key
				if err != nil {
					if !yield(Info{ID: handle(e.Key)}, storeError("list", err)) {
						return
					}
					continue
				}
				if string(view.Owner) == owner && !yield(storedInfo(e.Key, &e.Record, &view.Meta), nil) {
					return
				}
			}
			if len(page) < listPage {
				return
			}
		}
	}
}

// RevokeOwner ends every session of an owner, except those whose handles
// ([Info.ID]) are given: "log out everywhere else". A login of that owner that has
// begun and is not committed yet is refused with [ErrDestroyed], unless it is one of
// the request that ctx belongs to. Its error wraps
// [errors.ErrUnsupported] when the store has no owner index. After any other error
// some sessions, or logins under way, may go on; what the store could delete has
// ended, and calling again is safe.
func (m *Manager) RevokeOwner(ctx context.Context, owner string, except ...string) error {
	if err := m.checkOwners(owner); err != nil {
		return err
	}
	keys := make([]store.Key, 0, len(except))
	for _, id := range except {
		key, err := parseHandle(id)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	moved, err := m.moveMarks(ctx, owner)
	if s, ok := m.Session(ctx); ok {
		s.excuse(moved)
	}
	// A store that is full may refuse the marks, and delete all the same.
	_, failed := m.owners.DeleteOwner(ctx, m.cfg.Scope.owner(owner), keys...)
	return errors.Join(err, storeError("delete", failed))
}

func (m *Manager) checkOwners(owner string) error {
	if m.owners == nil {
		return fmt.Errorf("session: %T has no owner index: %w", m.store, errors.ErrUnsupported)
	}
	return checkOwner(owner)
}

// DeleteExpired removes what has expired from the store, in bounded batches, and
// returns how many sessions that were, also with an error. Its error wraps
// [errors.ErrUnsupported] when the store does this by itself.
func (m *Manager) DeleteExpired(ctx context.Context) (int64, error) {
	if m.sweeper == nil {
		return 0, fmt.Errorf("session: %T cannot be swept: %w", m.store, errors.ErrUnsupported)
	}
	var total int64
	for {
		n, err := m.sweeper.DeleteExpired(ctx, sweepBatch)
		total += n
		if err == nil && n == sweepBatch {
			err = ctx.Err()
		}
		if err != nil {
			return total, storeError("sweep", err)
		}
		if n < sweepBatch {
			return total, nil
		}
	}
}

// RunSweeper calls DeleteExpired about every so often, spread by a tenth so that
// nodes do not sweep in step, first after one such time. It returns when ctx
// ends, with ctx's error, or at once where the store needs no sweeping or every is
// not positive. A sweep that fails is logged and tried again next time.
func (m *Manager) RunSweeper(ctx context.Context, every time.Duration) error {
	if every <= 0 {
		err := &ConfigError{Problems: []error{fmt.Errorf("sweeping every %v: the time must be positive", every)}}
		m.cfg.Logger.ErrorContext(ctx, "not sweeping", "error", err) // for whoever starts it with go
		return err
	}
	if m.sweeper == nil {
		_, err := m.DeleteExpired(ctx)
		return err
	}
	timer := time.NewTimer(jitter(every))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		if _, err := m.DeleteExpired(ctx); err != nil && ctx.Err() == nil {
			m.cfg.Logger.ErrorContext(ctx, "sweeping expired sessions failed", "error", err)
		}
		timer.Reset(jitter(every))
	}
}

func jitter(d time.Duration) time.Duration {
	return d - d/10 + rand.N(d/5+1) //nolint:gosec // spreads sweeps, is no secret
}
