package schedule

import (
	"fmt"
	"slices"
	"strings"
)

// Violation is a schedule that breaks a promise.
type Violation struct {
	Schedule Schedule
	Because  string
	Trace    string // the calls and the answers
}

func newViolation(t *trial, because string) *Violation {
	order := slices.Clone(t.schedule.Order)
	return &Violation{Schedule: Schedule{t.schedule.Case, order}, Because: because, Trace: t.trace()}
}

// Variable is the environment variable that names a schedule to be run alone.
const Variable = "SESSION_TEST_SCHEDULE"

// Error lists the steps of the schedule and says what is wrong.
func (v *Violation) Error() string {
	var b strings.Builder
	for i, p := range v.Schedule.Case.Programs {
		fmt.Fprintf(&b, "%s: %s\n", letter(i), p)
	}
	if v.Schedule.Case.Owned {
		fmt.Fprintf(&b, "in a session of %s, ", owners[1])
	}
	fmt.Fprintf(&b, "in this order, on %d nodes:\n%swrong: %s\nagain: %s='%s'",
		v.Schedule.Case.Nodes, v.Trace, v.Because, Variable, v.Schedule)
	return b.String()
}

// trace lists the calls in their order, each with the verbs that were over with it.
func (t *trial) trace() string {
	var b strings.Builder
	var calls, events [maxRequests]int
	for k, i := range t.schedule.Order {
		r := t.requests[i]
		what := "goes on"
		if n := calls[i]; n < len(r.calls) && r.calls[n].step == k+1 {
			c := &r.calls[n]
			calls[i]++
			if what = string(c.op); c.err != nil {
				what += fmt.Sprintf(" (%v)", c.err)
			}
		}
		fmt.Fprintf(&b, "%4d. %s: %s\n", k+1, letter(i), what)
		for j, r := range t.requests {
			for events[j] < len(r.events) && r.events[events[j]].over <= k+1 {
				e := &r.events[events[j]]
				if events[j]++; e.verb != vLoad {
					fmt.Fprintf(&b, "      %s: %s\n", letter(j), e)
				}
			}
		}
	}
	t.printViews(&b)
	return b.String()
}

func (t *trial) printViews(b *strings.Builder) {
	for c := range len(t.requests) + 1 {
		if t.now[c] != (view{}) {
			fmt.Fprintf(b, "      %s: %s, and after the grace %s\n", cookieName(c), t.now[c], t.later[c])
		}
	}
}

// outcome returns the answers of each request, and what can be read afterwards.
func (t *trial) outcome() string {
	var b strings.Builder
	for _, r := range t.requests {
		for i := range r.events {
			fmt.Fprintf(&b, "%s: %s\n", letter(r.id), &r.events[i])
		}
	}
	t.printViews(&b)
	return b.String()
}

// String returns a verb and its answer.
func (e *event) String() string {
	var b strings.Builder
	b.WriteString(verbNames[e.verb])
	switch e.verb {
	case vSet:
		fmt.Fprintf(&b, " %s to %d", keys[e.key].Name(), e.arg)
	case vGet, vUpdate, vTake, vGetOrSet:
		b.WriteString(" " + keys[e.key].Name())
	case vLogin:
		b.WriteString(" as " + owners[e.key])
	default:
	}
	return b.String() + ": " + e.answer.text(e.verb)
}

func (a answer) text(v verb) string {
	text := failureNames[a.fail]
	switch {
	case v == vCommit:
		return text + ", cookie: " + a.ticket.String()
	case a.fail != failNone:
		return text
	case v == vGet, v == vUpdate, v == vTake, v == vGetOrSet:
		return number(a.value)
	default:
		return text
	}
}

func number(n int) string {
	if n == absent {
		return "none"
	}
	return fmt.Sprint(n)
}

// String describes what a fresh request finds.
func (v view) String() string {
	text := [...]string{"not given", "no session", "an old state", "the session"}[v.kind]
	if v.fail != failNone {
		return text + ", " + failureNames[v.fail]
	}
	if v.kind == viewOpen || v.kind == viewFrozen {
		for i, k := range keys {
			text += fmt.Sprintf(" %s=%s", k.Name(), number(v.values[i]))
		}
		text += fmt.Sprintf(" owner=%q", owners[v.owner])
		if v.kind == viewOpen && !v.used {
			text += ", not used lately"
		}
	}
	return text
}
