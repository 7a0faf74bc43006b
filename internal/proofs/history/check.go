package history

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/typedsession/session"
)

// DirVariable names the environment variable that names a folder for drawings of
// what has been rejected.
const DirVariable = "SESSION_TEST_HISTORY_DIR"

// checkTime is what one history may take to be judged.
const checkTime = 30 * time.Second

// mostOpen is how many of a hundred operations may be without an answer.
const mostOpen = 20

// Result is what is thought of a history.
type Result string

// The results.
const (
	Accepted  Result = "accepted"
	Rejected  Result = "rejected"  // it cannot have happened one after the other
	Undecided Result = "undecided" // not within half a minute
	Thrown    Result = "thrown away: too little is known"
)

// Verdict is a result and, unless the history is accepted, what there is to read.
type Verdict struct {
	Result Result
	Text   string
}

// Operations returns how many operations h has.
func (h *History) Operations() int { return len(h.ops) }

// Check judges h. It must not be called in a bubble of testing/synctest, whose clock
// stands still meanwhile.
func (h *History) Check() Verdict {
	open, known := 0, 0
	for _, o := range h.ops {
		if why := h.absurd(o); why != "" {
			return Verdict{Rejected, h.text(fmt.Sprintf("operation %d: %s", o.id, why))}
		}
		if o.kind == touch {
			continue
		}
		known++
		if o.open() {
			open++
		}
	}
	if 100*open > mostOpen*known {
		return Verdict{Thrown, h.text("")}
	}
	m, operations := h.model(), h.operations()
	switch porcupine.CheckOperationsTimeout(m, operations, checkTime) {
	case porcupine.Ok:
		return Verdict{Result: Accepted}
	case porcupine.Illegal:
		return Verdict{Rejected, h.text(h.explain(m, operations))}
	default:
		return Verdict{Undecided, h.text("")}
	}
}

// absurd says what is wrong with one operation, whatever the others are.
func (h *History) absurd(o *op) string {
	switch {
	case o.other:
		return "it was about something else"
	case o.out == failed && !h.options.Faults:
		return "it failed, and nothing had been broken"
	case o.out == failed && !broken(o.err):
		return "it failed for a reason of its own"
	case o.open() && !h.options.Faults:
		return "its outcome is not known, and nothing had been broken"
	default:
		return ""
	}
}

// operations are those that say something.
func (h *History) operations() []porcupine.Operation {
	var all []porcupine.Operation
	for _, o := range h.ops[1:] {
		if !o.counts() {
			continue
		}
		ret := o.ret
		if o.open() {
			ret = math.MaxInt64
		}
		all = append(all, porcupine.Operation{ClientId: o.client, Input: o, Call: o.call, Return: ret})
	}
	return all
}

func (h *History) model() porcupine.Model {
	m := &model{ops: h.ops, profile: h.profile, margin: h.options.Margin, rounding: 2 * time.Millisecond}
	for _, o := range h.ops {
		m.slack = max(m.slack, o.end-o.begin)
	}
	m.slack += m.rounding
	seed := maphash.MakeSeed()
	return porcupine.Model{
		Init: func() any { return m.start() },
		Step: func(s, input, _ any) (bool, any) {
			next, ok := m.step(s.(state), input.(*op))
			return ok, next
		},
		Equal:             func(a, b any) bool { return a.(state) == b.(state) },
		Hash:              func(s any) uint64 { return maphash.Comparable(seed, s.(state)) },
		DescribeOperation: func(input, _ any) string { return fmt.Sprintf("%d: %v", input.(*op).id, input) },
		DescribeState:     func(s any) string { return s.(state).String() },
	}
}

// explain says how far one gets, and draws it where that is asked for.
func (h *History) explain(m porcupine.Model, operations []porcupine.Operation) string {
	_, info := porcupine.CheckOperationsVerbose(m, operations, checkTime)
	var longest []porcupine.Operation
	for _, p := range info.PartialLinearizationsOperations() {
		for _, l := range p {
			if len(l) > len(longest) {
				longest = l
			}
		}
	}
	var b strings.Builder
	s := m.Init()
	b.WriteString("the longest order of operations that makes sense:")
	left := slices.Clone(operations)
	for _, o := range longest {
		_, s = m.Step(s, o.Input, nil)
		_, _ = fmt.Fprintf(&b, " %d", o.Input.(*op).id)
		left = slices.DeleteFunc(left, func(l porcupine.Operation) bool { return l.Input == o.Input })
	}
	_, _ = fmt.Fprintf(&b, "\nafter which the session is: %v\nand none of these can come next:", s.(state))
	for _, o := range left {
		if o.Return != math.MaxInt64 {
			_, _ = fmt.Fprintf(&b, " %d", o.Input.(*op).id)
		}
	}
	if dir := os.Getenv(DirVariable); dir != "" {
		path := filepath.Join(dir, "history-"+strconv.FormatUint(h.options.Seed, 10)+".html")
		if err := porcupine.VisualizePath(m, info, path); err != nil {
			_, _ = fmt.Fprintf(&b, "\nit could not be drawn: %v", err)
		} else {
			_, _ = fmt.Fprintf(&b, "\ndrawn in %s", path)
		}
	}
	return b.String()
}

// text is the history for the reader.
func (h *History) text(why string) string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "history %d on %s (%d nodes, faults: %t; %v)\n", h.options.Seed, h.options.Where,
		len(h.options.Stores), h.options.Faults, h.profile)
	b.WriteString("number, events, client/node, operation, answer:\n")
	ops := slices.Clone(h.ops)
	slices.SortFunc(ops, func(a, c *op) int { return int(a.call - c.call) })
	for _, o := range ops {
		end := strconv.FormatInt(o.ret, 10)
		if o.open() {
			end = "?"
		}
		_, _ = fmt.Fprintf(&b, "%4d %10s %10v %d/%d %v\n", o.id, fmt.Sprintf("%d-%s", o.call, end), o.begin.Round(time.Microsecond), o.client, o.node, o)
	}
	b.WriteString(why)
	return b.String()
}

// broken reports whether an error is explained by calls that fail and contexts that
// end.
func broken(err error) bool {
	_, failed := errors.AsType[*session.StoreError](err)
	return failed || errors.Is(err, session.ErrContention) || errors.Is(err, context.DeadlineExceeded)
}
