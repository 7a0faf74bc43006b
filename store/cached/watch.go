package cached

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/typedsession/session/store"
)

// The pauses before Run tries again. They double, and are cut by up to a half at
// random, so that nodes do not come back in step.
const (
	shortestPause = 200 * time.Millisecond
	longestPause  = 10 * time.Second
)

// Run lets the cache hear of the changes that other nodes make, and drop its copies at
// once, until ctx ends; it returns ctx's error then. Where the store beneath tells of
// no changes it returns at once, with an error that wraps errors.ErrUnsupported.
//
// A subscription that is lost is tried again after 100 milliseconds to 10 seconds. It
// is logged as a warning, once, and so is that it stands again. Meanwhile, as without
// Run, a copy is used until it is too old: that bound holds always.
//
// One Run is enough. It works in the goroutine that calls it, and starts none.
func (s *Store) Run(ctx context.Context) error {
	w, ok := s.back.(store.Watcher)
	if !ok {
		return s.unsupported("tells of no changes")
	}
	pause, lost := shortestPause, false
	for {
		var stood time.Time
		err := s.listen(ctx, w, func() {
			stood = time.Now()
			if lost {
				lost = false
				s.config.logger.InfoContext(ctx, "the session cache hears of changes again")
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		if !lost {
			lost = true
			s.config.logger.WarnContext(ctx, "the session cache does not hear of changes; its copies are used until they are too old",
				"ttl", s.config.ttl, "error", err)
		}
		if !stood.IsZero() && time.Since(stood) > longestPause {
			pause = shortestPause
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause - rand.N(pause/2)): //nolint:gosec // G404: spreads nodes, is no secret
		}
		pause = min(2*pause, longestPause)
	}
}

// listen watches until the subscription ends.
func (s *Store) listen(ctx context.Context, w store.Watcher, stands func()) error {
	ready := false
	defer func() {
		if ready {
			s.listening.Add(-1)
		}
	}()
	return w.Watch(ctx, func() {
		ready = true
		s.listening.Add(1)
		stands()
	}, s.invalidate)
}

// Watch implements [store.Watcher]. It passes on what the store beneath tells, and
// drops the copy of a record before it tells that the record has changed.
func (s *Store) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	w, ok := s.back.(store.Watcher)
	if !ok {
		return s.unsupported("tells of no changes")
	}
	return w.Watch(ctx, ready, func(c store.Change) {
		s.invalidate(c)
		changed(c)
	})
}
