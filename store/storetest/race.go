package storetest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

var raceLaws = []law{
	{
		name:  "one insert wins",
		text:  "Insert is one atomic step: of several at once for one key one succeeds, the others get ErrExists, and the winner's record is there.",
		check: oneInsertWins,
	},
	{
		name:  "one swap wins",
		text:  "Swap is one atomic step: of several at once from one version one succeeds, the others get ErrConflict, and the winner's record is there.",
		check: oneSwapWins,
	},
	{
		name:  "no increment is lost",
		text:  "Changes made by Load and Swap, tried again after ErrConflict, are all kept, also while the record is touched.",
		check: noIncrementLost,
	},
	{
		name:  "records are whole",
		text:  "Load returns one record as it was written, never parts of two, also while it is being replaced.",
		check: recordsAreWhole,
	},
	{
		name:  "the longest touch wins",
		text:  "Of several Touches at once the one to the latest time counts.",
		check: longestTouchWins,
	},
	{
		name:  "touch does not undo a swap",
		text:  "Of a Swap and a Touch of the version before it, at once, the Swap's record remains, with its own Expires.",
		check: touchRacesSwap,
	},
	{
		name:  "delete wins races",
		text:  "Once Delete has returned, no Load, Swap or Touch succeeds, also when many were under way.",
		check: deleteWinsRaces,
	},
}

const (
	racers     = 8
	raceBudget = 100 * time.Millisecond
	minRounds  = 3
	maxRounds  = 200
)

// rounds repeats a race: at least minRounds times, for a distant store, and
// then as long as the budget lasts.
func rounds(f func() error) error {
	over := time.Now().Add(raceBudget)
	for i := 0; i < minRounds || i < maxRounds && time.Now().Before(over); i++ {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// atOnce runs f n times at once and returns the errors joined.
func atOnce(n int, f func(i int) error) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return errors.Join(errs...)
}

func oneInsertWins(ctx context.Context, s subject) error {
	return rounds(func() error {
		key := newKey()
		var won [racers]*store.Record
		err := atOnce(racers, func(i int) error {
			r := newRecord()
			err := s.Insert(ctx, key, r)
			if err == nil {
				won[i] = &r
				return nil
			}
			return expect("Insert", err, store.ErrExists)
		})
		if err != nil {
			return err
		}
		return s.oneWon(ctx, key, won[:])
	})
}

// oneWon checks that one of the racers has won and its record is there.
func (s subject) oneWon(ctx context.Context, key store.Key, won []*store.Record) error {
	winners := 0
	var winner store.Record
	for _, r := range won {
		if r != nil {
			winners++
			winner = *r
		}
	}
	if winners != 1 {
		return fmt.Errorf("%d of %d succeeded, want 1", winners, len(won))
	}
	if err := s.holds(ctx, key, winner); err != nil {
		return fmt.Errorf("the winner's record: %w", err)
	}
	return nil
}

func oneSwapWins(ctx context.Context, s subject) error {
	return rounds(func() error {
		first := newRecord()
		key, err := s.put(ctx, first)
		if err != nil {
			return err
		}
		var won [racers]*store.Record
		var seen [racers]store.Record
		err = atOnce(racers, func(i int) error {
			r := newRecord()
			cur, err := s.Swap(ctx, key, first.Version, r)
			if err == nil {
				won[i] = &r
				return nil
			}
			seen[i] = cur
			return expect("Swap", err, store.ErrConflict)
		})
		if err != nil {
			return err
		}
		if err := s.oneWon(ctx, key, won[:]); err != nil {
			return err
		}
		winner, err := s.read(ctx, key)
		if err != nil {
			return fmt.Errorf("Load: %w", err)
		}
		for _, cur := range seen {
			if isZero(cur) {
				continue
			}
			if err := same(cur, winner); err != nil {
				return fmt.Errorf("the record returned with ErrConflict is not the winner's: %w", err)
			}
		}
		return nil
	})
}

func noIncrementLost(ctx context.Context, s subject) error {
	number := func(n uint64) store.Record {
		r := newRecord()
		r.Data = binary.BigEndian.AppendUint64(nil, n)
		r.Owner = ""
		return r
	}
	key, err := s.put(ctx, number(0))
	if err != nil {
		return err
	}
	var made atomic.Uint64
	over := time.Now().Add(raceBudget)
	err = atOnce(racers, func(int) error {
		for i := 0; i < minRounds || i < maxRounds && time.Now().Before(over); i++ {
			if err := increment(ctx, s, key, number); err != nil {
				return err
			}
			made.Add(1)
		}
		return nil
	})
	if err != nil {
		return err
	}
	last, err := s.read(ctx, key)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	if n := binary.BigEndian.Uint64(last.Data); n != made.Load() {
		return fmt.Errorf("after %d increments the number is %d", made.Load(), n)
	}
	return nil
}

func increment(ctx context.Context, s subject, key store.Key, number func(uint64) store.Record) error {
	cur, err := s.read(ctx, key)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("one increment took too long: %w", err)
		}
		if err := s.Touch(ctx, key, cur.Version, cur.Expires.Add(time.Second)); err != nil {
			return fmt.Errorf("Touch: %w", err)
		}
		runtime.Gosched() // the others have their turn between Load and Swap
		next := number(binary.BigEndian.Uint64(cur.Data) + 1)
		found, err := s.Swap(ctx, key, cur.Version, next)
		if err == nil {
			return nil
		}
		if err := expect("Swap", err, store.ErrConflict); err != nil {
			return err
		}
		if cur = found; isZero(cur) {
			if cur, err = s.read(ctx, key); err != nil {
				return fmt.Errorf("Load: %w", err)
			}
		}
	}
}

func recordsAreWhole(ctx context.Context, s subject) error {
	first := newRecord()
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	over := time.Now().Add(raceBudget)
	return atOnce(racers, func(i int) error {
		cur := first
		for n := 0; n < 2*minRounds || time.Now().Before(over); n++ {
			var got store.Record
			var err error
			if i%2 == 0 {
				got, err = s.Load(ctx, key)
				if err != nil {
					return fmt.Errorf("Load: %w", err)
				}
			} else {
				next := newRecord()
				got, err = s.Swap(ctx, key, cur.Version, next)
				if err == nil {
					cur = next
					continue
				}
				if err := expect("Swap", err, store.ErrConflict); err != nil {
					return err
				}
				if isZero(got) {
					if got, err = s.read(ctx, key); err != nil {
						return fmt.Errorf("Load: %w", err)
					}
				}
			}
			if err := same(got, recordOf(got.Version)); err != nil {
				return fmt.Errorf("the record of version %d is not as it was written: %w", got.Version, err)
			}
			cur = got
		}
		return nil
	})
}

func longestTouchWins(ctx context.Context, s subject) error {
	return rounds(func() error {
		r := newRecord()
		key, err := s.put(ctx, r)
		if err != nil {
			return err
		}
		err = atOnce(racers, func(i int) error {
			return s.Touch(ctx, key, r.Version, r.Expires.Add(time.Duration(1+i*5%racers)*time.Minute))
		})
		if err != nil {
			return fmt.Errorf("Touch: %w", err)
		}
		r.Expires = r.Expires.Add(racers * time.Minute)
		return s.holds(ctx, key, r)
	})
}

func touchRacesSwap(ctx context.Context, s subject) error {
	return rounds(func() error {
		first, second := newRecord(), newRecord()
		second.Expires = soon(15 * time.Minute)
		key, err := s.put(ctx, first)
		if err != nil {
			return err
		}
		err = atOnce(racers, func(i int) error {
			if i == racers/2 {
				_, err := s.Swap(ctx, key, first.Version, second)
				return err
			}
			return s.Touch(ctx, key, first.Version, first.Expires.Add(time.Duration(i)*time.Minute))
		})
		if err != nil {
			return err
		}
		return s.holds(ctx, key, second)
	})
}

func deleteWinsRaces(ctx context.Context, s subject) error {
	return rounds(func() error {
		first := newRecord()
		key, err := s.put(ctx, first)
		if err != nil {
			return err
		}
		var deleted atomic.Bool
		var busy sync.WaitGroup // until each of the others is in its second use
		busy.Add(racers - 1)
		var version atomic.Int64
		version.Store(first.Version)
		err = atOnce(racers, func(i int) error {
			if i == 0 {
				busy.Wait()
				err := s.Delete(ctx, key)
				deleted.Store(true) // ends the others
				if err != nil {
					return fmt.Errorf("Delete: %w", err)
				}
				return s.lacks(ctx, key)
			}
			ready := sync.OnceFunc(busy.Done)
			defer ready()
			for n := 1; ; n++ {
				late := deleted.Load()
				if n == 2 {
					ready()
				}
				if err := disturb(ctx, s, key, &version, n, i%3, late); err != nil {
					return err
				}
				if late {
					return s.lacks(ctx, key)
				}
				runtime.Gosched()
			}
		})
		if err != nil {
			return err
		}
		return s.lacks(ctx, key)
	})
}

// disturb is the nth use of a record that is being deleted. Late means that
// Delete returned before.
func disturb(ctx context.Context, s subject, key store.Key, version *atomic.Int64, n, how int, late bool) error {
	old := version.Load()
	switch how {
	case 0:
		// Each time longer, so that there is always something to write.
		exp := testEpoch.Add(time.Hour + time.Duration(n)*time.Millisecond)
		if err := s.Touch(ctx, key, old, exp); err != nil {
			return fmt.Errorf("Touch: %w", err)
		}
		return nil
	case 1:
		_, err := s.read(ctx, key)
		if err == nil && !late || errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return expect("a Load that began after Delete had returned", err, store.ErrNotFound)
	}
	next := newRecord()
	cur, err := s.Swap(ctx, key, old, next)
	switch {
	case errors.Is(err, store.ErrNotFound):
	case late:
		return expect("a Swap that began after Delete had returned", err, store.ErrNotFound)
	case err == nil:
		version.Store(next.Version)
	case errors.Is(err, store.ErrConflict):
		if !isZero(cur) {
			version.CompareAndSwap(old, cur.Version)
		}
	default:
		return fmt.Errorf("Swap: %w", err)
	}
	return nil
}
