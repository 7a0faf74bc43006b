package history

import (
	"fmt"
	"time"
)

// Tally counts histories. The zero Tally is ready.
type Tally struct {
	Histories, Faulty   int // all, and those in which calls were lost
	Operations          int
	Unknown             int // operations without an answer
	Thrown              int
	Undecided, Rejected int

	began time.Time
}

// Add counts h, and reports whether it is no good: rejected, or undecided.
func (t *Tally) Add(h *History, v Verdict) (bad bool) {
	if t.began.IsZero() {
		t.began = time.Now()
	}
	t.Histories++
	if h.options.Faults {
		t.Faulty++
	}
	t.Operations += len(h.ops)
	for _, o := range h.ops {
		if o.open() {
			t.Unknown++
		}
	}
	switch v.Result {
	case Thrown:
		t.Thrown++
	case Undecided:
		t.Undecided++
	case Rejected:
		t.Rejected++
	case Accepted:
	}
	return v.Result == Undecided || v.Result == Rejected
}

// String says all of it in one line.
func (t *Tally) String() string {
	var took time.Duration
	if !t.began.IsZero() {
		took = time.Since(t.began)
	}
	return fmt.Sprintf("%d histories, %d of them with faults, %d operations, %d of them without an answer; %d thrown away, %d undecided, %d rejected; %v",
		t.Histories, t.Faulty, t.Operations, t.Unknown, t.Thrown, t.Undecided, t.Rejected, took.Round(time.Millisecond))
}
