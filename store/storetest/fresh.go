package storetest

import (
	"context"
	"errors"
	"fmt"

	"github.com/typedsession/session/store"
)

var freshLaws = []law{
	{
		name:  "fresh load is load",
		text:  "LoadFresh returns the live record as it is now, however it came about, or ErrNotFound.",
		needs: implements[store.FreshLoader],
		check: freshLoads,
	},
	{
		name:  "fresh load refreshes",
		text:  "After LoadFresh, Load does not return what is older.",
		needs: implements[store.FreshLoader],
		check: freshRefreshes,
	},
	{
		name:  "a cache invents nothing",
		text:  "Load past a change returns a record that was stored under the key once, whole, or ErrNotFound.",
		needs: implements[store.FreshLoader],
		check: cacheInventsNothing,
	},
}

// each takes a record through its life and calls see after every step, with
// what has been stored so far; the last one is current, unless gone.
func eachStep(ctx context.Context, s subject, see func(key store.Key, stored []store.Record, gone bool) error) error {
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	stored := []store.Record{r}
	for range 3 {
		for range 2 { // the second look may be answered by the cache
			if err := see(key, stored, false); err != nil {
				return err
			}
		}
		next := newRecord()
		if _, err := s.Swap(ctx, key, r.Version, next); err != nil {
			return fmt.Errorf("Swap with the stored version: %w", err)
		}
		r, stored = next, append(stored, next)
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	return see(key, stored, true)
}

func freshLoads(ctx context.Context, s subject) error {
	if err := s.lacks(ctx, newKey()); err != nil {
		return err
	}
	if _, err := s.expired(ctx, newRecord()); err != nil {
		return err
	}
	return eachStep(ctx, s, func(key store.Key, stored []store.Record, gone bool) error {
		if _, err := s.Load(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) { // fills the cache
			return fmt.Errorf("Load: %w", err)
		}
		if gone {
			return s.lacks(ctx, key)
		}
		return s.holds(ctx, key, stored[len(stored)-1])
	})
}

func freshRefreshes(ctx context.Context, s subject) error {
	return eachStep(ctx, s, func(key store.Key, stored []store.Record, gone bool) error {
		if _, err := s.read(ctx, key); err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("LoadFresh: %w", err)
		}
		got, err := s.Load(ctx, key)
		if gone {
			return expect("Load after LoadFresh", err, store.ErrNotFound)
		}
		if err != nil {
			return fmt.Errorf("Load after LoadFresh: %w", err)
		}
		return same(got, stored[len(stored)-1])
	})
}

func cacheInventsNothing(ctx context.Context, s subject) error {
	return eachStep(ctx, s, func(key store.Key, stored []store.Record, gone bool) error {
		got, err := s.Load(ctx, key)
		if gone && errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("Load: %w", err)
		}
		for _, r := range stored {
			if same(got, r) == nil {
				return nil
			}
		}
		return fmt.Errorf("Load returned a record that was never stored: version %d, %s", got.Version, brief(got.Data))
	})
}
