package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

var contextLaws = []law{{
	name:  "an ended context ends a call",
	text:  "With a context that has ended every method returns soon, with an error that does not pass for an answer about the record.",
	check: contextEnded,
}}

func contextEnded(ctx context.Context, s subject) error {
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	late, cancelLate := context.WithDeadline(ctx, time.Now().Add(-time.Second))
	defer cancelLate()
	for _, ended := range []context.Context{canceled, late} {
		r := newRecord()
		key, err := s.put(ctx, r)
		if err != nil {
			return err
		}
		for _, call := range calls(ended, s.Store, key, r) {
			if err := s.failsSoon(call.do); err != nil {
				return fmt.Errorf("%s with a context that has ended (%w) %w", call.name, ended.Err(), err)
			}
		}
	}
	return nil
}

type call struct {
	name string
	do   func() error
}

// calls returns every method of s, called for a live record.
func calls(ctx context.Context, s store.Store, key store.Key, r store.Record) []call {
	all := []call{
		{"Load", func() error { _, err := s.Load(ctx, key); return err }},
		{"Load of nothing", func() error { _, err := s.Load(ctx, newKey()); return err }},
		{"Insert", func() error { return s.Insert(ctx, newKey(), newRecord()) }},
		{"Insert over a record", func() error { return s.Insert(ctx, key, newRecord()) }},
		{"Swap from a stale version", func() error { _, err := s.Swap(ctx, key, newVersion(), newRecord()); return err }},
		{"Swap of nothing", func() error { _, err := s.Swap(ctx, newKey(), r.Version, newRecord()); return err }},
		{"Touch", func() error { return s.Touch(ctx, key, r.Version, r.Expires.Add(time.Hour)) }},
		{"Swap", func() error { _, err := s.Swap(ctx, key, r.Version, newRecord()); return err }},
		{"Delete", func() error { return s.Delete(ctx, key) }},
	}
	if f, ok := s.(store.FreshLoader); ok {
		all = append(all, call{"LoadFresh", func() error { _, err := f.LoadFresh(ctx, newKey()); return err }})
	}
	if o, ok := s.(store.OwnerIndex); ok {
		all = append(all,
			call{"ListOwner", func() error { _, err := o.ListOwner(ctx, newOwner(), store.Key{}, 10); return err }},
			call{"DeleteOwner", func() error { _, err := o.DeleteOwner(ctx, newOwner()); return err }})
	}
	if w, ok := s.(store.Sweeper); ok {
		all = append(all, call{"DeleteExpired", func() error { _, err := w.DeleteExpired(ctx, 1); return err }})
	}
	return all
}

func (s subject) failsSoon(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if err == nil {
			return errors.New("returned nil, want an error")
		}
		for _, answer := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
			if errors.Is(err, answer) {
				return fmt.Errorf("returned %q, which says something about the record", fmt.Sprint(err))
			}
		}
		return nil
	case <-time.After(s.patience):
		return fmt.Errorf("did not return within %v", s.patience)
	}
}
