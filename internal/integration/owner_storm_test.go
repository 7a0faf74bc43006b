package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// While goroutines on two nodes create sessions, log in, change owners, rotate and
// log out, a listing has what certainly was its owner's all the time, nothing that
// certainly was not, and nothing twice.
func TestOwnerStormListing(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		h := newStorm(t, b)
		h.fill(230) // more than two pages of a listing
		h.run(50, 0)
		h.verify()
	})
}

// The same with RevokeOwner in the middle, in every form: what had begun to log in
// before is gone for everybody, what logged in later is not, and nobody else
// notices.
func TestOwnerStormRevocation(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		h := newStorm(t, b)
		h.fill(8)
		h.run(50, 8)
		h.verify()
	})
}

const (
	stormWorkers = 8
	stormShared  = 3
)

// storm is what the goroutines of a test share.
type storm struct {
	*stormModel
	t        *testing.T
	seed     uint64
	managers []*session.Manager
	slots    [stormShared]stormSlot

	contended atomic.Int64
	requests  atomic.Int64
}

// stormSlot is a session that every goroutine uses.
type stormSlot struct {
	mu         sync.Mutex
	credential string
}

// stormOwn is a session that one goroutine uses.
type stormOwn struct {
	id, credential string
	owner          string
	count          int // of counter
	known          int64
}

// stormWorker is one goroutine.
type stormWorker struct {
	*storm
	rnd     *rand.Rand
	visitor stormOwn // of nobody, for the whole time
	own     []*stormOwn
}

func newStorm(t *testing.T, b backend) *storm {
	t.Helper()
	h := &storm{stormModel: newStormModel(), t: t, seed: rand.Uint64()}
	// Many rotations, or old credentials that are good for long.
	grace := []time.Duration{5 * time.Millisecond, 10 * time.Second}[h.seed%2]
	t.Logf("seed %d, grace %v", h.seed, grace)
	place := b.site(t)
	for range 2 {
		m, err := session.NewManager(session.Config{
			Store: place.node(t), Grace: grace, MinRotate: grace, Timeout: time.Minute,
		})
		require.NoError(t, err)
		h.managers = append(h.managers, m)
	}
	return h
}

// fill creates sessions of ada that the storm leaves alone, unless it revokes them.
func (h *storm) fill(n int) {
	w := &stormWorker{storm: h, rnd: rand.New(rand.NewPCG(h.seed, 1000))}
	for range n {
		require.NoError(h.t, w.act(new(stormOwn), stormStep{login: "ada"}))
	}
}

// run lets all goroutines do so many steps. revokes is how many of a hundred steps
// call RevokeOwner.
func (h *storm) run(steps, revokes int) {
	var workers, watchers sync.WaitGroup
	done := make(chan struct{})
	for i := range stormWorkers {
		w := &stormWorker{storm: h, rnd: rand.New(rand.NewPCG(h.seed, uint64(i)))}
		workers.Go(func() {
			for n := range steps {
				if err := w.step(revokes); err != nil {
					h.t.Errorf("worker %d, step %d: %v", i, n, err)
					return
				}
			}
			if err := w.goodbye(); err != nil {
				h.t.Errorf("worker %d: %v", i, err)
			}
		})
	}
	for i, watch := range []func(*rand.Rand) error{h.list, h.peek} {
		rnd := rand.New(rand.NewPCG(h.seed, uint64(2000+i)))
		watchers.Go(func() {
			for range 200 { // more would only take longer to check
				select {
				case <-done:
					return
				default:
				}
				if err := watch(rnd); err != nil {
					h.t.Errorf("watching: %v", err)
					return
				}
			}
		})
	}
	workers.Wait()
	close(done)
	watchers.Wait()
	h.t.Logf("%d requests, %d sessions, %d listings, %d revocations, %d times repeated for contention",
		h.requests.Load(), len(h.sessions), len(h.listings), len(h.revokes), h.contended.Load())
}

// node returns one of the nodes.
func (w *stormWorker) node() *session.Manager { return w.managers[w.rnd.IntN(len(w.managers))] }

// step does one thing.
func (w *stormWorker) step(revokes int) error {
	if w.visitor.credential == "" {
		return w.act(&w.visitor, stormStep{add: true})
	}
	if w.rnd.IntN(100) < revokes {
		return w.revoke()
	}
	var step stormStep
	switch n := w.rnd.IntN(100); {
	case n < 12:
		step.turn = (*session.Session).Rotate
	case n < 20:
		step.turn = (*session.Session).Elevate
	case n < 40:
		step.login, step.add = "ada", n%2 == 0
	case n < 52:
		step.login = "bob"
	case n < 64:
		step.destroy = true
	case n < 72:
		return w.act(&w.visitor, stormStep{add: true})
	case n < 80: // only a look
	default:
		step.add = true
	}
	if w.rnd.IntN(4) == 0 {
		return w.actShared(&w.slots[w.rnd.IntN(stormShared)], step)
	}
	if len(w.own) == 0 || len(w.own) < 6 && w.rnd.IntN(3) == 0 {
		own := new(stormOwn)
		w.own = append(w.own, own)
		return w.act(own, stormStep{login: []string{"ada", "bob", ""}[w.rnd.IntN(3)], add: true})
	}
	return w.act(w.own[w.rnd.IntN(len(w.own))], step)
}

// revoke calls RevokeOwner in one of its forms.
func (w *stormWorker) revoke() error {
	r := &stormRevoke{owner: "ada"}
	own := new(stormOwn)
	var mine []string
	for _, o := range w.own {
		if o.owner == "ada" {
			own, mine = o, append(mine, o.id)
		}
	}
	switch n := w.rnd.IntN(5); {
	case n < 2:
		return w.call(w.t.Context(), w.node(), r)
	case n == 2: // some are kept
		w.mu.Lock()
		for id, s := range w.sessions {
			if !s.shared && len(mine) < 10 {
				mine = append(mine, id)
			}
		}
		w.mu.Unlock()
		r.except = mine
		return w.call(w.t.Context(), w.node(), r)
	case n == 3: // log in, and out everywhere else
		own = new(stormOwn)
		w.own = append(w.own, own)
		return w.act(own, stormStep{login: "ada", add: true, revoke: r})
	default: // out everywhere else; half of the time after another login
		if own.id == "" {
			w.own = append(w.own, own)
			return w.act(own, stormStep{login: "ada"})
		}
		r.except = []string{own.id}
		return w.act(own, stormStep{login: []string{"ada", ""}[w.rnd.IntN(2)], add: true, revoke: r})
	}
}

// call revokes, again while others do so at the same moment.
func (h *storm) call(ctx context.Context, m *session.Manager, r *stormRevoke) error {
	for {
		r.from = h.tick()
		err := m.RevokeOwner(ctx, r.owner, r.except...)
		r.to, r.sure = h.tick(), err == nil
		again := h.again(err)
		done := r
		if again {
			done = new(*r)
		}
		h.mu.Lock()
		h.revokes = append(h.revokes, done)
		h.mu.Unlock()
		if !again {
			return err
		}
	}
}

// again reports whether a request is to be sent again, as after a status of 503.
func (h *storm) again(err error) bool {
	if !errors.Is(err, session.ErrContention) {
		return false
	}
	h.contended.Add(1)
	return true
}

// list lists the sessions of somebody.
func (h *storm) list(rnd *rand.Rand) error {
	l := stormSight{owner: []string{"ada", "ada", "ada", "bob"}[rnd.IntN(4)]}
	if err := h.listed(&l, rnd.IntN(2)); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listings = append(h.listings, l)
	return nil
}

func (h *storm) listed(l *stormSight, node int) error {
	l.from = h.tick()
	for info, err := range h.managers[node].Sessions(h.t.Context(), l.owner) {
		if err != nil {
			return err
		}
		if info.Owner != l.owner {
			return fmt.Errorf("a session of %s is listed for %s", info.Owner, l.owner)
		}
		l.ids = append(l.ids, info.ID)
	}
	l.to = h.tick()
	return nil
}

// peek reads a session with a credential that may have been replaced.
func (h *storm) peek(rnd *rand.Rand) error {
	h.mu.Lock()
	var all []*stormSession
	for _, s := range h.sessions {
		all = append(all, s)
	}
	if len(all) == 0 {
		h.mu.Unlock()
		return nil
	}
	s := all[rnd.IntN(len(all))]
	credential := s.credentials[len(s.credentials)-1]
	h.mu.Unlock()
	l := stormSight{session: s, loose: true}
	l.from = h.tick()
	info, err := h.infoOf(credential, rnd.IntN(2))
	l.to = h.tick()
	if err != nil || info.New || info.Owner == "" {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sights = append(h.sights, l)
	return nil
}

func (h *storm) infoOf(credential string, node int) (info session.Info, err error) {
	_, err = visit(h.t.Context(), h.managers[node], credential, func(ctx context.Context) (err error) {
		info, err = session.FromContext(ctx).Info(ctx)
		return err
	})
	return info, err
}

// goodbye reads everything once more, while others are still at work.
func (w *stormWorker) goodbye() error {
	for _, own := range append(slices.Clone(w.own), &w.visitor) {
		if err := w.act(own, stormStep{}); err != nil {
			return err
		}
	}
	return nil
}
