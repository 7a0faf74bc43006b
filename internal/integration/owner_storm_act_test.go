package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// stormStep is what one request does, in this order.
type stormStep struct {
	login   string // empty: none
	revoke  *stormRevoke
	turn    func(*session.Session, context.Context) error // Rotate or Elevate
	add     bool                                          // one to counter
	destroy bool
}

// stormAttempt is what became of it.
type stormAttempt struct {
	stormSpan
	looked     stormSpan    // at before
	before     session.Info // what was loaded
	after      session.Info // what was committed
	credential string       // that was issued
	login      stormLogin
	ended      stormSpan // by Destroy
	count      int
	gone       bool // the credential opened nothing
}

func (w *stormWorker) request(credential string, step *stormStep) (a stormAttempt, err error) {
	w.requests.Add(1)
	var o session.Opening
	if credential != "" {
		o.Credentials = []string{credential}
	}
	m := w.node()
	a.from = w.tick()
	s := m.Open(o)
	ctx := session.NewContext(w.t.Context(), s)
	if err = w.handle(ctx, m, s, credential, step, &a); err == nil {
		var ticket session.Ticket
		if ticket, err = m.Commit(ctx, s); ticket.Action() == session.ActionSet {
			a.credential = ticket.Credential()
		}
		if err == nil {
			a.after, err = s.Info(ctx)
		}
	} else if _, discarded := m.Discard(ctx, s); discarded != nil {
		err = errors.Join(err, discarded)
	}
	err = errors.Join(err, m.Finish(ctx, s))
	a.to = w.tick()
	a.login.stormSpan, a.login.sure = a.stormSpan, err == nil
	return a, err
}

func (w *stormWorker) handle(ctx context.Context, m *session.Manager, s *session.Session, credential string, step *stormStep, a *stormAttempt) (err error) {
	a.before, err = s.Info(ctx)
	a.looked = stormSpan{a.from, w.tick()}
	if a.gone = credential != "" && a.before.New; err != nil || a.gone {
		return err
	}
	if step.login != "" {
		if err = s.Login(ctx, step.login); err != nil {
			return err
		}
		a.login = stormLogin{owner: step.login, begun: w.tick(), same: step.revoke}
	}
	if step.revoke != nil {
		if err = w.call(ctx, m, step.revoke); err != nil {
			return err
		}
	}
	if step.turn != nil {
		if err = step.turn(s, ctx); err != nil {
			return err
		}
	}
	if step.add {
		if a.count, err = counter.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
			return err
		}
	}
	if step.destroy {
		a.ended.from = w.tick()
		err = s.Destroy(ctx)
		a.ended.to = w.tick()
	}
	return err
}

// act does something in a session that only this goroutine uses, so that it knows
// what has to come of it.
func (w *stormWorker) act(own *stormOwn, step stormStep) error {
	if own.credential == "" && step.login == "" && !step.add {
		return nil // there would be nothing to store
	}
	a, err := w.request(own.credential, &step)
	for w.again(err) {
		if step.revoke != nil {
			step.revoke = &stormRevoke{owner: step.revoke.owner, except: step.revoke.except}
		}
		a, err = w.request(own.credential, &step)
	}
	if err != nil && !errors.Is(err, session.ErrDestroyed) {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err != nil || a.gone:
		w.lost(own, &step, &a)
		return nil
	case own.id != "" && a.before.ID != own.id:
		return fmt.Errorf("the credential of %s opened %s", own.id, a.before.ID)
	case own.id != "":
		s := w.session(own.id)
		w.sights = append(w.sights, stormSight{stormSpan: a.looked, session: s, owner: a.before.Owner})
	}
	if step.login != "" && own.owner != "" && step.login != own.owner {
		own.count = 0 // another owner begins anew
	}
	if step.add {
		if own.count++; a.count != own.count {
			return fmt.Errorf("the counter of %s is %d, it should be %d", own.id, a.count, own.count)
		}
	}
	if step.destroy {
		if own.id != "" {
			s := w.session(own.id)
			s.ends = append(s.ends, stormEnd{stormSpan: a.ended, sure: true})
		}
		w.drop(own)
		return nil
	}
	s := w.session(a.after.ID)
	if own.id != "" && own.id != s.id {
		return fmt.Errorf("%s became %s", own.id, s.id)
	}
	own.id, own.known = s.id, a.from
	w.keep(s, &step, &a)
	if a.credential != "" {
		own.credential = a.credential
	}
	if step.login != "" {
		own.owner = step.login
	}
	return nil
}

// keep notes what a request has done to a session. w.mu is held.
func (w *stormWorker) keep(s *stormSession, step *stormStep, a *stormAttempt) {
	if step.login != "" {
		s.logins = append(s.logins, a.login)
	}
	if a.credential != "" {
		s.credentials = append(s.credentials, a.credential)
	}
}

// lost notes that a session is over, or has never been given to anybody. w.mu is
// held.
func (w *stormWorker) lost(own *stormOwn, step *stormStep, a *stormAttempt) {
	l := stormSight{stormSpan: a.stormSpan, session: &stormSession{id: "of a refused login"}, gone: true, known: own.known, same: step.revoke}
	if own.id != "" {
		l.session = w.session(own.id)
	}
	if !a.gone {
		l.known = a.from
		if a.login.owner != "" {
			l.login = a.login.owner
			l.session.logins = append(l.session.logins, a.login)
			w.refused = append(w.refused, a.stormSpan)
		}
	}
	l.session.ends = append(l.session.ends, stormEnd{stormSpan: l.stormSpan, sure: true})
	w.sights = append(w.sights, l)
	w.drop(own)
}

func (w *stormWorker) drop(own *stormOwn) {
	*own = stormOwn{}
	w.own = slices.DeleteFunc(w.own, func(o *stormOwn) bool { return o == own })
}

// actShared does something in a session that others use at the same moment.
func (w *stormWorker) actShared(slot *stormSlot, step stormStep) error {
	slot.mu.Lock()
	credential := slot.credential
	slot.mu.Unlock()
	if credential == "" {
		step = stormStep{login: "ada", add: true}
	}
	a, err := w.request(credential, &step)
	for w.again(err) {
		a, err = w.request(credential, &step)
	}
	next := a.credential
	w.mu.Lock()
	defer w.mu.Unlock()
	if !a.before.New {
		s := w.session(a.before.ID)
		s.shared = true
		w.sights = append(w.sights, stormSight{stormSpan: a.looked, session: s, loose: true})
	}
	switch {
	case errors.Is(err, session.ErrSuperseded):
		return nil
	case errors.Is(err, session.ErrDestroyed):
		if a.login.owner != "" {
			// This session, or the one that began because of another login.
			w.refused = append(w.refused, a.stormSpan)
		}
		if !a.before.New {
			s := w.session(a.before.ID)
			s.ends = append(s.ends, stormEnd{stormSpan: a.stormSpan, sure: a.login.owner == ""})
			if a.login.owner != "" {
				s.logins = append(s.logins, a.login)
			}
		}
	case err != nil:
		return err
	case a.gone:
	case step.destroy:
		if !a.before.New {
			s := w.session(a.before.ID)
			s.ends = append(s.ends, stormEnd{stormSpan: a.ended, sure: true})
		}
	default:
		if next == "" {
			next = credential
		}
		s := w.session(a.after.ID)
		s.shared = true
		w.keep(s, &step, &a)
	}
	slot.mu.Lock()
	defer slot.mu.Unlock()
	if slot.credential == credential || next != credential {
		slot.credential = next
	}
	return nil
}

// verify holds all that was seen against the model, and then everything that is
// there.
func (h *storm) verify() {
	h.t.Helper()
	<-time.After(20 * time.Millisecond) // superseded credentials are worth nothing any more
	for node := range h.managers {
		for _, owner := range []string{"ada", "bob"} {
			l := stormSight{owner: owner}
			require.NoError(h.t, h.listed(&l, node))
			h.listings = append(h.listings, l)
		}
	}
	problems := h.check()
	for _, p := range problems[:min(len(problems), 5)] {
		h.t.Error(p)
	}
	require.Empty(h.t, len(problems), "problems; seed %d", h.seed)
	h.verifyEach("")
	bobs := h.listings[len(h.listings)-1]
	r := &stormRevoke{owner: "ada"}
	require.NoError(h.t, h.call(h.t.Context(), h.managers[0], r))
	for node := range h.managers {
		for owner, want := range map[string][]string{"ada": nil, "bob": bobs.ids} {
			l := stormSight{owner: owner}
			require.NoError(h.t, h.listed(&l, node))
			require.ElementsMatch(h.t, want, l.ids, owner)
		}
	}
	for _, s := range h.sessions {
		if now := (stormSpan{h.tick(), h.tick()}); !s.disowned("ada", now) {
			s.ends = append(s.ends, stormEnd{stormSpan: r.stormSpan, sure: s.owned("ada", now)})
		}
	}
	h.verifyEach("ada")
}

// verifyEach reads every session with every credential that it ever had. Whoever
// was revoked owns none.
func (h *storm) verifyEach(revoked string) {
	h.t.Helper()
	unsure := 0
	for _, s := range h.sessions {
		now := stormSpan{h.tick(), h.tick()}
		known := false
		for i, credential := range s.credentials {
			info, err := h.infoOf(credential, i%2)
			require.NoError(h.t, err)
			require.False(h.t, revoked != "" && info.Owner == revoked, "%v is there", s)
			switch {
			case s.ended(now):
				require.True(h.t, info.New, "%v is there", s)
				known = true
			case i < len(s.credentials)-1 || s.shared:
			case len(s.logins) == 0:
				require.Equal(h.t, s.id, info.ID)
				require.Empty(h.t, info.Owner)
				known = true
			default:
				for _, owner := range []string{"ada", "bob"} {
					if s.owned(owner, now) {
						require.Equal(h.t, s.id, info.ID)
						require.Equal(h.t, owner, info.Owner)
						known = true
					}
				}
			}
		}
		if !known && !s.shared {
			unsure++
		}
	}
	require.LessOrEqual(h.t, unsure, len(h.sessions)/10, "the model knows too little")
}
