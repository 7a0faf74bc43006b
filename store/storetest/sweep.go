package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

// The laws of sweeping are alone: what other laws leave to expire would count.
var sweepLaws = []law{
	{
		name:  "sweeping removes the expired",
		text:  "DeleteExpired removes what has expired, at most limit at a time, and returns how many; fewer than limit means that none are left.",
		needs: implements[store.Sweeper],
		alone: true,
		check: sweepCounts,
	},
	{
		name:  "sweeping spares the living",
		text:  "DeleteExpired never removes a live record, also when its life was lengthened or the record was replaced.",
		needs: implements[store.Sweeper],
		alone: true,
		check: sweepSpares,
	},
}

// sweep calls DeleteExpired until none are left and returns how many there were.
func (s subject) sweep(ctx context.Context, limit int) (int64, error) {
	var total int64
	for {
		n, err := s.Store.(store.Sweeper).DeleteExpired(ctx, limit)
		if err != nil {
			return total, fmt.Errorf("DeleteExpired: %w", err)
		}
		if n < 0 || n > int64(limit) {
			return total, fmt.Errorf("DeleteExpired returned %d, the limit was %d", n, limit)
		}
		total += n
		if n < int64(limit) {
			return total, nil
		}
		if err := ctx.Err(); err != nil {
			return total, fmt.Errorf("DeleteExpired always returns its limit: %w", err)
		}
	}
}

func sweepCounts(ctx context.Context, s subject) error {
	const count, limit = 8, 3
	var err error
	// A slow machine gets more time to store all of them before they expire. A
	// count that is wrong for another reason is wrong again.
	for _, life := range s.lives() {
		var keys []store.Key
		if keys, err = s.putExpired(ctx, count, life); err != nil {
			return err
		}
		if err = s.sweptAll(ctx, limit, keys); err == nil {
			return nil
		}
	}
	return err
}

// putExpired sweeps what earlier runs have left, and returns the keys of n
// records that have expired.
func (s subject) putExpired(ctx context.Context, n int, life time.Duration) ([]store.Key, error) {
	if _, err := s.sweep(ctx, 1000); err != nil {
		return nil, err
	}
	r := newRecord()
	r.Expires = soon(life)
	first := newRecord() // lives short only since it was replaced
	key, err := s.put(ctx, first)
	if err != nil {
		return nil, err
	}
	if _, err := s.Swap(ctx, key, first.Version, r); err != nil {
		return nil, fmt.Errorf("Swap with the stored version: %w", err)
	}
	keys := []store.Key{key}
	for len(keys) < n {
		if key, err = s.put(ctx, r); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	// Only one is asked for: a store may remove what it finds expired.
	return keys, s.awaitEnd(ctx, key, r.Expires)
}

func (s subject) sweptAll(ctx context.Context, limit int, keys []store.Key) error {
	total, err := s.sweep(ctx, limit)
	if err != nil {
		return err
	}
	// The one that was asked for may have been removed then.
	if n := int64(len(keys)); total != n && total != n-1 {
		return fmt.Errorf("DeleteExpired in steps of %d returned %d in all for %d expired records", limit, total, n)
	}
	for _, key := range keys {
		if err := s.Insert(ctx, key, newRecord()); err != nil {
			return fmt.Errorf("an expired record is still there after DeleteExpired: Insert: %w", err)
		}
	}
	return nil
}

func sweepSpares(ctx context.Context, s subject) error {
	return s.withLife(func(life time.Duration) error {
		live := make(map[store.Key]store.Record)
		for range 4 {
			r := newRecord()
			key, err := s.put(ctx, r)
			if err != nil {
				return err
			}
			live[key] = r
		}
		r := newRecord()
		r.Expires = soon(life)
		for _, lengthen := range []func(context.Context, subject, store.Key, store.Record) (store.Record, error){bySwap, byTouch} {
			key, err := s.put(ctx, r)
			if err != nil {
				return err
			}
			next, err := lengthen(ctx, s, key, r)
			if err != nil {
				return err
			}
			live[key] = next
		}
		key, err := s.put(ctx, r)
		if err != nil {
			return err
		}
		if err := s.awaitEnd(ctx, key, r.Expires); err != nil {
			return err
		}
		if _, err := s.sweep(ctx, 5); err != nil {
			return err
		}
		for key, r := range live {
			if err := s.holds(ctx, key, r); err != nil {
				return fmt.Errorf("after DeleteExpired: %w", err)
			}
		}
		return nil
	})
}
