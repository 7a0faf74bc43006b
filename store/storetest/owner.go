package storetest

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

var ownerLaws = []law{
	{
		name:  "owner lists are whole",
		text:  "ListOwner returns the live records of owner, each as Load returns it, and nobody else's.",
		needs: implements[store.OwnerIndex],
		check: ownerListed,
	},
	{
		name:  "owner lists come in pages",
		text:  "ListOwner returns at most limit records whose keys are greater than after, in ascending order; fewer than limit means that there are no more.",
		needs: implements[store.OwnerIndex],
		check: ownerPages,
	},
	{
		name:  "owner lists follow swaps",
		text:  "A Swap that changes the owner moves the record from one owner's list to the other's; a Touch or a Swap that keeps the owner keeps it there.",
		needs: implements[store.OwnerIndex],
		check: ownerFollowsSwap,
	},
	{
		name:  "owner lists omit the dead",
		text:  "A record that was deleted or has expired is not listed, and does not make a page end early.",
		needs: implements[store.OwnerIndex],
		check: ownerOmitsDead,
	},
	{
		name:  "owners are bytes",
		text:  "Owners are compared byte by byte: case, accents, space at the ends, wildcards and prefixes make different owners.",
		needs: implements[store.OwnerIndex],
		check: ownersDistinct,
	},
	{
		name:  "nobody owns nothing",
		text:  "The empty owner means that nobody owns the record: ListOwner finds none of it, and DeleteOwner deletes none.",
		needs: implements[store.OwnerIndex],
		alone: true, // a store that breaks it deletes what other laws have stored
		check: emptyOwner,
	},
	{
		name:  "owner lists miss nothing",
		text:  "A record that is live and owned by owner during the whole of a listing is in it, whatever else comes and goes.",
		needs: implements[store.OwnerIndex],
		check: ownerMissesNothing,
	},
}

func (s subject) owners() store.OwnerIndex { return s.Store.(store.OwnerIndex) }

// putOwned inserts n records of owner.
func (s subject) putOwned(ctx context.Context, owner string, n int) (map[store.Key]store.Record, error) {
	records := make(map[store.Key]store.Record, n)
	for range n {
		r := newRecord()
		r.Owner = owner
		key, err := s.put(ctx, r)
		if err != nil {
			return nil, err
		}
		records[key] = r
	}
	return records, nil
}

// listPages lists owner page by page and checks the form of each page.
func (s subject) listPages(ctx context.Context, owner string, limit int) ([]store.Entry, error) {
	var all []store.Entry
	var after store.Key
	for {
		page, err := s.owners().ListOwner(ctx, owner, after, limit)
		if err != nil {
			return nil, fmt.Errorf("ListOwner: %w", err)
		}
		if len(page) > limit {
			return nil, fmt.Errorf("ListOwner returned %d records, the limit was %d", len(page), limit)
		}
		for _, e := range page {
			if bytes.Compare(e.Key[:], after[:]) <= 0 {
				return nil, fmt.Errorf("ListOwner returned the key %v after %v", e.Key, after)
			}
			after = e.Key
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
	}
}

// lists checks that owner's list, in pages of limit, is want.
func (s subject) lists(ctx context.Context, owner string, limit int, want map[store.Key]store.Record) error {
	got, err := s.listPages(ctx, owner, limit)
	if err != nil {
		return err
	}
	seen := make(map[store.Key]bool, len(got))
	for _, e := range got {
		seen[e.Key] = true
		r, ok := want[e.Key]
		if !ok {
			return fmt.Errorf("ListOwner(%q) returned a record that is not to be in it: owner %q, version %d, expires %s",
				owner, e.Record.Owner, e.Record.Version, clock(e.Record.Expires))
		}
		if err := same(e.Record, r); err != nil {
			return fmt.Errorf("ListOwner(%q): %w", owner, err)
		}
	}
	if len(seen) != len(want) {
		return fmt.Errorf("ListOwner(%q) in pages of %d returned %d of %d records", owner, limit, len(seen), len(want))
	}
	return nil
}

func ownerListed(ctx context.Context, s subject) error {
	owner, other := newOwner(), newOwner()
	if err := s.lists(ctx, owner, 10, nil); err != nil {
		return fmt.Errorf("an owner of nothing: %w", err)
	}
	mine, err := s.putOwned(ctx, owner, 5)
	if err != nil {
		return err
	}
	theirs, err := s.putOwned(ctx, other, 2)
	if err != nil {
		return err
	}
	if err := s.lists(ctx, owner, 1000, mine); err != nil {
		return err
	}
	return s.lists(ctx, other, 1000, theirs)
}

func ownerPages(ctx context.Context, s subject) error {
	owner := newOwner()
	records, err := s.putOwned(ctx, owner, 7)
	if err != nil {
		return err
	}
	for _, limit := range []int{1, 3, 6, 7, 8} {
		if err := s.lists(ctx, owner, limit, records); err != nil {
			return err
		}
	}
	keys := slices.SortedFunc(maps.Keys(records), compareKeys)
	for i, key := range keys {
		// From just before a key, which is no key itself, and from the key.
		before := key
		for b := len(before) - 1; b >= 0; b-- {
			before[b]--
			if before[b] != 0xff {
				break
			}
		}
		for _, start := range []struct {
			after store.Key
			first int
		}{{before, i}, {key, i + 1}} {
			page, err := s.owners().ListOwner(ctx, owner, start.after, 2)
			if err != nil {
				return fmt.Errorf("ListOwner: %w", err)
			}
			want := keys[start.first:min(start.first+2, len(keys))]
			var got []store.Key
			for _, e := range page {
				got = append(got, e.Key)
			}
			if !slices.Equal(got, want) {
				return fmt.Errorf("ListOwner after %v with limit 2 returned %v, want %v", start.after, got, want)
			}
		}
	}
	return nil
}

func compareKeys(a, b store.Key) int { return bytes.Compare(a[:], b[:]) }

func ownerFollowsSwap(ctx context.Context, s subject) error {
	owner, other := newOwner(), newOwner()
	kept, err := s.putOwned(ctx, owner, 2)
	if err != nil {
		return err
	}
	r := newRecord()
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	with := func(r store.Record) map[store.Key]store.Record {
		m := maps.Clone(kept)
		m[key] = r
		return m
	}
	for _, to := range []string{owner, owner, other, "", owner, ""} {
		next := newRecord()
		next.Owner = to
		if _, err := s.Swap(ctx, key, r.Version, next); err != nil {
			return fmt.Errorf("Swap with the stored version: %w", err)
		}
		r = next
		r.Expires = r.Expires.Add(time.Hour)
		if err := s.Touch(ctx, key, r.Version, r.Expires); err != nil {
			return fmt.Errorf("Touch: %w", err)
		}
		wantOwner, wantOther := kept, map[store.Key]store.Record(nil)
		switch to {
		case owner:
			wantOwner = with(r)
		case other:
			wantOther = map[store.Key]store.Record{key: r}
		}
		if err := s.lists(ctx, owner, 2, wantOwner); err != nil {
			return fmt.Errorf("after a Swap to owner %q: %w", to, err)
		}
		if err := s.lists(ctx, other, 2, wantOther); err != nil {
			return fmt.Errorf("after a Swap to owner %q: %w", to, err)
		}
	}
	return nil
}

func ownerOmitsDead(ctx context.Context, s subject) error {
	owner := newOwner()
	live, err := s.putOwned(ctx, owner, 5)
	if err != nil {
		return err
	}
	deleted, err := s.putOwned(ctx, owner, 4)
	if err != nil {
		return err
	}
	for key := range deleted {
		if err := s.Delete(ctx, key); err != nil {
			return fmt.Errorf("Delete: %w", err)
		}
	}
	if err := s.lists(ctx, owner, 3, live); err != nil {
		return fmt.Errorf("after Delete: %w", err)
	}
	expires := soon(shortLife)
	var last store.Key
	for range 8 {
		r := newRecord()
		r.Owner, r.Expires = owner, expires
		if last, err = s.put(ctx, r); err != nil {
			return err
		}
	}
	if err := s.awaitEnd(ctx, last, expires); err != nil {
		return err
	}
	for _, limit := range []int{1, 2, 3, 100} {
		if err := s.lists(ctx, owner, limit, live); err != nil {
			return fmt.Errorf("after others have expired: %w", err)
		}
	}
	return nil
}

func ownersDistinct(ctx context.Context, s subject) error {
	base := newOwner()
	stored := make(map[string]map[store.Key]store.Record)
	names := []string{
		base, base + "x", base + "X", base + " ", " " + base, base + "\t", base + "%", base + "_", base + "*", "%" + base,
		base + "é", base + "e\u0301", base + "e", base + "ß", base + "ss", base + "\x01", base + "'", base + "\\", base + ":",
	}
	for _, name := range names {
		m, err := s.putOwned(ctx, name, 1)
		if err != nil {
			return err
		}
		stored[name] = m
	}
	for _, name := range names {
		if err := s.lists(ctx, name, 100, stored[name]); err != nil {
			return err
		}
	}
	for _, name := range names[:4] {
		if n, err := s.owners().DeleteOwner(ctx, name); err != nil || n != 1 {
			return fmt.Errorf("DeleteOwner(%q) returned %d and the error %w, want 1", name, n, err)
		}
	}
	for _, name := range names[4:] {
		if err := s.lists(ctx, name, 100, stored[name]); err != nil {
			return fmt.Errorf("after DeleteOwner of others: %w", err)
		}
	}
	return nil
}

func emptyOwner(ctx context.Context, s subject) error {
	records, err := s.putOwned(ctx, "", 2)
	if err != nil {
		return err
	}
	got, err := s.owners().ListOwner(ctx, "", store.Key{}, 3)
	if err != nil {
		return fmt.Errorf("ListOwner: %w", err)
	}
	if len(got) > 0 {
		return fmt.Errorf(`ListOwner("") returned %d records`, len(got))
	}
	if n, err := s.owners().DeleteOwner(ctx, ""); n != 0 || err != nil {
		return fmt.Errorf(`DeleteOwner("") returned %d and the error %w, want 0`, n, err)
	}
	for key, r := range records {
		if err := s.holds(ctx, key, r); err != nil {
			return err
		}
	}
	return nil
}

func ownerMissesNothing(ctx context.Context, s subject) error {
	owner := newOwner()
	fixed, err := s.putOwned(ctx, owner, 4)
	if err != nil {
		return err
	}
	keys := slices.Collect(maps.Keys(fixed))
	const workers = 3
	var busy sync.WaitGroup // until each worker has done something
	busy.Add(workers)
	var listed atomic.Bool
	return atOnce(1+workers, func(i int) error {
		if i == workers {
			defer listed.Store(true)
			busy.Wait()
			return rounds(func() error {
				runtime.Gosched()
				got, err := s.listPages(ctx, owner, 3)
				if err != nil {
					return err
				}
				seen := make(map[store.Key]bool)
				for _, e := range got {
					seen[e.Key] = true
				}
				for key := range fixed {
					if !seen[key] {
						return fmt.Errorf("ListOwner did not return the record of %v, which was there all the time", key)
					}
				}
				return nil
			})
		}
		ready := sync.OnceFunc(busy.Done)
		defer ready()
		r := fixed[keys[i]]
		for !listed.Load() {
			// One that stays is replaced by the same owner's; others come and go.
			next := newRecord()
			next.Owner = owner
			if _, err := s.Swap(ctx, keys[i], r.Version, next); err != nil {
				return fmt.Errorf("Swap with the stored version: %w", err)
			}
			r = next
			guest := newRecord()
			guest.Owner = owner
			key, err := s.put(ctx, guest)
			if err != nil {
				return err
			}
			if err := s.Delete(ctx, key); err != nil {
				return fmt.Errorf("Delete: %w", err)
			}
			ready()
			runtime.Gosched()
		}
		return nil
	})
}
