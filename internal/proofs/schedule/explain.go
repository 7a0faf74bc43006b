package schedule

import (
	"fmt"
	"strings"
)

// oracle looks for moments at which the verbs of a trial may have happened.
type oracle struct {
	t      *trial
	events [maxRequests][]event
	ends   [maxRequests][]int // the end of whatever is not before an event

	deepest int // how much could be explained
	because string
}

// explain returns why no order of the verbs, each at a moment between its first and its
// last call of the store, has the answers of a trial; or nothing. Verbs without a call
// have no effect on others, and may show what the request knew.
func (o *oracle) explain(t *trial) string {
	o.t, o.deepest, o.because = t, -1, ""
	n := len(t.requests)
	for i, r := range t.requests {
		if r.other != nil {
			return fmt.Sprintf("%s: an error that has no place here: %v", letter(i), r.other)
		}
		o.events[i] = r.events
		o.ends[i] = o.ends[i][:0]
		for range len(r.events) + 1 {
			o.ends[i] = append(o.ends[i], maxSteps+1)
		}
		for j := len(r.events) - 1; j >= 0; j-- {
			o.ends[i][j] = o.ends[i][j+1]
			if last := r.events[j].last; last > 0 {
				o.ends[i][j] = min(o.ends[i][j], last)
			}
		}
	}
	var s search
	s.w = newWorld(t.schedule.Case.Owned)
	for i := range n {
		s.v[i] = visitor{id: i}
	}
	if o.search(s, n) {
		return ""
	}
	return o.because
}

// search is a part of an order.
type search struct {
	w    world
	v    [maxRequests]visitor
	next [maxRequests]int // event of each request
}

func (o *oracle) search(s search, n int) bool {
	depth, over := 0, true
	for i := range n {
		depth += s.next[i]
		over = over && s.next[i] == len(o.events[i])
	}
	if over {
		return o.views(&s, n, depth)
	}
	for i := range n {
		if !o.mayBeNext(&s, i, n) {
			continue
		}
		e := &o.events[i][s.next[i]]
		outs := step(s.w, s.v[i], e)
		for k := range outs {
			if outs[k].answer != e.answer {
				continue
			}
			then := s
			then.w, then.v[i] = outs[k].w, outs[k].v
			then.next[i]++
			if o.search(then, n) {
				return true
			}
		}
		if depth > o.deepest {
			o.fail(depth, func() string { return unexpected(i, e, outs) })
		}
	}
	return false
}

// mayBeNext reports whether no event of another request had ended when the next one of
// request i began.
func (o *oracle) mayBeNext(s *search, i, n int) bool {
	if s.next[i] == len(o.events[i]) {
		return false
	}
	begun := o.events[i][s.next[i]].first
	for j := range n {
		if j != i && o.ends[j][s.next[j]] < begun {
			return false
		}
	}
	return true
}

func (o *oracle) fail(depth int, because func() string) {
	if depth > o.deepest {
		o.deepest, o.because = depth, because()
	}
}

// unexpected says that none of the outcomes has the answer of an event.
func unexpected(i int, e *event, outs []outcome) string {
	var may []string
	for _, o := range outs {
		if o.answer == e.answer {
			return fmt.Sprintf("%s: %s: what comes later has no explanation", letter(i), e)
		}
		may = append(may, o.answer.text(e.verb))
	}
	return fmt.Sprintf("%s: %s; that should be: %s", letter(i), e, strings.Join(may, ", or "))
}

// views compares what can be read afterwards.
func (o *oracle) views(s *search, n, depth int) bool {
	begun := &s.w.states[len(s.w.states)-1]
	for c := range n + 1 {
		want, later := view{}, view{}
		switch {
		case c == 0:
			want = begun.view(1)
			later = afterGrace(begun, 1)
		case o.t.requests[c-1].cred != "":
			v := &s.v[c-1]
			record := begun
			if v.own {
				record = &s.w.own[c-1]
			}
			want, later = record.view(v.presented), afterGrace(record, v.presented)
		}
		if o.t.now[c] != want || o.t.later[c] != later {
			o.fail(depth, func() string {
				return fmt.Sprintf("%s: it should be %s, and after the grace %s", cookieName(c), want, later)
			})
			return false
		}
	}
	return true
}

// afterGrace returns what a credential shows when the one before the last rotation has
// lost its grace.
func afterGrace(s *stored, c credential) view {
	if s.alive && c == s.cur {
		return s.view(c)
	}
	return view{kind: viewNothing, values: empty}
}

func cookieName(c int) string {
	if c == 0 {
		return "the first cookie"
	}
	return fmt.Sprintf("the cookie of %s", letter(c-1))
}
