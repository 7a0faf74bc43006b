package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/proofs/schedule"
)

// explored is what a set of cases has come to.
type explored struct {
	schedule.Result
	cases  int
	pauses []schedule.Case // cases with attempts after a pause
}

// explore explores cases until next returns false or one breaks a promise, so many of
// them in one bubble: next is called outside.
func explore(t *testing.T, atOnce int, next func() (schedule.Case, bool)) *explored {
	t.Helper()
	var (
		mu   sync.Mutex // not held while anybody waits
		stop atomic.Bool
		sum  explored
	)
	take := func() []schedule.Case {
		mu.Lock()
		defer mu.Unlock()
		var cases []schedule.Case
		for len(cases) < atOnce {
			c, ok := next()
			if !ok {
				break
			}
			cases = append(cases, c)
		}
		return cases
	}
	bubble := func(t *testing.T, cases []schedule.Case) {
		var s schedule.Site
		for _, c := range cases {
			r, err := s.Explore(schedule.Schedule{Case: c})
			mu.Lock()
			sum.Add(r)
			sum.cases++
			if r.Pauses > 0 {
				sum.pauses = append(sum.pauses, c)
			}
			mu.Unlock()
			if r.Violation != nil {
				stop.Store(true)
				return
			}
			require.NoError(t, err)
		}
	}
	t.Run("bubbles", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for !stop.Load() {
					cases := take()
					if len(cases) == 0 {
						return
					}
					synctest.Test(t, func(t *testing.T) { bubble(t, cases) })
				}
			})
		}
	})
	return &sum
}

// list returns its cases one after the other; with the race detector a part of them.
func list(cases []schedule.Case, part int) func() (schedule.Case, bool) {
	i := 0
	return func() (c schedule.Case, ok bool) {
		if i >= len(cases) {
			return c, false
		}
		c = cases[i]
		if i++; raceEnabled {
			i += part - 1
		}
		return c, true
	}
}

// holds fails the test unless no schedule breaks a promise.
func holds(t *testing.T, e *explored) {
	t.Helper()
	if e.Violation != nil {
		t.Fatal(e.Violation.Error())
	}
	t.Logf("%d cases, %d schedules, %d steps", e.cases, e.Schedules, e.Steps)
	for _, c := range e.pauses {
		t.Logf("not all orders: %s pauses between attempts", schedule.Schedule{Case: c})
	}
}

// asked runs the one schedule that the environment names.
func asked(t *testing.T) bool {
	t.Helper()
	text, ok := os.LookupEnv(schedule.Variable)
	if !ok {
		return false
	}
	s, err := schedule.ParseSchedule(text)
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		var site schedule.Site
		r, err := site.Explore(s)
		if r.Violation != nil {
			t.Fatal(r.Violation.Error())
		}
		require.NoError(t, err)
		t.Logf("%d schedules\n%s", r.Schedules, r.Trace)
	})
	return true
}

// shortForm is explored once for the test that it holds and the one of its number.
type shortForm struct {
	cases  func() []schedule.Case
	part   int // with the race detector, one in so many
	result *explored
	users  []string
}

var (
	pairs  = shortForm{cases: casesOfTwo, part: 11}
	threes = shortForm{cases: casesOfThree, part: 3}
)

// explore returns the same result to different tests, and a new one to the same test.
func (f *shortForm) explore(t *testing.T) *explored {
	t.Helper()
	if f.result == nil || slices.Contains(f.users, t.Name()) {
		f.result, f.users = explore(t, 32, list(f.cases(), f.part)), nil
	}
	f.users = append(f.users, t.Name())
	return f.result
}

// casesOfTwo are the pairs of programs of up to two steps, and those of two steps with
// a Save in between beside one step.
func casesOfTwo() []schedule.Case {
	one := schedule.Programs(1, schedule.Ops)
	cases := schedule.Pairs(schedule.Programs(2, schedule.Ops))
	for _, p := range one {
		for _, q := range one {
			for _, r := range one {
				saved := []schedule.Program{p + schedule.Program(schedule.Save) + q, r}
				cases = append(cases, schedule.Case{Programs: saved, Nodes: 2})
			}
		}
	}
	return cases
}

// Two requests, in every order of their calls of the store, answer and leave behind
// what the model of one session allows.
func TestSchedules(t *testing.T) {
	if asked(t) {
		return
	}
	holds(t, pairs.explore(t))
	if e := effort.Of(t); e.Long {
		rnd := e.Rand(1)
		holds(t, explore(t, 1, func() (schedule.Case, bool) {
			programs := []schedule.Program{program(rnd, 3), program(rnd, 3)}
			return schedule.Case{Programs: programs, Nodes: 1 + rnd.IntN(2), Owned: rnd.IntN(3) == 0}, !e.Over()
		}))
	}
}

// program draws a program of up to most steps.
func program(rnd *rand.Rand, most int) schedule.Program {
	p := ""
	for range 1 + rnd.IntN(most) {
		p += string(schedule.MoreOps[rnd.IntN(len(schedule.MoreOps))])
	}
	return schedule.Program(p)
}

func casesOfThree() []schedule.Case {
	var cases []schedule.Case
	for _, c := range threeRequests {
		for nodes := 1; nodes <= 3; nodes++ {
			cases = append(cases, schedule.Case{Programs: c.programs, Nodes: nodes, Owned: c.owned})
		}
	}
	return cases
}

// Three requests of the combinations in which other libraries failed; in the long form,
// of all programs of one step, and then of longer ones.
func TestSchedulesOfThree(t *testing.T) {
	if asked(t) {
		return
	}
	holds(t, threes.explore(t))
	e := effort.Of(t)
	if !e.Long {
		return
	}
	all, rnd := list(schedule.Threes(schedule.Programs(1, schedule.MoreOps)), 1), e.Rand(3)
	holds(t, explore(t, 1, func() (schedule.Case, bool) {
		c, ok := all()
		if !ok {
			programs := []schedule.Program{program(rnd, 2), program(rnd, 1), program(rnd, 1)}
			c = schedule.Case{Programs: programs, Nodes: 1 + rnd.IntN(3), Owned: rnd.IntN(3) == 0}
		}
		return c, !e.Over()
	}))
}

// Two increments have six orders: two one after the other, and four of two loads and
// two swaps of which the second is refused and sent again. On one node a request that
// has loaded waits for the one that is about to swap, and its swap is not refused.
func TestRequestsOfOneNodeWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s schedule.Site
		for text, want := range map[string][2]int{"U|U@2:": {6, 2*4 + 4*5}, "U|U@1:": {4, 4 * 4}} {
			begun, err := schedule.ParseSchedule(text)
			require.NoError(t, err)
			r, err := s.Explore(begun)
			require.NoError(t, err)
			require.Equal(t, want, [2]int{r.Schedules, r.Steps}, text)
		}
	})
}

// The numbers that the documentation names.
func TestNumbersOfSchedules(t *testing.T) {
	if raceEnabled {
		t.Skip("a part of the cases")
	}
	require.Equal(t, schedule.SchedulesOfPairs, pairs.explore(t).Schedules)
	require.Equal(t, schedule.SchedulesOfThree, threes.explore(t).Schedules)
	require.Empty(t, pairs.explore(t).pauses, "every order")
	require.Empty(t, threes.explore(t).pauses, "every order")
}
