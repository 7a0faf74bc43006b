package storetest

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/typedsession/session/store"
)

var swapLaws = []law{
	{
		name:  "swap changes every field",
		text:  "A Swap that succeeds sets Data, Version, Expires (also to an earlier time) and Owner (also to none) to those of r.",
		check: swapChangesAll,
	},
	{
		name:  "swap refuses a stale version",
		text:  "Swap with another version than the stored one returns ErrConflict, changes nothing, and returns the record it found or the zero Record.",
		check: swapStale,
	},
	{
		name:  "versions are equal or not",
		text:  "Versions are compared for equality only, in all of their bits: a lower one may follow, and one that is close is another.",
		check: swapExactVersions,
	},
	{
		name:  "swap creates nothing",
		text:  "Swap with no record returns ErrNotFound and creates nothing.",
		check: swapAbsent,
	},
	{
		name:  "swap revives nothing",
		text:  "Swap of an expired record returns ErrNotFound and does not bring it back, also when its version already is r.Version.",
		check: swapExpired,
	},
	{
		name:  "swap repeated happens once",
		text:  "Swap changes nothing and returns nil when the stored version already is r.Version, whatever else it is given.",
		check: swapRepeated,
	},
	{
		name:  "swap repeated too late",
		text:  "A Swap that is repeated after a later one has succeeded is a conflict and does not undo it.",
		check: swapRepeatedLate,
	},
}

func swapChangesAll(ctx context.Context, s subject) error {
	first := newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	earlier := newRecord()
	earlier.Data = earlier.Data[:10]
	earlier.Expires = soon(20 * time.Minute)
	unowned := newRecord()
	unowned.Data = nil
	unowned.Owner = ""
	owned := newRecord()
	owned.Expires = soon(3 * time.Hour)
	alike := owned
	alike.Version = newVersion() // nothing else changes
	old := first.Version
	for _, next := range []store.Record{earlier, unowned, owned, alike} {
		if _, err := s.Swap(ctx, key, old, next); err != nil {
			return fmt.Errorf("Swap with the stored version: %w", err)
		}
		if err := s.holds(ctx, key, next); err != nil {
			return fmt.Errorf("after Swap: %w", err)
		}
		old = next.Version
	}
	return nil
}

// conflicts checks that a swap from old is refused and changes nothing.
func (s subject) conflicts(ctx context.Context, key store.Key, stored store.Record, old int64, r store.Record) error {
	cur, err := s.Swap(ctx, key, old, r)
	if err := expect("Swap", err, store.ErrConflict); err != nil {
		return fmt.Errorf("the stored version is %d, the expected one %d: %w", stored.Version, old, err)
	}
	if !isZero(cur) {
		if err := same(cur, stored); err != nil {
			return fmt.Errorf("the record that Swap returned with ErrConflict is not the stored one: %w", err)
		}
	}
	if err := s.holds(ctx, key, stored); err != nil {
		return fmt.Errorf("after ErrConflict: %w", err)
	}
	return nil
}

func swapStale(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	if err := s.conflicts(ctx, key, first, newVersion(), newRecord()); err != nil {
		return fmt.Errorf("a version that was never stored: %w", err)
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	if err := s.conflicts(ctx, key, second, first.Version, newRecord()); err != nil {
		return fmt.Errorf("a version that was replaced: %w", err)
	}
	if err := s.conflicts(ctx, key, second, 0, newRecord()); err != nil {
		return fmt.Errorf("no version: %w", err)
	}
	return nil
}

func swapExactVersions(ctx context.Context, s subject) error {
	cur := newRecord()
	cur.Version = math.MaxInt64
	key, err := s.put(ctx, cur)
	if err != nil {
		return err
	}
	for _, v := range []int64{1 << 62, 1, 1<<53 + 1, math.MaxInt64 - 1, 2} {
		for _, near := range []int64{cur.Version ^ 1, cur.Version ^ 1<<32, cur.Version ^ 1<<62} {
			if near <= 0 {
				continue
			}
			if err := s.conflicts(ctx, key, cur, near, newRecord()); err != nil {
				return err
			}
		}
		next := newRecord()
		next.Version = v
		if _, err := s.Swap(ctx, key, cur.Version, next); err != nil {
			return fmt.Errorf("Swap from version %d to %d: %w", cur.Version, v, err)
		}
		if err := s.holds(ctx, key, next); err != nil {
			return fmt.Errorf("after Swap from version %d to %d: %w", cur.Version, v, err)
		}
		cur = next
	}
	return nil
}

func swapAbsent(ctx context.Context, s subject) error {
	r := newRecord()
	for _, old := range []int64{newVersion(), r.Version, 0} {
		key := newKey()
		_, err := s.Swap(ctx, key, old, r)
		if err := expect("Swap", err, store.ErrNotFound); err != nil {
			return err
		}
		if err := s.lacks(ctx, key); err != nil {
			return fmt.Errorf("after ErrNotFound: %w", err)
		}
		fresh := newRecord()
		if err := s.Insert(ctx, key, fresh); err != nil {
			return fmt.Errorf("after ErrNotFound: Insert under the same key: %w", err)
		}
		if err := s.holds(ctx, key, fresh); err != nil {
			return fmt.Errorf("after ErrNotFound and Insert: %w", err)
		}
	}
	return nil
}

func swapExpired(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.expired(ctx, r)
	if err != nil {
		return err
	}
	_, err = s.Swap(ctx, key, r.Version, newRecord())
	if err := expect("Swap", err, store.ErrNotFound); err != nil {
		return err
	}
	if err := s.lacks(ctx, key); err != nil {
		return fmt.Errorf("after ErrNotFound: %w", err)
	}
	_, err = s.Swap(ctx, key, newVersion(), newRecord())
	if err := expect("Swap with another version", err, store.ErrNotFound); err != nil {
		return err
	}
	return s.dead(ctx, key, r)
}

func swapRepeated(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	different := newRecord()
	different.Version = second.Version
	different.Owner = ""
	different.Expires = soon(4 * time.Hour)
	for _, r := range []store.Record{second, different} {
		for _, old := range []int64{first.Version, newVersion()} {
			if _, err := s.Swap(ctx, key, old, r); err != nil {
				return fmt.Errorf("Swap to the version that is stored already returned %w, want nil", err)
			}
			if err := s.holds(ctx, key, second); err != nil {
				return fmt.Errorf("after a Swap to the version that was stored already: %w", err)
			}
		}
	}
	return nil
}

func swapRepeatedLate(ctx context.Context, s subject) error {
	first, second, third := newRecord(), newRecord(), newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	if _, err := s.Swap(ctx, key, second.Version, third); err != nil {
		return fmt.Errorf("second Swap with the stored version: %w", err)
	}
	return s.conflicts(ctx, key, third, first.Version, second)
}
