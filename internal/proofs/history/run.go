package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// Options say what a history is made of.
type Options struct {
	Seed   uint64
	Where  string        // for the reader: the kind of store
	Stores []store.Store // of the nodes, two at least, all with the same sessions
	Faults bool          // calls of the stores are lost, late, or sent twice
	// Cache puts a near cache in front of a node's store. Every other request may read
	// what is old then: what it sees does not count, and what it changes does. Nil
	// leaves the nodes without one.
	Cache func(store.Store) store.Store
	// Disturb, with Faults, is called when calls may begin to fail in some other way,
	// and when they must not any more. Nil does nothing.
	Disturb func(on bool)
	// Unit is how long things take: a call of the store is held up for as long as
	// this, twice. Limits are some dozens of it.
	Unit time.Duration
	// Endless leaves out the limits that a slow machine may meet before anything has
	// happened: the session lives until somebody ends it.
	Endless bool
	// Margin is how much longer than its limit a session may be found.
	Margin time.Duration
}

// How much is in a history at most.
const (
	maxClients = 8
	maxOps     = 100
)

// run is a history in the making.
type run struct {
	Options
	profile profile
	links   []*link
	clients []*client
	id      string // of the session
	began   time.Time
	ticks   atomic.Int64

	mu  sync.Mutex
	ops []*op
	jar credential // the newest
}

// History is what the clients were told.
type History struct {
	options Options
	profile profile
	ops     []*op // in the order of their begin; the first creates the session
}

// Run makes a history. All that it starts has ended when it returns. Inside a bubble
// of testing/synctest, the same options make the same history, but for the order of
// what happens at the same instant.
func Run(ctx context.Context, o Options) (*History, error) {
	rnd := rand.New(rand.NewPCG(o.Seed, 0)) //nolint:gosec // G404: nothing secret
	r := &run{Options: o, began: time.Now(), profile: drawProfile(rnd, o)}
	managers := make([]*session.Manager, len(o.Stores))
	for i, st := range o.Stores {
		l := &link{inner: st, unit: o.Unit, rnd: rand.New(rand.NewPCG(o.Seed, uint64(100+i)))} //nolint:gosec // G404, G115: few
		r.links = append(r.links, l)
		top := store.Store(l)
		if o.Cache != nil {
			top = o.Cache(l)
		}
		var err error
		if managers[i], err = session.NewManager(session.Config{
			Store: top, Scope: scope, Timeout: time.Minute,
			Expiry: session.OnSessionEnd().WithIdle(r.profile.idle), Lifetime: r.profile.lifetime,
			Grace: r.profile.grace, MinRotate: r.profile.grace,
		}); err != nil {
			return nil, err
		}
	}
	for i := range 4 + rnd.IntN(maxClients-3) {
		r.clients = append(r.clients, &client{
			run: r, number: i, node: i % len(managers), manager: managers[i%len(managers)],
			stubborn: rnd.IntN(3) == 0,
			rnd:      rand.New(rand.NewPCG(o.Seed, uint64(1+i))), //nolint:gosec // G404, G115: few
		})
	}
	if err := r.clients[0].create(ctx); err != nil {
		return nil, fmt.Errorf("history: the session could not be created: %w", err)
	}
	r.play(ctx, rnd)
	for _, l := range r.links {
		l.late.Wait()
	}
	return &History{options: o, profile: r.profile, ops: r.ops}, nil
}

func (r *run) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ops)
}

// begin notes that an operation begins.
func (r *run) begin(c *client, k kind, cred credential) *op {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := &op{
		id: len(r.ops), client: c.number, node: c.node, kind: k, cred: cred,
		call: r.ticks.Add(1), begin: time.Since(r.began),
	}
	r.ops = append(r.ops, o)
	return o
}

// end notes that it has returned.
func (r *run) end(o *op) {
	o.end = time.Since(r.began)
	o.ret = r.ticks.Add(1)
}

// outcomeOf says what an error of a change means.
func outcomeOf(err error) outcome {
	var fail *session.StoreError
	switch {
	case err == nil:
		return done
	case errors.Is(err, session.ErrUnknown):
		return unknown
	case errors.Is(err, session.ErrDestroyed):
		return gone
	case errors.Is(err, session.ErrSuperseded):
		return superseded
	case errors.Is(err, errOdd):
		return refused
	case errors.As(err, &fail) && fail.Op == "touch":
		return done // what was to be stored had been
	}
	if _, ok := errors.AsType[*session.ConflictError](err); ok {
		return conflict
	}
	return failed
}
