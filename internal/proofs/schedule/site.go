package schedule

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// Site is up to three nodes on one store. It lives in one bubble of package
// testing/synctest and is for one goroutine.
type Site struct {
	// Below wraps the store beneath the gates, so that each of its calls is one
	// step; Above wraps what the nodes see, so that each call it makes is one. They
	// are for stores that are broken on purpose.
	Below, Above func(store.Store) store.Store
	// Split makes two steps of each call: its effect, and its answer.
	Split bool
	// Seen, if it is not nil, is told what came of each schedule: the answers, and what
	// could be read afterwards.
	Seen func(outcome string)

	place    *place
	nodes    []*session.Manager
	cookie   string
	owned    bool
	seededAt time.Time
	sched    scheduler
	requests []*request
	tasks    []func(g *Gate)
	oracle   oracle
}

// place is a store whose content is exchanged from schedule to schedule.
type place struct {
	store.Store
	key    store.Key // of the last Insert
	record store.Record
}

func (p *place) Insert(ctx context.Context, key store.Key, r store.Record) error {
	p.key, p.record = key, r
	return p.Store.Insert(ctx, key, r)
}

// age is how old the session is when the requests begin: a rotation is not too soon,
// and a touch is due.
const age = 2 * time.Minute

// The session lives for idle after it was used, and the credential before a rotation
// is good for grace.
const (
	idle  = time.Hour
	grace = session.DefaultGrace
)

var errSeed = errors.New("schedule: the session could not be made")

// open makes the nodes and the session that all schedules begin with.
func (s *Site) open(owned bool) error {
	if s.nodes == nil {
		s.place = new(place)
		var below store.Store = s.place
		if s.Below != nil {
			below = s.Below(below)
		}
		gated := spy.Wrap(below)
		gated.Hook(hook(s.Split))
		var above store.Store = gated
		if s.Above != nil {
			above = s.Above(above)
		}
		for range maxRequests {
			m, err := session.NewManager(session.Config{Store: above})
			if err != nil {
				return err
			}
			s.nodes = append(s.nodes, m)
		}
	}
	if s.cookie != "" && s.owned == owned && time.Since(s.seededAt) < idle/2 {
		return nil
	}
	s.place.Store = memory.New()
	m := s.nodes[0]
	opened := m.Open(session.Opening{})
	ctx := session.NewContext(context.Background(), opened)
	err := errors.Join(keys[keyA].Set(ctx, first[keyA]), keys[keyC].Set(ctx, first[keyC]))
	if owned {
		err = errors.Join(err, opened.Login(ctx, owners[1]))
	}
	ticket, commitErr := m.Commit(ctx, opened)
	if err := errors.Join(err, commitErr); err != nil {
		return fmt.Errorf("%w: %w", errSeed, err)
	}
	s.cookie, s.owned, s.seededAt = ticket.Credential(), owned, time.Now()
	pass(age)
	return nil
}

// first is what is in the session.
var first = [keyCount]int{keyA: 1, keyC: 7, keyG: absent}

// trial runs one schedule.
func (s *Site) trial(c Case, prefix []int) (*trial, error) {
	if err := s.open(c.Owned); err != nil {
		return nil, err
	}
	s.place.Store = memory.New()
	if err := s.place.Store.Insert(context.Background(), s.place.key, s.place.record); err != nil {
		return nil, fmt.Errorf("%w: %w", errSeed, err)
	}
	key, record := s.place.key, s.place.record
	defer func() { s.place.key, s.place.record = key, record }()
	s.requests, s.tasks = s.requests[:0], s.tasks[:0]
	for i, p := range c.Programs {
		r := &request{id: i, shares: c.Nodes < len(c.Programs)}
		r.begin(s.nodes[i%c.Nodes], s.cookie)
		s.requests = append(s.requests, r)
		s.tasks = append(s.tasks, func(g *Gate) {
			r.gate = g
			r.run(p)
		})
	}
	err := s.sched.run(prefix, s.tasks)
	t := &trial{schedule: Schedule{c, s.sched.order}, requests: s.requests}
	if err != nil {
		return t, err
	}
	s.look(&t.now)
	pass(grace + time.Second)
	s.look(&t.later)
	return t, nil
}

// trial is one schedule and its outcome.
type trial struct {
	schedule Schedule
	requests []*request
	now      [maxRequests + 1]view // what the first cookie and those of the requests open
	later    [maxRequests + 1]view // after the grace of a rotation
}

// view is what a fresh request finds.
type view struct {
	kind   viewKind
	fail   failure
	values [keyCount]int
	owner  int
	used   bool // somebody's use has lengthened its life
}

type viewKind uint8

const (
	viewUnused  viewKind = iota // nobody got this credential
	viewNothing                 // it opens nothing
	viewFrozen                  // it may be read
	viewOpen
)

// look opens the session with each credential.
func (s *Site) look(views *[maxRequests + 1]view) {
	views[0] = s.view(s.cookie)
	for i, r := range s.requests {
		if r.cred != "" {
			views[i+1] = s.view(r.cred)
		}
	}
}

func (s *Site) view(cookie string) view {
	m := s.nodes[0]
	opened := m.Open(session.Opening{Credentials: []string{cookie}})
	ctx := session.NewContext(context.Background(), opened)
	info, err := opened.Info(ctx)
	if err != nil {
		return view{fail: failureOf(err)}
	}
	v := view{kind: viewNothing}
	for i, k := range keys {
		n, ok, err := k.Lookup(ctx)
		v.values[i], v.fail = found(n, ok), max(v.fail, failureOf(err))
	}
	for i, name := range owners {
		if name == info.Owner {
			v.owner = i
		}
	}
	if info.New {
		return v
	}
	switch err := keys[keyA].Delete(ctx); { // which is not committed
	case errors.Is(err, session.ErrSuperseded):
		v.kind = viewFrozen
	default:
		v.kind = viewOpen
		v.used = time.Until(info.Expires) > idle-age/2
		v.fail = max(v.fail, failureOf(err))
	}
	return v
}
