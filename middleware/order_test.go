package middleware_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/typedsession/session/store/memory"
)

// Requests of one browser that are under way together, and their responses, in every
// order. A session that was ended by an acknowledged logout is never read again, and
// no request is refused without need. It keeps all processors busy, so it runs before
// the tests that are parallel.
// Which session the browser is left with depends on the response that it gets last:
// orderExceptions lists all that can come of it.
func TestPromise2_BrowserOrder(t *testing.T) {
	for start := range orderStarts {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site := newOrderSite(t, memory.New(), start, orderBreak{})
				found, orders := site.exploreAll(3)
				t.Logf("%d orders of up to 3 requests, %d runs", orders, site.runs)
				for _, problem := range orderProblems(found, orderExceptions, start, 3, true) {
					t.Error(problem)
				}
			})
		})
	}
}

// The same where other requests come between the load of a session and its commit,
// of three requests too. It takes some ten times as long.
func TestPromise2_BrowserOrderLong(t *testing.T) {
	if os.Getenv("SESSION_TEST_PROOFS") == "" {
		t.Skip("a long proof: SESSION_TEST_PROOFS=1m go test -run BrowserOrderLong ./middleware")
	}
	for start := range orderStarts {
		t.Run(start, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site := newOrderSite(t, memory.New(), start, orderBreak{})
				found, orders := site.exploreAll(2)
				all := orderSchedules(orderNames, 3, orderMiddle)
				site.explore(all, found)
				t.Logf("%d orders of up to 3 requests, %d runs", orders+len(all), site.runs)
				rows := append(slices.Clone(orderExceptions), orderLongExceptions...)
				for _, problem := range orderProblems(found, rows, start, 3, false) {
					t.Error(problem)
				}
			})
		})
	}
}

// orderFinding is a harm that requests do together, and fewer of them do not.
type orderFinding struct {
	requests string // by their verbs
	harm     string
	by       string // the verb whose cookie was received last
}

// orderSeen is where it was found.
type orderSeen struct {
	least  string // the shortest schedule that does it
	orders int
}

// exploreAll explores every order of up to n requests.
func (site *orderSite) exploreAll(n int) (found map[orderFinding]orderSeen, orders int) {
	found = map[orderFinding]orderSeen{}
	for i, grain := range [][][]orderStep{orderFine, orderFine, orderCoarse}[:n] {
		all := orderSchedules(orderNames, i+1, grain)
		site.explore(all, found)
		orders += len(all)
	}
	return found, orders
}

// explore runs schedules on two nodes, those of pairs on one too, and adds to found
// what is new in each: harm that is not done when any one of its requests is left out.
func (site *orderSite) explore(schedules []orderSchedule, found map[orderFinding]orderSeen) {
	for _, s := range schedules {
		h := site.harm(s, 2)
		if len(s.verbs) < 3 {
			if one := site.harm(s, 1); h != one {
				site.t.Errorf("%s: %+v on two nodes, %+v on one", s, h, one)
			}
		}
		for i := range s.verbs {
			if len(s.verbs) > 1 && len(h.names()) > 0 {
				h = h.beyond(site.harm(s.without(i), 2))
			}
		}
		for _, harm := range h.names() {
			f := orderFinding{strings.Join(s.verbs, " "), harm, h.by}
			seen := found[f]
			if text := s.String(); seen.orders == 0 || len(text) < len(seen.least) {
				seen.least = text
			}
			seen.orders++
			found[f] = seen
		}
	}
}

// orderProblems compares what was found with what is known of orders of up to n
// requests: exactly, or only whether it was found.
func orderProblems(found map[orderFinding]orderSeen, rows []orderException, start string, n int, exact bool) (problems []string) {
	found = maps.Clone(found)
	for _, row := range rows {
		if !slices.Contains(strings.Fields(row.starts), start) || len(strings.Fields(row.requests)) > n {
			continue
		}
		f := orderFinding{row.requests, row.harm, row.by}
		seen, ok := found[f]
		delete(found, f)
		switch {
		case !ok:
			problems = append(problems, fmt.Sprintf("not seen any more: %+v", f))
		case exact && (seen != orderSeen{row.schedule, row.orders}):
			problems = append(problems, fmt.Sprintf("changed: %+v: %+v", f, seen))
		}
	}
	for f, seen := range found {
		problems = append(problems, fmt.Sprintf("new: %+v: %+v", f, seen))
	}
	slices.Sort(problems)
	return problems
}

// wait lets time pass that costs none: the orders run in bubbles of synctest.
func (*orderSite) wait(d time.Duration) { time.Sleep(d) }
