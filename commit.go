package session

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
)

// Bounds of a commit. The numbers were chosen by measurement: bursts of 50
// parallel requests on two nodes need at most 11 attempts. But where two processes
// write one SQLite file without pause, the one that has to wait for the lock finds
// the record changed nearly each time: one in 20,000 commits needs more than 32.
const (
	maxAttempts = 96
	freeRetries = 3 // without a pause, on the record that came with the refusal; then every other one
	backoff     = time.Millisecond
	maxBackoff  = 16 * time.Millisecond
	maxInserts  = 3
)

// builder makes the record that a commit stores, from a record and its frame. It
// is asked again when another request was faster. It is no interface, because its
// arguments would then be allocated.
type builder struct {
	s      *Session
	settle *settlement // nil: the whole log
}

func (b builder) build(env *record.View, cur *store.Record) (outcome, error) {
	if b.settle != nil {
		return b.s.buildSettlement(b.settle, env, cur)
	}
	return b.s.buildLog(env, cur)
}

// outcome is the result of one build.
type outcome struct {
	rec      store.Record
	skip     bool        // nothing to store: rec is what is there
	ended    bool        // the record was past its end, and nothing was built
	cred     *credential // issued by a rotation
	replayed bool

	// Of a settlement: the keys as they are, or were before they were taken.
	values  []stored
	applied bool
}

// attempt is a build that was sent.
type attempt struct {
	old int64 // the version it was to replace
	out outcome
}

// write commits what b builds: as a new record, or by swapping. It must be
// called between enter and leave.
func (s *Session) write(ctx context.Context, b builder) (outcome, error) {
	if s.commitID == 0 {
		s.commitID = newVersion()
	}
	out, err := s.send(ctx, b)
	if isOurs(err, ErrSuperseded) && s.state.login {
		if err = s.startOver(); err == nil {
			out, err = s.send(ctx, b)
		}
	}
	if err == nil {
		s.commitID = 0
	}
	return out, err
}

// startOver makes s a new session with what the request itself did in it: a
// login that lost against another one. What it did before the login is left behind
// where the login removes it.
func (s *Session) startOver() error {
	var own []entry
	for _, e := range s.state.log {
		switch {
		case e.kind == opLogin && e.clears:
			own = own[:0]
		case e.kind == opSettled:
			continue
		}
		e.observed, e.keep = false, nil
		if e.kind == opSet || e.kind == opDelete {
			e.d = nil // nothing is merged here
		}
		own = append(own, e)
	}
	st, _, err := s.replay(own, &record.View{}, "")
	if err != nil {
		return err
	}
	s.mu.Lock()
	expiry, noted := s.expiry, s.loginMark
	s.mu.Unlock()
	s.becomeNew()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state, s.expiry, s.loginMark, s.commitID = *st, expiry, noted, newVersion()
	return nil
}

func (s *Session) send(ctx context.Context, b builder) (outcome, error) {
	if s.isNew {
		return s.insert(ctx, b)
	}
	sl, err := s.m.queue.acquire(ctx, s.key)
	if err != nil {
		return outcome{}, fmt.Errorf("%w: %w", ErrContention, err)
	}
	defer s.m.queue.release(sl)
	return s.swap(ctx, sl, b)
}

// insert creates the record, under a key that has never been used.
func (s *Session) insert(ctx context.Context, b builder) (outcome, error) {
	for range maxInserts {
		cred := newCredential()
		env := record.View{Meta: s.m.newMeta(cred.secretHash())}
		out, err := b.build(&env, new(store.Record))
		if err != nil || out.skip {
			return out, err
		}
		key := cred.storeKey(&s.m.scopeHash)
		err = s.m.store.Insert(ctx, key, out.rec)
		if errors.Is(err, store.ErrExists) {
			// Either chance, or a driver that repeated what it had done.
			there, loadErr := s.m.load(ctx, key, true)
			if loadErr != nil || there.Version != out.rec.Version {
				continue
			}
			err = nil
		}
		if err != nil {
			return outcome{}, storeError("insert", err) // a record perhaps, but nobody has its key
		}
		out.cred = &cred
		return out, nil
	}
	return outcome{}, storeError("insert", store.ErrExists)
}

// swap replaces the record, building anew on each record it finds instead.
func (s *Session) swap(ctx context.Context, sl *slot, b builder) (outcome, error) {
	cur, env, err := s.startFrom(sl)
	if err != nil {
		return outcome{}, err
	}
	var (
		l     = swapLoop{s: s}
		out   outcome
		stale = true // out was not built on cur
	)
	for n := 1; ; n++ {
		if err := ctx.Err(); err != nil {
			return outcome{}, l.givesUp(err)
		}
		if stale {
			var ours bool
			if out, ours, err = l.build(ctx, b, &cur, &env); err != nil || ours || out.skip {
				return out, err
			}
		}
		got, err := s.m.store.Swap(ctx, s.key, cur.Version, out.rec)
		switch {
		case err == nil:
			sl.rec = out.rec
			return out, nil
		case errors.Is(err, store.ErrNotFound):
			return outcome{}, l.gone()
		case errors.Is(err, store.ErrRefused):
			l.failed = storeError("swap", err)
			return outcome{}, l.givesUp(nil)
		case !errors.Is(err, store.ErrConflict):
			l.unanswered(env.Seq, err)
			got = store.Record{}
		}
		if stale {
			l.tried = append(l.tried, attempt{old: cur.Version, out: out})
		}
		stale = false
		if n == maxAttempts {
			return outcome{}, l.givesUp(nil)
		}
		if more := n - freeRetries; more%2 == 1 && more > 0 { // by then others write too: look again after a pause
			pause(ctx, more/2+1)
			got = store.Record{}
		}
		if got.Version == 0 {
			got, err = s.m.load(ctx, s.key, true)
			if errors.Is(err, store.ErrNotFound) {
				return outcome{}, l.gone()
			}
			if err != nil {
				l.failed = storeError("load", err)
				continue // the same swap again: it is idempotent
			}
		}
		next, err := s.m.parse(got.Data)
		if err != nil {
			return outcome{}, l.because(err)
		}
		if was, ours := l.recognize(&got, &next); ours {
			sl.rec = got
			return was, l.knows(was)
		}
		if l.ambiguous && next.Seq > l.seq+record.MaxRecent {
			return outcome{}, l.because(nil) // ours may have left the ring
		}
		stale = got.Version != cur.Version
		cur, env = got, next
	}
}

// startFrom returns the newest record this node knows of. It is none that a cache had:
// the first change of a request has loaded the session past every cache.
func (s *Session) startFrom(sl *slot) (store.Record, record.View, error) {
	env := record.View{Meta: s.base, Values: s.state.values}
	if s.behind {
		var err error
		if env, err = s.m.parse(s.rec.Data); err != nil {
			return store.Record{}, record.View{}, err
		}
	}
	if sl.rec.Version == 0 || sl.rec.Version == s.rec.Version {
		return s.rec, env, nil
	}
	if last, err := s.m.parse(sl.rec.Data); err == nil && last.Seq > env.Seq {
		return sl.rec, last, nil
	}
	return s.rec, env, nil
}

// loadLive loads a record that must be there.
func (m *Manager) loadLive(ctx context.Context, key store.Key) (store.Record, record.View, error) {
	rec, err := m.load(ctx, key, true)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return rec, record.View{}, ErrDestroyed
	case err != nil:
		return rec, record.View{}, storeError("load", err)
	}
	env, err := m.parse(rec.Data)
	return rec, env, err
}

// swapLoop is what a series of attempts has learned.
type swapLoop struct {
	s         *Session
	tried     []attempt
	ambiguous bool   // an attempt was not answered
	seq       uint64 // commits before the first such attempt
	failed    error  // last failure of the store
}

// build builds on cur. When that is past its end as far as is known here, it may have
// been given a longer life meanwhile: then build goes on from what the store has. ours
// says that an attempt turns out to have been applied.
func (l *swapLoop) build(ctx context.Context, b builder, cur *store.Record, env *record.View) (out outcome, ours bool, err error) {
	for {
		if out, err = b.build(env, cur); !out.ended {
			return out, false, err
		}
		last := cur.Version
		*cur, *env, err = l.s.m.loadLive(ctx, l.s.key)
		switch {
		case isOurs(err, ErrDestroyed), err == nil && cur.Version == last:
			return outcome{}, false, l.gone()
		case err != nil:
			return outcome{}, false, l.because(err)
		}
		if out, ours = l.recognize(cur, env); ours {
			return out, true, l.knows(out)
		}
	}
}

func (l *swapLoop) unanswered(seq uint64, err error) {
	if !l.ambiguous {
		l.ambiguous, l.seq = true, seq
	}
	l.failed = storeError("swap", err)
}

// because adds to err what is not known.
func (l *swapLoop) because(err error) error {
	switch {
	case !l.ambiguous:
		return err
	case err == nil:
		err = l.failed
	}
	return fmt.Errorf("%w: %w", ErrUnknown, err)
}

// givesUp ends the attempts.
func (l *swapLoop) givesUp(cause error) error {
	switch {
	case l.ambiguous:
		return l.because(nil)
	case l.failed != nil:
		return l.failed
	case cause != nil && len(l.tried) == 0:
		return cause
	case cause != nil:
		return fmt.Errorf("%w: %w", ErrContention, cause)
	default:
		return ErrContention
	}
}

func (l *swapLoop) gone() error {
	if l.ambiguous { // it may have been seen before it went
		return fmt.Errorf("%w: %w", ErrDestroyed, ErrUnknown)
	}
	return ErrDestroyed
}

// recognize finds out whether one of the attempts has been applied after all,
// and which: the frames name the versions they came from.
func (l *swapLoop) recognize(got *store.Record, view *record.View) (out outcome, ours bool) {
	before := 0 // where the version it replaced is in view.Recent
	if got.Version != l.s.commitID {
		i := view.IsRecent(l.s.commitID)
		if i < 0 {
			return outcome{}, false
		}
		before = i + 1
	}
	if 8*before < len(view.Recent) {
		for _, t := range l.tried {
			if t.old == view.RecentAt(before) {
				return t.out, true
			}
		}
	} else if len(l.tried) == 1 {
		return l.tried[0].out, true
	}
	return outcome{}, true
}

// knows returns an error when it is known that an attempt was applied, and not
// which.
func (l *swapLoop) knows(out outcome) error {
	if out.rec.Version == 0 {
		return fmt.Errorf("%w: applied, but on top of an unknown state", ErrUnknown)
	}
	return nil
}

func pause(ctx context.Context, n int) {
	most := maxBackoff
	if n < 5 {
		most = min(most, backoff<<(n-1))
	}
	timer := time.NewTimer(rand.N(most)) //nolint:gosec // spreads retries, is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
