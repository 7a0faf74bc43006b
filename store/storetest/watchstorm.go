package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/typedsession/session/store"
)

// busily watches while records are being changed, from before until some were
// told, and returns what is wrong with what was heard.
func (s subject) busily(ctx context.Context, wrong func(e *ear) error) error {
	busy, cancel := context.WithCancel(ctx)
	defer cancel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.churn(busy, sync.OnceFunc(func() { close(begun) })) }()
	<-begun
	err := s.listening(ctx, func(e *ear) error {
		const enough = 20
		return e.until(ctx, func() error {
			if e.told < enough {
				return fmt.Errorf("changed was called %d times while records are being changed, want at least %d", e.told, enough)
			}
			return nil
		})
	}, wrong)
	cancel()
	return errors.Join(err, <-ended)
}

// churn changes records of several keys in turn until ctx ends. It calls begin
// before, or when it cannot.
func (s subject) churn(ctx context.Context, begin func()) error {
	defer begin()
	var keys [racers]store.Key
	var versions [racers]int64
	for i := range keys {
		r := newRecord()
		key, err := s.put(ctx, r)
		if err != nil {
			return err
		}
		keys[i], versions[i] = key, r.Version
	}
	for {
		for i := range keys {
			next, err := s.swapped(ctx, keys[i], versions[i])
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			versions[i] = next.Version
			begin()
		}
		if pause(ctx) != nil { // no flood
			return nil
		}
	}
}

// lastChanges has many writers change records, of their own and one that they
// share, from the moment at which start is closed. It returns the last change of
// each key.
func (s subject) lastChanges(ctx context.Context, start <-chan struct{}) (func() (map[store.Key]int64, error), error) {
	shared := newRecord()
	sharedKey, err := s.put(ctx, shared)
	if err != nil {
		return nil, err
	}
	const own = 4
	var keys [racers][own]store.Key
	var versions [racers][own]int64
	for i := range racers {
		for j := range own {
			r := newRecord()
			if keys[i][j], err = s.put(ctx, r); err != nil {
				return nil, err
			}
			versions[i][j] = r.Version
		}
	}
	writers := make(chan error, 1)
	write := func(i int) error {
		select {
		case <-start:
		case <-ctx.Done():
			return fmt.Errorf("the law took too long: %w", ctx.Err())
		}
		for round := range 3 {
			for j, key := range keys[i] {
				if round == 1 && j%2 == 0 {
					if err := s.Delete(ctx, key); err != nil {
						return fmt.Errorf("Delete: %w", err)
					}
					versions[i][j] = 0
				}
				if versions[i][j] == 0 {
					continue
				}
				next, err := s.swapped(ctx, key, versions[i][j])
				if err != nil {
					return err
				}
				versions[i][j] = next.Version
			}
			cur, err := s.read(ctx, sharedKey)
			if err != nil {
				return fmt.Errorf("Load: %w", err)
			}
			if _, err := s.Swap(ctx, sharedKey, cur.Version, newRecord()); err != nil && !errors.Is(err, store.ErrConflict) {
				return fmt.Errorf("Swap: %w", err)
			}
		}
		return nil
	}
	go func() { writers <- atOnce(racers, write) }()
	return func() (map[store.Key]int64, error) {
		if err := <-writers; err != nil {
			return nil, err
		}
		cur, err := s.read(ctx, sharedKey)
		if err != nil {
			return nil, fmt.Errorf("Load: %w", err)
		}
		last := map[store.Key]int64{sharedKey: cur.Version}
		for i := range keys {
			for j, key := range keys[i] {
				last[key] = versions[i][j]
			}
		}
		return last, nil
	}, nil
}

func watchMissesNothing(ctx context.Context, s subject) error {
	return rounds(func() error {
		start := make(chan struct{})
		begun, cancel := context.WithCancel(ctx) // ends the writers where ready is never called
		defer cancel()
		changes, err := s.lastChanges(begun, start)
		if err != nil {
			return err
		}
		e, err := s.watchFrom(ctx, start)
		if err != nil {
			cancel()
			_, _ = changes() // says that it was ended
			return err
		}
		defer func() { _ = e.end() }()
		last, err := changes()
		if err != nil {
			return err
		}
		err = e.until(ctx, func() error {
			missed := 0
			for key, version := range last {
				if e.heard[store.Change{Key: key, Version: version}] == 0 {
					missed++
				}
			}
			if missed > 0 {
				return fmt.Errorf("of %d keys that were changed at the same time the last change of %d was not told", len(last), missed)
			}
			return nil
		})
		return errors.Join(err, e.end())
	})
}
