package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session"
)

// What the session holds, in a scope of its own: other tests of the same program
// have other keys.
var (
	scope = session.NewScope("history")
	keys  = [keyCount]session.Typed[int32]{
		session.Key[int32](keyNames[0]).In(scope), session.Key[int32](keyNames[1]).In(scope), session.Key[int32](keyNames[2]).In(scope),
	}
	both = session.Struct[fields]().In(scope)
)

type fields struct {
	X int32 `json:"x,omitempty"`
	Y int32 `json:"y,omitempty"`
}

var errOdd = errors.New("history: the number is odd")

// client is a browser, or a part of one: it uses the newest credential, or goes on
// with its own for as long as it is good for something.
type client struct {
	*run
	number, node int
	manager      *session.Manager
	rnd          *rand.Rand
	stubborn     bool
	own          credential
	lost         int // requests in a row whose credential opened nothing
}

// choose returns what to do next.
func (c *client) choose() kind {
	if c.rnd.IntN(150) == 0 {
		return []kind{destroy, revoke}[c.rnd.IntN(2)]
	}
	often := []kind{
		load, load, load, set, set, set, update, update, update, replace, replace, replace, take, take, getOrSet, getOrSet,
		pair, claim, claim, remove, clearAll, rotate, rotate, rotate, elevate, login,
	}
	return often[c.rnd.IntN(len(often))]
}

// create stores the session, which is operation 0.
func (c *client) create(ctx context.Context) error {
	o := c.begin(c, set, credential{})
	s := c.manager.Open(session.Opening{})
	ctx = session.NewContext(ctx, s)
	for i, k := range keys {
		if i > 0 && c.rnd.IntN(2) == 0 {
			continue
		}
		o.values[i] = int32(2 * (i + 1))
		if err := k.Set(ctx, o.values[i]); err != nil {
			return err
		}
	}
	ticket, err := c.manager.Commit(ctx, s)
	c.end(o)
	if err != nil {
		return err
	}
	info, err := s.Info(ctx)
	c.id, c.jar = info.ID, credential{text: ticket.Credential()}
	for _, all := range c.clients {
		all.own = c.jar
	}
	return errors.Join(err, c.manager.Finish(ctx, s))
}

// credential is what the client presents.
func (c *client) credential() credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stubborn || c.lost > 0 {
		c.own = c.jar
	}
	return c.own
}

// adopt keeps the credential that an operation was answered with.
func (c *client) adopt(o *op, ticket session.Ticket) {
	if ticket.Action() != session.ActionSet || o.other || o.out == superseded {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.own = credential{text: ticket.Credential(), id: o.id, epoch: o.id}
	if o.kind == rotate {
		c.own.epoch = o.cred.epoch
	}
	o.rotated, c.jar = true, c.own
}

// request is one request: it loads the session, calls gate, and does something.
func (c *client) request(ctx context.Context, k kind, key int, gate func()) {
	cred := c.credential()
	if k == revoke {
		gate()
		c.revoke(ctx)
		return
	}
	// Nobody could tell whether a blind delete that saw nothing has written.
	stale := c.Cache != nil && k != remove && c.rnd.IntN(2) == 0
	s := c.manager.Open(session.Opening{Credentials: []string{cred.text}, Fresh: !stale})
	ctx = session.NewContext(ctx, s)
	l := c.begin(c, load, cred)
	l.stale = stale
	good := c.load(ctx, s, l, k.looks())
	c.end(l)
	gate()
	if good && (k == load || !c.act(ctx, s, l, k, key)) {
		_, err := c.manager.Commit(ctx, s)
		c.touched(l, err)
	} else if !good {
		_, _ = c.manager.Discard(ctx, s)
	}
	_ = c.manager.Finish(ctx, s)
}

// load reports whether there is a session to act on.
func (c *client) load(ctx context.Context, s *session.Session, l *op, looks bool) bool {
	var info session.Info
	if info, l.err = s.Info(ctx); l.err != nil {
		l.out = failed
		return false
	}
	if l.isNew = info.New; l.isNew {
		c.lost++
		return false
	}
	c.lost = 0
	l.owner, l.other = ownerOf(info.Owner), info.ID != c.id || ownerOf(info.Owner) < 0
	if looks {
		l.err = c.look(ctx, l)
	}
	return l.err == nil && !l.other
}

// look reads all values.
func (c *client) look(ctx context.Context, o *op) error {
	for i, k := range keys {
		v, ok, err := k.Lookup(ctx)
		if err == nil && ok && v == 0 {
			err = fmt.Errorf("history: %s is 0, which nobody has stored", keyNames[i])
		}
		if err != nil {
			o.out = failed
			return err
		}
		o.values[i] = v
	}
	o.found = true
	return nil
}

// touched notes the commit of a request that wrote nothing.
func (c *client) touched(l *op, err error) {
	if !c.profile.timed() {
		return
	}
	o := c.begin(c, touch, l.cred)
	o.call, o.begin, o.err, o.stale = l.call, l.begin, err, l.stale
	if err != nil {
		o.out = unknown
	}
	c.end(o)
}

// revoke ends the session as an administrator does, on this node.
func (c *client) revoke(ctx context.Context) {
	o := c.begin(c, revoke, credential{})
	if o.err = c.manager.Revoke(ctx, c.id); o.err != nil {
		o.out = unknown
	}
	c.end(o)
}

// limited is a context for a Save; now and then one that ends soon, where calls get
// lost.
func (c *client) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if !c.Faults || c.rnd.IntN(4) > 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Duration(c.rnd.Int64N(int64(4*c.Unit))))
}
