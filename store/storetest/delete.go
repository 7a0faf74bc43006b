package storetest

import (
	"context"
	"fmt"
)

var deleteLaws = []law{
	{
		name:  "delete wins",
		text:  "Once Delete has returned, no Load, Swap or Touch of the key succeeds.",
		check: deleteWins,
	},
	{
		name:  "delete of nothing",
		text:  "Delete of an absent record, of one that has been deleted, and of one that has expired is no error.",
		check: deleteAbsent,
	},
}

func deleteWins(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	other := newRecord()
	otherKey, err := s.put(ctx, other)
	if err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	if err := s.holds(ctx, key, second); err != nil { // now a cache has it, too
		return fmt.Errorf("after Swap: %w", err)
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	if err := s.dead(ctx, key, second); err != nil {
		return fmt.Errorf("after Delete: %w", err)
	}
	if err := s.dead(ctx, key, first); err != nil {
		return fmt.Errorf("after Delete, with the version before the last: %w", err)
	}
	if err := s.holds(ctx, otherKey, other); err != nil {
		return fmt.Errorf("another record, after Delete: %w", err)
	}
	return nil
}

func deleteAbsent(ctx context.Context, s subject) error {
	if err := s.Delete(ctx, newKey()); err != nil {
		return fmt.Errorf("Delete of an absent record returned %w, want nil", err)
	}
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	for range 3 {
		if err := s.Delete(ctx, key); err != nil {
			return fmt.Errorf("Delete, repeated, returned %w, want nil", err)
		}
		if err := s.dead(ctx, key, r); err != nil {
			return fmt.Errorf("after Delete: %w", err)
		}
	}
	if key, err = s.expired(ctx, r); err != nil {
		return err
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("Delete of an expired record returned %w, want nil", err)
	}
	return s.dead(ctx, key, r)
}
