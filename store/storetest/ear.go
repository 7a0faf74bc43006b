package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

// errNotSetUp says that the store has a method that it cannot serve as it has been
// made: its laws are skipped.
var errNotSetUp = errors.New("the store is not set up for it")

// ear is one Watch, and what it has told.
type ear struct {
	patience time.Duration
	cancel   context.CancelFunc
	isReady  chan struct{} // closed by the first call of ready
	ended    chan struct{} // closed when Watch has returned err
	err      error
	verdict  func() error
	busy     atomic.Bool // changed is running

	mu       sync.Mutex
	ready    int  // calls of ready
	told     int  // calls of changed
	early    int  // of those, before ready
	overlaps int  // of those, while another one was running
	late     int  // calls after the end
	over     bool // Watch has returned
	heard    map[store.Change]int
	news     chan struct{} // closed by the next call, and replaced
}

// watch starts a Watch and returns when it is ready.
func (s subject) watch(ctx context.Context) (*ear, error) {
	return s.watchFrom(ctx, make(chan struct{}))
}

// watchFrom is watch, and closes isReady at the moment at which it is.
func (s subject) watchFrom(ctx context.Context, isReady chan struct{}) (*ear, error) {
	ctx, cancel := context.WithCancel(ctx)
	e := &ear{
		patience: s.patience, cancel: cancel, isReady: isReady, ended: make(chan struct{}),
		heard: make(map[store.Change]int), news: make(chan struct{}),
	}
	e.verdict = sync.OnceValue(e.judge)
	go func() {
		err := s.Store.(store.Watcher).Watch(ctx, e.onReady, e.onChanged)
		e.mu.Lock()
		e.over, e.err = true, err
		e.mu.Unlock()
		close(e.ended)
	}()
	timer := time.NewTimer(s.patience)
	defer timer.Stop()
	select {
	case <-e.isReady:
		return e, nil
	case <-e.ended:
		select {
		case <-e.isReady:
			return e, nil
		default:
		}
		cancel()
		if errors.Is(e.err, errors.ErrUnsupported) {
			return nil, fmt.Errorf("%w: Watch returned %q", errNotSetUp, fmt.Sprint(e.err))
		}
		return nil, fmt.Errorf("Watch returned the error %q before it called ready", fmt.Sprint(e.err))
	case <-timer.C:
		cancel()
		return nil, fmt.Errorf("Watch did not call ready within %v", s.patience)
	}
}

func (e *ear) onReady() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ready++; e.ready == 1 {
		close(e.isReady)
	}
	e.call()
}

func (e *ear) onChanged(c store.Change) {
	alone := e.busy.CompareAndSwap(false, true)
	runtime.Gosched() // a second call has to come now, if there is one
	e.mu.Lock()
	e.told++
	if !alone {
		e.overlaps++
	}
	if e.ready == 0 {
		e.early++
	}
	e.heard[c]++
	e.call()
	e.mu.Unlock()
	if alone {
		e.busy.Store(false)
	}
}

// call is what all calls have in common. The lock is held.
func (e *ear) call() {
	if e.over {
		e.late++
	}
	close(e.news)
	e.news = make(chan struct{})
}

// until waits until look, which is called with the lock held, has nothing to
// complain about.
func (e *ear) until(ctx context.Context, look func() error) error {
	timer := time.NewTimer(e.patience)
	defer timer.Stop()
	for {
		e.mu.Lock()
		err, over, news := look(), e.over, e.news
		e.mu.Unlock()
		switch {
		case err == nil:
			return nil
		case over:
			return fmt.Errorf("%w; Watch has returned the error %q", err, fmt.Sprint(e.err))
		}
		select {
		case <-news:
		case <-e.ended:
		case <-timer.C:
			return fmt.Errorf("%w within %v", err, e.patience)
		case <-ctx.Done():
			return fmt.Errorf("the law took too long: %w", ctx.Err())
		}
	}
}

// hears waits for a change that was, or is being, made.
func (e *ear) hears(ctx context.Context, c store.Change) error {
	return e.until(ctx, func() error {
		if e.heard[c] == 0 {
			return fmt.Errorf("changed was not called with the version %d", c.Version)
		}
		return nil
	})
}

// expecting makes a change, and waits until it was told at a time at which see had
// nothing to complain about.
func (e *ear) expecting(ctx context.Context, c store.Change, change, see func() error) error {
	made := make(chan error, 1)
	go func() { made <- change() }() // it may be told before this returns
	err := e.seen(ctx, c, see)
	if err := <-made; err != nil {
		return err
	}
	return err
}

func (e *ear) seen(ctx context.Context, c store.Change, see func() error) error {
	told, unseen := 0, error(nil)
	for {
		err := e.until(ctx, func() error {
			switch n := e.heard[c]; {
			case n > told:
				told = n
				return nil
			case unseen != nil:
				return fmt.Errorf("changed was called with the version %d only before that could be seen (%w), and not again", c.Version, unseen)
			default:
				return fmt.Errorf("changed was not called with the version %d", c.Version)
			}
		})
		if err != nil {
			return err
		}
		if unseen = see(); unseen == nil {
			return nil
		}
	}
}

// end ends the Watch, and says what is wrong with how it ended.
func (e *ear) end() error { return e.verdict() }

func (e *ear) judge() error {
	select {
	case <-e.ended:
		e.cancel()
		return fmt.Errorf("Watch returned the error %q before its context ended", fmt.Sprint(e.err))
	default:
	}
	e.cancel()
	timer := time.NewTimer(e.patience)
	defer timer.Stop()
	select {
	case <-e.ended:
		if e.err == nil {
			return errors.New("Watch returned nil when its context had ended, want an error")
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("Watch did not return within %v of the end of its context", e.patience)
	}
}

// calledLate returns how many calls there were after the end.
func (e *ear) calledLate() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.late
}
