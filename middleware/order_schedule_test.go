package middleware_test

import (
	"slices"
	"strings"
)

// An orderStep is one event in the life of a request.
type orderStep uint8

const (
	orderSend    orderStep = iota // with the cookie that the browser has now
	orderLoad                     // the handler begins and loads the session
	orderAct                      // the handler calls its verb
	orderCommit                   // the handler returns, the response is ready
	orderReceive                  // the browser takes the cookie of the response
)

// The grains of a schedule: steps that nothing comes between.
var (
	orderFine   = [][]orderStep{{orderSend}, {orderLoad}, {orderAct}, {orderCommit}, {orderReceive}}
	orderMiddle = [][]orderStep{{orderSend}, {orderLoad}, {orderAct, orderCommit}, {orderReceive}}
	orderCoarse = [][]orderStep{{orderSend}, {orderLoad, orderAct, orderCommit}, {orderReceive}}
)

// orderEvent is a step of one of the requests of a schedule.
type orderEvent struct {
	request int
	step    orderStep
}

// orderSchedule is requests, by what they do, and one order of their events.
type orderSchedule struct {
	verbs  []string
	events []orderEvent
}

// orderInterleavings returns every order of the events of n requests, of those that
// nobody can tell apart one: the server does not see when a cookie arrives, nor the
// browser when a session is loaded, and sending changes nothing.
func orderInterleavings(n int, grain [][]orderStep) (all [][]orderEvent) {
	seen := map[string]bool{}
	next := make([]int, n) // grains of each request that are over
	var events []orderEvent
	var extend func()
	extend = func() {
		over := true
		for q := range n {
			if next[q] == len(grain) {
				continue
			}
			over = false
			was := len(events)
			for _, step := range grain[next[q]] {
				events = append(events, orderEvent{q, step})
			}
			next[q]++
			extend()
			next[q]--
			events = events[:was]
		}
		if id := orderID(events); over && !seen[id] {
			seen[id] = true
			all = append(all, slices.Clone(events))
		}
	}
	extend()
	return all
}

// orderID is the same for orders that nobody can tell apart.
func orderID(events []orderEvent) string {
	var server, browser, sends []byte
	for _, e := range events {
		name := byte('a' + e.request)
		switch e.step {
		case orderSend:
			sends = append(sends, name)
		case orderReceive:
			slices.Sort(sends)
			browser = append(append(append(browser, sends...), '<'), name)
			sends = nil
		default:
			server = append(server, name)
		}
	}
	return string(server) + "|" + string(browser)
}

// orderSchedules returns the schedules of every multiset of n verbs.
func orderSchedules(verbs []string, n int, grain [][]orderStep) (all []orderSchedule) {
	orders := orderInterleavings(n, grain)
	var choose func(chosen []string, from int)
	choose = func(chosen []string, from int) {
		if len(chosen) == n {
			for _, events := range orders {
				if s := (orderSchedule{slices.Clone(chosen), events}); s.sorted() {
					all = append(all, s)
				}
			}
			return
		}
		for i := from; i < len(verbs); i++ {
			choose(append(chosen, verbs[i]), i)
		}
	}
	choose(nil, 0)
	return all
}

// sorted reports whether requests of one verb come in the order of their numbers:
// they could be exchanged.
func (s orderSchedule) sorted() bool {
	last := map[string]int{}
	for _, e := range s.events {
		if e.step != orderLoad {
			continue
		}
		if was, ok := last[s.verbs[e.request]]; ok && was > e.request {
			return false
		}
		last[s.verbs[e.request]] = e.request
	}
	return true
}

// without returns the schedule less one request.
func (s orderSchedule) without(request int) orderSchedule {
	less := orderSchedule{verbs: slices.Delete(slices.Clone(s.verbs), request, request+1)}
	for _, e := range s.events {
		if e.request == request {
			continue
		}
		if e.request > request {
			e.request--
		}
		less.events = append(less.events, e)
	}
	return less
}

// String is as in "send rotate, send login, serve rotate, serve login, ...". A
// second request with the same verb is marked.
func (s orderSchedule) String() string {
	names := slices.Clone(s.verbs)
	for i := range names {
		names[i] += strings.Repeat("'", strings.Count(strings.Join(names[:i], " "), s.verbs[i]))
	}
	var parts []string
	for i := 0; i < len(s.events); i++ {
		e := s.events[i]
		what := [...]string{"send", "load", "act", "commit", "receive"}[e.step]
		if whole := i+2 < len(s.events) && s.events[i+1].request == e.request && s.events[i+2].request == e.request; e.step == orderLoad && whole {
			what = "serve"
			i += 2
		}
		parts = append(parts, what+" "+names[e.request])
	}
	return strings.Join(parts, ", ")
}
