package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

var touchLaws = []law{
	{
		name:  "touch lengthens and no more",
		text:  "Touch sets Expires to a later time and never changes Data, Version or Owner.",
		check: touchLengthens,
	},
	{
		name:  "touch never shortens",
		text:  "Touch with an earlier time than the stored one, even one that has passed, returns nil and changes nothing.",
		check: touchNeverShortens,
	},
	{
		name:  "touch keeps the version",
		text:  "After a Touch the version is what it was: a Swap from it succeeds.",
		check: touchThenSwap,
	},
	{
		name:  "touch of another version",
		text:  "Touch with another version than the stored one returns nil and changes nothing; so it cannot undo that a Swap has shortened a life.",
		check: touchStale,
	},
	{
		name:  "touch creates nothing",
		text:  "Touch of an absent record returns nil and creates nothing.",
		check: touchAbsent,
	},
	{
		name:  "touch revives nothing",
		text:  "Touch of an expired record returns nil and does not bring it back.",
		check: touchExpired,
	},
}

// touches calls Touch and checks that want is stored then.
func (s subject) touches(ctx context.Context, key store.Key, old int64, exp time.Time, want store.Record) error {
	if err := s.Touch(ctx, key, old, exp); err != nil {
		return fmt.Errorf("Touch returned %w, want nil", err)
	}
	if err := s.holds(ctx, key, want); err != nil {
		return fmt.Errorf("after Touch to %s: %w", clock(exp), err)
	}
	return nil
}

func touchLengthens(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	for _, by := range []time.Duration{time.Millisecond, time.Hour, 30 * 24 * time.Hour} {
		r.Expires = r.Expires.Add(by)
		if err := s.touches(ctx, key, r.Version, r.Expires, r); err != nil {
			return err
		}
	}
	r = newRecord()
	r.Owner, r.Data = "", nil
	if key, err = s.put(ctx, r); err != nil {
		return err
	}
	r.Expires = r.Expires.Add(time.Minute)
	return s.touches(ctx, key, r.Version, r.Expires, r)
}

func touchNeverShortens(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	for _, exp := range []time.Time{
		r.Expires,
		r.Expires.Add(-time.Millisecond),
		soon(time.Minute),
		soon(-time.Hour),
		time.UnixMilli(1),
	} {
		if err := s.touches(ctx, key, r.Version, exp, r); err != nil {
			return err
		}
	}
	return nil
}

func touchThenSwap(ctx context.Context, s subject) error {
	r, next := newRecord(), newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	if err := s.Touch(ctx, key, r.Version, soon(5*time.Hour)); err != nil {
		return fmt.Errorf("Touch returned %w, want nil", err)
	}
	if _, err := s.Swap(ctx, key, r.Version, next); err != nil {
		return fmt.Errorf("Swap from the version that was touched: %w", err)
	}
	if err := s.holds(ctx, key, next); err != nil {
		return fmt.Errorf("after Touch and Swap: %w", err)
	}
	return nil
}

func touchStale(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	second.Expires = soon(10 * time.Minute)
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	if err := s.touches(ctx, key, newVersion(), soon(6*time.Hour), first); err != nil {
		return fmt.Errorf("a version that was never stored: %w", err)
	}
	if err := s.touches(ctx, key, first.Version^1, soon(6*time.Hour), first); err != nil {
		return fmt.Errorf("a version that differs in one bit: %w", err)
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	if err := s.touches(ctx, key, first.Version, soon(6*time.Hour), second); err != nil {
		return fmt.Errorf("a version that was replaced: %w", err)
	}
	return nil
}

func touchAbsent(ctx context.Context, s subject) error {
	key := newKey()
	if err := s.Touch(ctx, key, newVersion(), soon(time.Hour)); err != nil {
		return fmt.Errorf("Touch returned %w, want nil", err)
	}
	if err := s.lacks(ctx, key); err != nil {
		return fmt.Errorf("after Touch: %w", err)
	}
	r := newRecord()
	if err := s.Insert(ctx, key, r); err != nil {
		return fmt.Errorf("after Touch: Insert under the same key: %w", err)
	}
	return s.holds(ctx, key, r)
}

func touchExpired(ctx context.Context, s subject) error {
	r := newRecord()
	key, err := s.expired(ctx, r)
	if err != nil {
		return err
	}
	if err := s.Touch(ctx, key, r.Version, soon(time.Hour)); err != nil {
		return fmt.Errorf("Touch returned %w, want nil", err)
	}
	if err := s.lacks(ctx, key); err != nil {
		return fmt.Errorf("after Touch: %w", err)
	}
	return s.dead(ctx, key, r)
}
