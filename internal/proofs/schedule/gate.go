package schedule

import (
	"errors"
	"math/bits"
	"slices"
	"sync/atomic"
	"testing/synctest"
	"time"
)

// Gate is where one task waits before each of its calls.
type Gate struct {
	turn  chan struct{}
	state atomic.Int32 // a state; a task may also be set going by the time
	step  int          // number of its last step, from 1
	now   *atomic.Int32
}

// state is what a task is doing when nothing can go on by itself.
type state = int32

const (
	waiting state = iota // for something else than its turn
	calling              // about to make a call
	going                // about to go on without one
	done
)

// Pass waits until the scheduler lets the task make its next call. It returns false
// when the schedule has been given up, and nothing is to be called any more.
func (g *Gate) Pass() bool { return g.park(calling) }

// Yield lets tasks that one step has set going go on one after the other. It is a step
// only if there are several.
func (g *Gate) Yield() { g.park(going) }

func (g *Gate) park(s state) bool {
	g.state.Store(s)
	_, ok := <-g.turn
	g.state.Store(waiting)
	return ok
}

// scheduler lets tasks pass their gates one at a time.
type scheduler struct {
	gates  []*Gate
	now    atomic.Int32 // steps of all
	order  []int        // whose they were
	others []uint       // for each of them, as bits, who could have gone instead and comes later
	pauses int          // times that all tasks waited for time to pass
}

const (
	maxSteps  = 1000
	maxPauses = 100
	pauseTime = 100 * time.Millisecond
)

var (
	errEndless = errors.New("the requests do not end")
	errStuck   = errors.New("the requests wait for each other")
	errOther   = errors.New("the same order of calls took another way: something else decides")
)

// run runs tasks in the order given, and from its end on the first task that can go
// each time. It must run in a bubble. With an error the tasks have been left alone.
func (s *scheduler) run(prefix []int, tasks []func(g *Gate)) error {
	s.gates, s.pauses, s.order, s.others = s.gates[:0], 0, s.order[:0], s.others[:0]
	s.now.Store(0)
	for _, task := range tasks {
		g := &Gate{turn: make(chan struct{}), now: &s.now}
		s.gates = append(s.gates, g)
		go func() {
			task(g)
			g.state.Store(done)
		}()
	}
	for pauses := 0; ; {
		synctest.Wait()
		ready, kind := s.ready()
		switch {
		case kind == done:
			if len(s.order) < len(prefix) {
				return errOther
			}
			return nil
		case ready == 0: // a pause before another attempt, or a lock that nobody gives up
			if pauses++; pauses > maxPauses {
				return errStuck
			}
			s.pauses++
			pass(pauseTime)
			continue
		case kind == going && ready&(ready-1) == 0: // only one
			s.gates[bits.TrailingZeros(ready)].turn <- struct{}{}
			continue
		case len(s.order) == maxSteps:
			return errEndless
		}
		next := bits.TrailingZeros(ready)
		if n := len(s.order); n < len(prefix) {
			next = prefix[n]
		}
		if ready&(1<<next) == 0 {
			return errOther
		}
		s.order = append(s.order, next)
		s.others = append(s.others, ready&^(1<<(next+1)-1))
		s.gates[next].step = int(s.now.Add(1))
		s.gates[next].turn <- struct{}{}
	}
}

// ready returns, as bits, the tasks that can take the next step: those that go on, or
// else make a call. It is done when all tasks are.
func (s *scheduler) ready() (ready uint, kind state) {
	var in [done + 1]uint
	for i, g := range s.gates {
		in[g.state.Load()] |= 1 << i
	}
	switch {
	case in[going] != 0:
		return in[going], going
	case in[calling] == 0 && in[waiting] == 0:
		return 0, done
	default:
		return in[calling], calling
	}
}

// release lets tasks that have been left alone come to their end, for a bubble ends
// when nobody is in it any more.
func (s *scheduler) release() {
	for _, g := range s.gates {
		close(g.turn)
	}
	for range maxPauses {
		pass(pauseTime)
	}
}

// pass lets time pass in a bubble, where that takes none.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // there is nothing to wait for
}

// following returns the beginning of the order that comes after that of the last run,
// depth first, with the same first calls. It is nil after the last.
func (s *scheduler) following(same int) []int {
	for i := len(s.order) - 1; i >= same; i-- {
		if s.others[i] == 0 {
			continue
		}
		return append(slices.Clone(s.order[:i]), bits.TrailingZeros(s.others[i]))
	}
	return nil
}

// Interleave runs tasks once for each order in which they can pass their gates, and
// returns how many there are. It must be called in a bubble of package
// testing/synctest. start returns the tasks; the tasks of one run must have no effect
// on the next.
func Interleave(start func() []func(g *Gate)) (orders int, err error) {
	var s scheduler
	for prefix := []int{}; prefix != nil; prefix = s.following(0) {
		if err := s.run(prefix, start()); err != nil {
			s.release()
			return orders, err
		}
		orders++
	}
	return orders, nil
}
