package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/typedsession/session/store"
)

var watchLaws = []law{
	{
		name:  "watch is ready first",
		text:  "Watch calls ready once, and changed not before.",
		needs: implements[store.Watcher],
		check: watchReadyFirst,
	},
	{
		name:  "watch calls one at a time",
		text:  "Watch does not call changed while changed is running.",
		needs: implements[store.Watcher],
		check: watchOneAtATime,
	},
	{
		name:  "watch tells of swaps",
		text:  "After a Swap changed is called with the version that was written, when it can be seen already.",
		needs: implements[store.Watcher],
		check: watchSwaps,
	},
	{
		name:  "watch tells of deletions",
		text:  "After a Delete changed is called with the version 0, when it can be seen already.",
		needs: implements[store.Watcher],
		check: watchDeletes,
	},
	{
		name:  "watch tells of deletions by owner",
		text:  "DeleteOwner is told like as many Deletes.",
		needs: func(s store.Store) bool { return implements[store.Watcher](s) && implements[store.OwnerIndex](s) },
		check: watchDeleteOwner,
	},
	{
		name:  "watch misses nothing",
		text:  "No change that began after ready was called is missed, however many happen at once: the last one of each key is told.",
		needs: implements[store.Watcher],
		check: watchMissesNothing,
	},
	{
		name:  "several watch at once",
		text:  "Each of several Watches hears of every change, and goes on when another one ends.",
		needs: implements[store.Watcher],
		check: watchTogether,
	},
	{
		name:  "watch ends with its context",
		text:  "Watch returns soon after its context has ended, with an error, and calls nothing from then on.",
		needs: implements[store.Watcher],
		check: watchEnds,
	},
}

// swapped replaces the record of key, whose version is old.
func (s subject) swapped(ctx context.Context, key store.Key, old int64) (store.Record, error) {
	next := newRecord()
	if _, err := s.Swap(ctx, key, old, next); err != nil {
		return next, fmt.Errorf("Swap with the stored version: %w", err)
	}
	return next, nil
}

// listening calls f while it watches, and returns what is wrong with what was
// heard until the end. The lock is held when wrong is called.
func (s subject) listening(ctx context.Context, f func(e *ear) error, wrong func(e *ear) error) error {
	e, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = e.end() }()
	if err := f(e); err != nil {
		return err
	}
	if err := e.end(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return wrong(e)
}

func nothingWrong(*ear) error { return nil }

func watchReadyFirst(ctx context.Context, s subject) error {
	return s.busily(ctx, func(e *ear) error {
		switch {
		case e.ready != 1:
			return fmt.Errorf("ready was called %d times, want 1", e.ready)
		case e.early > 0:
			return fmt.Errorf("changed was called %d times before ready", e.early)
		}
		return nil
	})
}

func watchOneAtATime(ctx context.Context, s subject) error {
	return s.busily(ctx, func(e *ear) error {
		if e.overlaps > 0 {
			return fmt.Errorf("%d of %d calls of changed began while another one was running", e.overlaps, e.told)
		}
		return nil
	})
}

func watchSwaps(ctx context.Context, s subject) error {
	return s.listening(ctx, func(e *ear) error {
		return rounds(func() error {
			r := newRecord()
			key, err := s.put(ctx, r)
			if err != nil {
				return err
			}
			for range 3 {
				next := newRecord()
				err := e.expecting(ctx, store.Change{Key: key, Version: next.Version}, func() error {
					_, err := s.Swap(ctx, key, r.Version, next)
					return err
				}, func() error { return s.holds(ctx, key, next) })
				if err != nil {
					return fmt.Errorf("Swap with the stored version: %w", err)
				}
				r = next
			}
			return nil
		})
	}, nothingWrong)
}

func watchDeletes(ctx context.Context, s subject) error {
	return s.listening(ctx, func(e *ear) error {
		return rounds(func() error {
			r := newRecord()
			key, err := s.put(ctx, r)
			if err != nil {
				return err
			}
			if _, err := s.swapped(ctx, key, r.Version); err != nil {
				return err
			}
			err = e.expecting(ctx, store.Change{Key: key}, func() error {
				return s.Delete(ctx, key)
			}, func() error { return s.lacks(ctx, key) })
			if err != nil {
				return fmt.Errorf("Delete: %w", err)
			}
			return nil
		})
	}, nothingWrong)
}

func watchDeleteOwner(ctx context.Context, s subject) error {
	return s.listening(ctx, func(e *ear) error {
		return rounds(func() error {
			owner := newOwner()
			mine, err := s.putOwned(ctx, owner, racers)
			if err != nil {
				return err
			}
			if _, err := s.owners().DeleteOwner(ctx, owner); err != nil {
				return fmt.Errorf("DeleteOwner: %w", err)
			}
			for key := range mine {
				if err := e.hears(ctx, store.Change{Key: key}); err != nil {
					return fmt.Errorf("DeleteOwner of %d records: %w", racers, err)
				}
			}
			return nil
		})
	}, nothingWrong)
}

func watchTogether(ctx context.Context, s subject) error {
	return s.listening(ctx, func(first *ear) error {
		return s.listening(ctx, func(last *ear) error {
			second, err := s.watch(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = second.end() }()
			if err := s.tellsAll(ctx, first, second, last); err != nil {
				return err
			}
			if err := second.end(); err != nil {
				return err
			}
			if err := s.tellsAll(ctx, first, last); err != nil {
				return fmt.Errorf("after another Watch has ended: %w", err)
			}
			return nil
		}, nothingWrong)
	}, nothingWrong)
}

// tellsAll changes a record and checks that all hear of it.
func (s subject) tellsAll(ctx context.Context, ears ...*ear) error {
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	next, err := s.swapped(ctx, key, r.Version)
	if err != nil {
		return err
	}
	hear := func(version int64) error {
		for i, e := range ears {
			if err := e.hears(ctx, store.Change{Key: key, Version: version}); err != nil {
				return fmt.Errorf("Watch %d of %d: %w", i+1, len(ears), err)
			}
		}
		return nil
	}
	if err := hear(next.Version); err != nil {
		return fmt.Errorf("after a Swap: %w", err)
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	if err := hear(0); err != nil {
		return fmt.Errorf("after a Delete: %w", err)
	}
	return nil
}

func watchEnds(ctx context.Context, s subject) error {
	over, cancel := context.WithCancel(ctx)
	cancel()
	if err := s.failsSoon(func() error {
		return s.Store.(store.Watcher).Watch(over, func() {}, func(store.Change) {})
	}); err != nil {
		return fmt.Errorf("Watch with a context that has ended %w", err)
	}
	// Another one shows that there was something to call changed for.
	return s.listening(ctx, func(other *ear) error {
		for range minRounds {
			e, err := s.watch(ctx)
			if err != nil {
				return err
			}
			if err := s.tellsAll(ctx, e, other); err != nil {
				return errors.Join(err, e.end())
			}
			if err := e.end(); err != nil {
				return err
			}
			for range 5 {
				if err := s.tellsAll(ctx, other); err != nil {
					return err
				}
			}
			if late := e.calledLate(); late > 0 {
				return fmt.Errorf("%d calls after Watch had returned", late)
			}
		}
		return nil
	}, nothingWrong)
}
