package schedule

import "slices"

// Result is what an exploration has come to.
type Result struct {
	Schedules int
	Steps     int // of all of them
	Pauses    int // attempts for which time had to pass; their order is not explored
	Violation *Violation
	Trace     string // of the last schedule, where an order was given
}

// Add adds another result. Of the violations the first is kept.
func (r *Result) Add(other Result) {
	r.Schedules += other.Schedules
	r.Steps += other.Steps
	r.Pauses += other.Pauses
	if r.Violation == nil {
		r.Violation = other.Violation
	}
}

// Explore runs all schedules of a case that begin with the order of begun, until one
// breaks a promise. It must be called in the bubble in which s was first used. With an
// error s cannot be used again.
func (s *Site) Explore(begun Schedule) (Result, error) {
	var r Result
	for prefix := slices.Clip(begun.Order); ; {
		t, err := s.trial(begun.Case, prefix)
		if t == nil {
			return r, err
		}
		r.Schedules++
		r.Steps += len(s.sched.order)
		r.Pauses += s.sched.pauses
		because := ""
		if err != nil {
			because = err.Error()
		} else {
			because = s.oracle.explain(t)
		}
		if because != "" {
			r.Violation = newViolation(t, because)
			s.sched.release()
			return r, err
		}
		if s.Seen != nil {
			s.Seen(t.outcome())
		}
		if len(begun.Order) > 0 {
			r.Trace = t.trace()
		}
		if prefix = s.sched.following(len(begun.Order)); prefix == nil {
			return r, nil
		}
	}
}
