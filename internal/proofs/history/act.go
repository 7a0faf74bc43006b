package history

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/typedsession/session"
)

// act makes the change of a request and ends it. It reports false, having done
// nothing, where there is nothing to be changed.
func (c *client) act(ctx context.Context, s *session.Session, l *op, k kind, key int) bool {
	if !l.stale && (k == getOrSet && l.values[key] != 0 || k == claim && l.values[key]%2 != 0) {
		c.seen(ctx, l, k, key)
		return false
	}
	o := c.begin(c, k, l.cred)
	o.keys = []int{key}
	o.value = int32(1000 * o.id) //nolint:gosec // G115: few
	o.owner = 0
	verb, save := c.verb(ctx, s, l, o)
	o.err = verb
	if verb == nil && save {
		// Who was let in had the rights when it loaded the session.
		l.writes = true
		o.err = c.save(ctx, s)
	}
	ticket, err := c.respond(ctx, s, o.err)
	if o.err == nil {
		o.err = err
	}
	// What is changed is loaded again where it was read from a cache.
	if o.out = c.outcome(o, verb != nil && !l.stale); o.kind == login && o.out == done && !sameSession(ticket.Credential(), l.cred.text) {
		o.out = superseded
	}
	c.after(ctx, s, o)
	c.adopt(o, ticket)
	if o.onlyLooks() {
		// Then nobody has asked the store again: it is about what was loaded, or what
		// another request of this node has stored since.
		o.call, o.begin, o.stale = l.call, l.begin, l.stale
	}
	c.end(o)
	if o.stale && o.out == done {
		c.touched(l, nil) // it may have been no more than that
	}
	if o.out == unknown && errors.Is(o.err, session.ErrDestroyed) { // that is known
		end := c.begin(c, o.kind, o.cred)
		end.keys, end.out, end.call, end.begin = o.keys, gone, o.call, o.begin
		c.end(end)
	}
	return true
}

// onlyLooks reports whether o may have written nothing.
func (o *op) onlyLooks() bool {
	switch {
	case o.out == superseded, o.out == conflict, o.out == refused:
		return true
	case o.out != done:
		return false
	}
	switch o.kind {
	case take:
		return o.got == 0
	case getOrSet:
		return o.got != o.value
	case remove:
		return true
	case rotate:
		return !o.rotated && len(o.keys) == 0
	default:
		return false
	}
}

// seen compares what a verb returns that only looks.
func (c *client) seen(ctx context.Context, l *op, k kind, key int) {
	if k == claim {
		_, err := keys[key].Update(ctx, even)
		l.other = !errors.Is(err, errOdd) && !errors.Is(err, session.ErrSuperseded)
		return
	}
	n, err := keys[key].GetOrSet(ctx, func() (int32, error) { return -1, nil })
	l.other = err != nil || n != l.values[key]
}

// even adds 1 to an even number.
func even(n *int32) error {
	if *n%2 != 0 {
		return errOdd
	}
	*n++
	return nil
}

// verb calls the verb of a change. save is false for those that commit at once.
func (c *client) verb(ctx context.Context, s *session.Session, l, o *op) (err error, save bool) {
	k := keys[o.keys[0]]
	soon, cancel := c.limited(ctx)
	defer cancel()
	switch o.kind {
	case set:
		return c.set(ctx, o, c.rnd.IntN(2) == 0), true
	case update:
		o.value = 0
		o.got, err = k.Update(ctx, func(n *int32) error { *n++; return nil })
		return err, true
	case claim:
		o.value = 0
		o.got, err = k.Update(ctx, even)
		return err, true
	case pair:
		o.value, o.keys = 0, nil
		_, err = both.Update(ctx, func(f *fields) error { f.X++; f.Y++; return nil })
		return err, true
	case replace:
		o.got = l.values[o.keys[0]]
		if c.rnd.IntN(2) == 0 {
			o.value = o.got + 1 // as others do who have seen the same
		}
		return k.Set(ctx, o.value), true
	case take:
		o.value = 0
		var ok bool
		o.got, ok, err = k.Take(soon)
		l.writes = l.writes || ok
		return err, false
	case getOrSet:
		o.got, err = k.GetOrSet(soon, func() (int32, error) { return o.value, nil })
		return err, false
	case remove:
		o.value = 0
		return k.Delete(ctx), true
	case clearAll:
		o.value, o.keys = 0, nil
		return s.Clear(ctx), true
	case destroy:
		o.value, o.keys = 0, nil
		return c.destroy(ctx, s, l), false
	default:
		return c.turn(ctx, s, o), true
	}
}

// set sets one key, or the next one too.
func (c *client) set(ctx context.Context, o *op, more bool) error {
	if more {
		o.keys = append(o.keys, (o.keys[0]+1)%keyCount)
	}
	for _, i := range o.keys {
		if err := keys[i].Set(ctx, o.value); err != nil {
			return err
		}
	}
	return nil
}

// turn rotates, elevates or logs in, and sometimes sets a key beside that.
func (c *client) turn(ctx context.Context, s *session.Session, o *op) (err error) {
	switch o.kind {
	case rotate:
		err = s.Rotate(ctx)
	case elevate:
		err = s.Elevate(ctx)
	case login:
		o.owner = int8(1 + c.rnd.IntN(len(owners)-1)) //nolint:gosec // G115: few
		if err = s.Login(ctx, owners[o.owner]); err == nil {
			var info session.Info
			if info, err = s.Info(ctx); err == nil && info.New {
				return session.ErrSuperseded // it goes on in a session of its own
			}
		}
	}
	// Of a rotation whose answer is lost one could not tell whether it did nothing
	// and the key was set.
	if err != nil || c.rnd.IntN(2) == 0 || o.kind == rotate && c.Faults {
		o.keys, o.value = nil, 0
		return err
	}
	return c.set(ctx, o, false)
}

// destroy calls Destroy, and perhaps again if it fails.
func (c *client) destroy(ctx context.Context, s *session.Session, l *op) error {
	err := s.Destroy(ctx)
	if err != nil && !errors.Is(err, session.ErrSuperseded) && c.rnd.IntN(2) == 0 {
		err = s.Destroy(ctx)
	}
	l.writes = l.writes || !errors.Is(err, session.ErrSuperseded)
	return err
}

// save commits at once, or leaves it to the response.
func (c *client) save(ctx context.Context, s *session.Session) error {
	if c.rnd.IntN(2) == 0 {
		return nil
	}
	soon, cancel := c.limited(ctx)
	defer cancel()
	return s.Save(soon)
}

// respond ends the request as a transport does, without what has failed.
func (c *client) respond(ctx context.Context, s *session.Session, err error) (session.Ticket, error) {
	if err != nil {
		return c.manager.Discard(ctx, s)
	}
	return c.manager.Commit(ctx, s)
}

// outcome says what the client knows now. verb says that the verb itself failed.
func (c *client) outcome(o *op, verb bool) outcome {
	out := outcomeOf(o.err)
	if e, ok := errors.AsType[*session.ConflictError](o.err); ok {
		o.other = len(o.keys) != 1 || !slices.Equal(e.Keys, []string{keyNames[o.keys[0]]})
	}
	switch {
	case o.kind == destroy && out == failed:
		return unknown
	case o.kind == login && out == failed && isInsert(o.err):
		return superseded // it tried to go on in a session of its own
	case out == refused && verb: // of what it had loaded
		return failed
	default:
		return out
	}
}

// sameSession reports whether two credentials are of one session: the first half is
// for life.
func sameSession(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return a == b
}

func isInsert(err error) bool {
	fail, ok := errors.AsType[*session.StoreError](err)
	return ok && fail.Op == "insert"
}

// after reads what has been committed.
func (c *client) after(ctx context.Context, s *session.Session, o *op) {
	if o.out != done || o.kind.ends() {
		return
	}
	info, err := s.Info(ctx)
	switch {
	case err != nil: // a touch has failed
		if o.kind == update || o.kind == claim {
			o.got = 0
		}
		return
	case info.ID != c.id:
		o.other = true
		return
	}
	if o.kind == take || o.kind == getOrSet {
		return // the other keys are those that were loaded
	}
	if c.look(ctx, o) != nil {
		o.out, o.found = done, false
		return
	}
	if o.kind == update || o.kind == claim {
		o.got = o.values[o.keys[0]]
	}
}
