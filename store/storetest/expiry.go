package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

var expiryLaws = []law{
	{
		name:  "records end in time",
		text:  "A record stops to exist at its Expires: Load finds it before and returns ErrNotFound afterwards.",
		check: endsInTime,
	},
	{
		name:  "expiry is not rounded",
		text:  "A record ends at its own millisecond, not with others of the same second.",
		check: endsApart,
	},
	{
		name:  "swap shortens a life",
		text:  "A record that a Swap has given an earlier Expires ends then.",
		check: swapShortensLife,
	},
	{
		name:  "swap lengthens a life",
		text:  "A record that a Swap has given a later Expires outlives the one before.",
		check: func(ctx context.Context, s subject) error { return lengthensLife(ctx, s, bySwap) },
	},
	{
		name:  "touch lengthens a life",
		text:  "A record that has been touched outlives the Expires it had before.",
		check: func(ctx context.Context, s subject) error { return lengthensLife(ctx, s, byTouch) },
	},
}

func endsInTime(ctx context.Context, s subject) error {
	// What the clocks may be apart: the record may end this much too early.
	const skew = time.Second
	const life = 1200 * time.Millisecond
	r := newRecord()
	r.Expires = soon(life)
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	for {
		asked := time.Now()
		got, err := s.Load(ctx, key)
		answered := time.Now()
		early, late := r.Expires.Sub(answered), asked.Sub(r.Expires)
		switch {
		case err == nil && late > s.patience:
			return fmt.Errorf("%v after its Expires Load still returns the record", late.Round(time.Millisecond))
		case err == nil:
			if err := same(got, r); err != nil {
				return fmt.Errorf("Load: %w", err)
			}
		case !errors.Is(err, store.ErrNotFound):
			return fmt.Errorf("Load: %w", err)
		case early > skew:
			return fmt.Errorf("%v before its Expires the record is gone", early.Round(time.Millisecond))
		default:
			return nil
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

// endsApart lets two records expire within one second of the clock, wide apart,
// and wants to see one outlive the other. It does not compare the clocks.
func endsApart(ctx context.Context, s subject) error {
	const apart = 400 * time.Millisecond
	return s.withLife(func(life time.Duration) error {
		first, second := newRecord(), newRecord()
		second.Expires = soon(life).Truncate(time.Second).Add(1450 * time.Millisecond)
		first.Expires = second.Expires.Add(-apart)
		firstKey, err := s.put(ctx, first)
		if err != nil {
			return err
		}
		secondKey, err := s.put(ctx, second)
		if err != nil {
			return err
		}
		bothSeen := time.Time{}
		for {
			asked := time.Now()
			// The one that ends later is asked first: gone with the other there is wrong.
			secondEnded, err := s.ended(ctx, secondKey)
			if err != nil {
				return err
			}
			firstEnded, err := s.ended(ctx, firstKey)
			if err != nil {
				return err
			}
			switch {
			case firstEnded && secondEnded && bothSeen.IsZero():
				return errTooSlow
			case firstEnded && secondEnded && time.Since(bothSeen) < apart*3/4:
				return fmt.Errorf("two records with Expires %v apart ended at once, or less than %v apart", apart, time.Since(bothSeen).Round(time.Millisecond))
			case firstEnded && secondEnded:
				return errTooSlow // the moment between was missed
			case firstEnded:
				ended, err := s.ended(ctx, secondKey)
				if err != nil || !ended {
					return err
				}
			case secondEnded:
				return fmt.Errorf("of two records with Expires %v apart the one that expires later ended first", apart)
			case time.Since(second.Expires) > s.patience:
				return fmt.Errorf("%v after its Expires Load still returns the record", s.patience)
			default:
				bothSeen = asked
			}
			if err := pause(ctx); err != nil {
				return err
			}
		}
	})
}

func (s subject) ended(ctx context.Context, key store.Key) (bool, error) {
	_, err := s.read(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return true, nil
	}
	return false, err
}

func swapShortensLife(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	second.Expires = soon(shortLife)
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}
	if err := s.awaitEnd(ctx, key, second.Expires); err != nil {
		return err
	}
	return s.dead(ctx, key, second)
}

func bySwap(ctx context.Context, s subject, key store.Key, r store.Record) (store.Record, error) {
	next := newRecord()
	_, err := s.Swap(ctx, key, r.Version, next)
	if errors.Is(err, store.ErrNotFound) {
		return next, errTooSlow
	}
	return next, err
}

func byTouch(ctx context.Context, s subject, key store.Key, r store.Record) (store.Record, error) {
	next := r
	next.Expires = soon(time.Hour)
	if err := s.Touch(ctx, key, r.Version, next.Expires); err != nil {
		return next, err
	}
	if s.lacks(ctx, key) == nil {
		return next, errTooSlow
	}
	return next, nil
}

// lengthensLife compares with a record that is left as it was, so that the
// store's clock alone says when the first life would have been over.
func lengthensLife(ctx context.Context, s subject, lengthen func(context.Context, subject, store.Key, store.Record) (store.Record, error)) error {
	return s.withLife(func(life time.Duration) error {
		r, left := newRecord(), newRecord()
		r.Expires = soon(life)
		left.Expires = r.Expires
		leftKey, err := s.put(ctx, left)
		if err != nil {
			return err
		}
		key, err := s.put(ctx, r)
		if err != nil {
			return err
		}
		next, err := lengthen(ctx, s, key, r)
		if err != nil {
			return err
		}
		if err := s.awaitEnd(ctx, leftKey, left.Expires); err != nil {
			return fmt.Errorf("a record that was left alone: %w", err)
		}
		if err := s.holds(ctx, key, next); err != nil {
			return fmt.Errorf("past the Expires it had first: %w", err)
		}
		return nil
	})
}
