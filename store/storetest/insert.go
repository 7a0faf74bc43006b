package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/typedsession/session/store"
)

var insertLaws = []law{
	{
		name:  "insert never replaces",
		text:  "Insert returns ErrExists and changes nothing when a record is there, also when it is given the same version.",
		check: insertNeverReplaces,
	},
	{
		name:  "insert over an expired record",
		text:  "Insert over an expired record creates the new one or returns ErrExists. It never brings the old one back.",
		check: insertOverExpired,
	},
}

func insertNeverReplaces(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	other, twin := newRecord(), newRecord()
	twin.Version = r.Version
	for _, next := range []store.Record{other, twin, r} {
		if err := expect("the second Insert", s.Insert(ctx, key, next), store.ErrExists); err != nil {
			return err
		}
		if err := s.holds(ctx, key, r); err != nil {
			return fmt.Errorf("after a second Insert: %w", err)
		}
	}
	return nil
}

func insertOverExpired(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.expired(ctx, r)
	if err != nil {
		return err
	}
	next := newRecord()
	switch err := s.Insert(ctx, key, next); {
	case err == nil:
		return s.holds(ctx, key, next)
	case errors.Is(err, store.ErrExists):
		if err := s.dead(ctx, key, r); err != nil {
			return fmt.Errorf("after Insert returned ErrExists: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("Insert over an expired record: %w", err)
	}
}
