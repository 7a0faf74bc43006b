package session

import (
	"context"
	"sync"
	"time"
)

// detached is the context of a commit: it has the values of its parent, but
// ends by time alone. Unlike context.WithTimeout it allocates and starts nothing
// until somebody waits for it, which a store in memory never does.
type detached struct {
	context.Context // for its values
	deadline        time.Time

	mu    sync.Mutex
	done  chan struct{}
	timer *time.Timer
	err   error
}

// detach returns the context of a commit of m. The caller ends it.
func detach(parent context.Context, m *Manager) *detached {
	return &detached{Context: parent, deadline: time.Now().Add(m.cfg.Timeout)}
}

// Deadline implements context.Context.
func (d *detached) Deadline() (time.Time, bool) { return d.deadline, true }

// Done implements context.Context.
func (d *detached) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
		if d.err != nil {
			close(d.done)
		} else {
			d.timer = time.AfterFunc(time.Until(d.deadline), func() { d.end(context.DeadlineExceeded) })
		}
	}
	return d.done
}

// Err implements context.Context.
func (d *detached) Err() error {
	if !time.Now().Before(d.deadline) {
		d.end(context.DeadlineExceeded) // the timer may be late, or nobody has asked for one
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// end ends the context, if nothing has before: for the owner, when the commit is
// over.
func (d *detached) end(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return
	}
	d.err = cause
	if d.timer != nil {
		d.timer.Stop()
	}
	if d.done != nil {
		close(d.done)
	}
}

// String implements fmt.Stringer.
func (d *detached) String() string { return "session.commit" }
