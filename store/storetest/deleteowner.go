package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/typedsession/session/store"
)

var deleteOwnerLaws = []law{
	{
		name:  "delete by owner",
		text:  "DeleteOwner deletes the records of owner except those whose keys are given, no others, and returns how many.",
		needs: implements[store.OwnerIndex],
		check: deleteByOwner,
	},
	{
		name:  "delete by owner counts the living",
		text:  "DeleteOwner does not count records that have expired: they look as if they were gone.",
		needs: implements[store.OwnerIndex],
		check: deleteByOwnerExpired,
	},
	{
		name:  "delete by owner looks again",
		text:  "DeleteOwner deletes a record only while owner still owns it: one that a Swap gives to somebody else at the same time is either deleted before, or kept.",
		needs: implements[store.OwnerIndex],
		check: deleteByOwnerRace,
	},
}

func deleteByOwner(ctx context.Context, s subject) error {
	owner, other := newOwner(), newOwner()
	mine, err := s.putOwned(ctx, owner, 6)
	if err != nil {
		return err
	}
	theirs, err := s.putOwned(ctx, other, 2)
	if err != nil {
		return err
	}
	left := newRecord() // was owner's once
	left.Owner = owner
	leftKey, err := s.put(ctx, left)
	if err != nil {
		return err
	}
	moved := newRecord()
	if _, err := s.Swap(ctx, leftKey, left.Version, moved); err != nil {
		return fmt.Errorf("Swap with the stored version: %w", err)
	}

	// Except names two of the owner's records, somebody else's, and none.
	except := []store.Key{newKey()}
	kept := make(map[store.Key]store.Record)
	for key, r := range mine {
		if len(kept) < 2 {
			kept[key] = r
			except = append(except, key)
		}
	}
	for key := range theirs {
		except = append(except, key)
	}
	count := func(what string, want int64, except ...store.Key) error {
		n, err := s.owners().DeleteOwner(ctx, owner, except...)
		if err != nil {
			return fmt.Errorf("DeleteOwner %s: %w", what, err)
		}
		if n != want {
			return fmt.Errorf("DeleteOwner %s returned %d, want %d", what, n, want)
		}
		return nil
	}
	if err := count("with exceptions", 4, except...); err != nil {
		return err
	}
	if err := s.lists(ctx, owner, 100, kept); err != nil {
		return fmt.Errorf("after DeleteOwner with exceptions: %w", err)
	}
	for key, r := range mine {
		if _, ok := kept[key]; ok {
			err = s.holds(ctx, key, r)
		} else {
			err = s.dead(ctx, key, r)
		}
		if err != nil {
			return fmt.Errorf("after DeleteOwner with exceptions: %w", err)
		}
	}
	if err := count("without exceptions", 2); err != nil {
		return err
	}
	if err := count("of an owner of nothing", 0); err != nil {
		return err
	}
	if err := s.lists(ctx, owner, 100, nil); err != nil {
		return fmt.Errorf("after DeleteOwner: %w", err)
	}
	if err := s.lists(ctx, other, 100, theirs); err != nil {
		return fmt.Errorf("after DeleteOwner of another: %w", err)
	}
	if err := s.holds(ctx, leftKey, moved); err != nil {
		return fmt.Errorf("after DeleteOwner of the owner before: %w", err)
	}
	return nil
}

func deleteByOwnerExpired(ctx context.Context, s subject) error {
	owner := newOwner()
	r := newRecord()
	r.Owner = owner
	if _, err := s.expired(ctx, r); err != nil {
		return err
	}
	if _, err := s.putOwned(ctx, owner, 2); err != nil {
		return err
	}
	n, err := s.owners().DeleteOwner(ctx, owner)
	if err != nil {
		return fmt.Errorf("DeleteOwner: %w", err)
	}
	if n != 2 {
		return fmt.Errorf("DeleteOwner returned %d for 2 live records and an expired one", n)
	}
	return nil
}

func deleteByOwnerRace(ctx context.Context, s subject) error {
	return rounds(func() error {
		owner := newOwner()
		mine, err := s.putOwned(ctx, owner, racers)
		if err != nil {
			return err
		}
		type move struct {
			key  store.Key
			from int64
			to   store.Record
			err  error
		}
		var moves []*move
		for key, r := range mine {
			moves = append(moves, &move{key: key, from: r.Version, to: newRecord()})
		}
		var deleted atomic.Int64
		err = atOnce(racers+1, func(i int) error {
			if i == racers {
				n, err := s.owners().DeleteOwner(ctx, owner)
				deleted.Store(n)
				return err
			}
			m := moves[i]
			_, m.err = s.Swap(ctx, m.key, m.from, m.to)
			return nil
		})
		if err != nil {
			return fmt.Errorf("DeleteOwner: %w", err)
		}
		var gone int64
		for _, m := range moves {
			switch {
			case m.err == nil:
				if err := s.holds(ctx, m.key, m.to); err != nil {
					return fmt.Errorf("a record that was given to somebody else meanwhile: %w", err)
				}
			case errors.Is(m.err, store.ErrNotFound):
				gone++
				if err := s.lacks(ctx, m.key); err != nil {
					return fmt.Errorf("after Swap returned ErrNotFound: %w", err)
				}
			default:
				return fmt.Errorf("Swap with the stored version: %w", m.err)
			}
		}
		if n := deleted.Load(); n != gone {
			return fmt.Errorf("DeleteOwner returned %d and deleted %d", n, gone)
		}
		return nil
	})
}
