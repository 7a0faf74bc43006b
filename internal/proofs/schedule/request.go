package schedule

import (
	"context"
	"errors"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// What the programs use.
var (
	keys   = [...]session.Typed[int]{keyA: session.Key[int]("a"), keyC: session.Key[int]("c"), keyG: session.Key[int]("g")}
	owners = [...]string{"", "ada", "bob"}
)

const (
	keyA = iota
	keyC
	keyG
	keyCount
)

const absent = -1 // in place of a value

// verb is one call of the session API.
type verb uint8

const (
	vLoad verb = iota // the first call of the store; it has no answer
	vGet
	vSet
	vUpdate
	vTake
	vGetOrSet
	vSave
	vRotate
	vElevate
	vLogin
	vDestroy
	vCommit
)

var verbNames = [...]string{
	"load", "get", "set", "update", "take", "get or set", "save", "rotate", "elevate", "login", "destroy", "commit",
}

// failure is the class of an error.
type failure uint8

const (
	failNone failure = iota
	failDestroyed
	failSuperseded
	failConflict
	failContention
	failUnknown
	failOther
)

var failureNames = [...]string{
	"ok", "ErrDestroyed", "ErrSuperseded", "ConflictError", "ErrContention", "ErrUnknown", "another error",
}

func failureOf(err error) failure {
	_, conflict := errors.AsType[*session.ConflictError](err)
	switch {
	case err == nil:
		return failNone
	case errors.Is(err, session.ErrUnknown):
		return failUnknown
	case errors.Is(err, session.ErrDestroyed):
		return failDestroyed
	case errors.Is(err, session.ErrSuperseded):
		return failSuperseded
	case conflict:
		return failConflict
	case errors.Is(err, session.ErrContention):
		return failContention
	default:
		return failOther
	}
}

// answer is what a verb returned.
type answer struct {
	fail   failure
	value  int            // of Get, Update, Take and GetOrSet; absent if there is none
	ticket session.Action // of the commit
}

// event is a verb, its answer, and the steps that were its first and last call of the
// store; 0: it made none. The load that comes with a request's first verb is an event of its own.
type event struct {
	verb        verb
	key         int // or, of Login, the owner
	arg         int
	first, last int
	over        int // the step that it was over with, to be printed
	answer      answer
}

// call is one call of the store, to be printed.
type call struct {
	step int
	op   spy.Op
	err  error
}

// request is one run of a program.
type request struct {
	id     int
	gate   *Gate
	m      *session.Manager
	s      *session.Session
	ctx    context.Context
	events []event
	calls  []call
	first  int  // step of the first call of the verb that is running
	shares bool // its node with another request
	cred   string
	other  error // that is none of the expected classes
}

type requestKey struct{}

var errGivenUp = errors.New("the schedule has been given up")

// begin opens the session as a transport does.
func (r *request) begin(m *session.Manager, cookie string) {
	r.m = m
	r.s = m.Open(session.Opening{Credentials: []string{cookie}})
	r.ctx = session.NewContext(context.WithValue(context.Background(), requestKey{}, r), r.s)
}

// hook lets each call of a request wait for its turn.
func hook(split bool) spy.Hook {
	return func(ctx context.Context, c *spy.Call) {
		r, ok := ctx.Value(requestKey{}).(*request)
		if !ok { // it only looks at what has become of the session
			c.Next()
			return
		}
		if !r.gate.Pass() {
			c.Err = errGivenUp
			return
		}
		c.Next()
		r.calls = append(r.calls, call{r.gate.step, c.Op, c.Err})
		if len(r.events) == 0 {
			r.events = append(r.events, event{verb: vLoad, first: r.gate.step, last: r.gate.step, over: r.gate.step})
		} else if r.first == 0 {
			r.first = r.gate.step
		}
		if split {
			r.gate.Pass()
		}
	}
}

// run is the task of the scheduler.
func (r *request) run(p Program) {
	for i := range len(p) {
		r.step(Op(p[i]), i)
		if r.shares { // the turn in the queue may have been given to another request
			r.gate.Yield()
		}
	}
	ticket, err := r.m.Commit(r.ctx, r.s)
	r.cred = ticket.Credential()
	r.note(event{verb: vCommit, answer: answer{ticket: ticket.Action()}}, err)
	if err := r.m.Finish(r.ctx, r.s); err != nil {
		r.other = err
	}
}

func (r *request) step(op Op, place int) {
	own := 100*(r.id+1) + place
	switch op {
	case Load:
		_, _ = r.get() // noted
	case Set:
		r.set(keyA, own)
	case Put:
		r.set(keyC, own)
	case Replace:
		if n, err := r.get(); err == nil {
			r.set(keyA, max(n, 0)+1)
		}
	case Update:
		n, err := keys[keyA].Update(r.ctx, func(n *int) error { *n++; return nil })
		r.note(event{verb: vUpdate, key: keyA, answer: answer{value: n}}, err)
	case Take:
		n, ok, err := keys[keyC].Take(r.ctx)
		r.note(event{verb: vTake, key: keyC, answer: answer{value: found(n, ok)}}, err)
	case GetOrSet:
		n, err := keys[keyG].GetOrSet(r.ctx, func() (int, error) { return own, nil })
		r.note(event{verb: vGetOrSet, key: keyG, arg: own, answer: answer{value: n}}, err)
	case Save:
		r.note(event{verb: vSave}, r.s.Save(r.ctx))
	case Rotate:
		r.note(event{verb: vRotate}, r.s.Rotate(r.ctx))
	case Elevate:
		r.note(event{verb: vElevate}, r.s.Elevate(r.ctx))
	case Login:
		r.note(event{verb: vLogin, key: 1}, r.s.Login(r.ctx, owners[1]))
	case LoginBob:
		r.note(event{verb: vLogin, key: 2}, r.s.Login(r.ctx, owners[2]))
	case Destroy:
		r.note(event{verb: vDestroy}, r.s.Destroy(r.ctx))
	}
}

func (r *request) get() (int, error) {
	n, ok, err := keys[keyA].Lookup(r.ctx)
	n = found(n, ok)
	r.note(event{verb: vGet, key: keyA, answer: answer{value: n}}, err)
	return n, err
}

func (r *request) set(key, n int) {
	r.note(event{verb: vSet, key: key, arg: n}, keys[key].Set(r.ctx, n))
}

func found(n int, ok bool) int {
	if !ok {
		return absent
	}
	return n
}

// note ends a verb.
func (r *request) note(e event, err error) {
	e.answer.fail = failureOf(err)
	if e.answer.fail != failNone {
		e.answer.value = 0
	}
	if e.answer.fail == failOther {
		r.other = err
	}
	if r.first > 0 {
		e.first, e.last, r.first = r.first, r.gate.step, 0
	}
	e.over = int(r.gate.now.Load())
	r.events = append(r.events, e)
}
