package schedule_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/schedule"
	"github.com/typedsession/session/store"
)

// brokenStores are stores that break the contract, with two programs that show it, on
// two nodes.
var brokenStores = []struct {
	name         string
	below, above func(store.Store) store.Store
	first        schedule.Program
	second       schedule.Program
	because      string // part of what is said to be wrong
}{
	{
		name:  "last write wins",
		below: func(s store.Store) store.Store { return blind{Store: s, always: true} },
		first: "U", second: "U", because: "a=2",
	},
	{
		name:  "last write wins over another key",
		below: func(s store.Store) store.Store { return blind{Store: s, always: true} },
		first: "T", second: "U", because: "c=7",
	},
	{
		name:  "last write wins over a login",
		below: func(s store.Store) store.Store { return blind{Store: s, always: true} },
		first: "I", second: "U", because: "commit",
	},
	{
		name:  "looked at first, written then",
		below: func(s store.Store) store.Store { return blind{Store: s} },
		above: func(s store.Store) store.Store { return guarded{s} },
		first: "U", second: "U", because: "a=2",
	},
	{
		name:  "a code that is looked at first, and taken then",
		below: func(s store.Store) store.Store { return blind{Store: s} },
		above: func(s store.Store) store.Store { return guarded{s} },
		first: "T", second: "T", because: "take c: 7",
	},
	{
		name:  "two values for one key",
		below: func(s store.Store) store.Store { return blind{Store: s} },
		above: func(s store.Store) store.Store { return guarded{s} },
		first: "G", second: "G", because: "g",
	},
	{
		name:  "a swap that creates",
		below: func(s store.Store) store.Store { return creating{s} },
		first: "U", second: "D", because: "ErrDestroyed",
	},
	{
		name:  "a rotation that creates",
		below: func(s store.Store) store.Store { return creating{s} },
		first: "R", second: "D", because: "ErrDestroyed",
	},
	{
		name:  "a swap of nothing that succeeds",
		below: func(s store.Store) store.Store { return careless{s, store.ErrNotFound} },
		first: "U", second: "D", because: "ErrDestroyed",
	},
	{
		name:  "a conflict that is kept to oneself",
		below: func(s store.Store) store.Store { return careless{s, store.ErrConflict} },
		first: "U", second: "W", because: "commit: ok, cookie: none; that should be: ConflictError",
	},
	{
		name:  "a touch that revives",
		below: newTouching(true),
		first: "L", second: "D", because: "no session",
	},
	{
		name:  "a touch that writes data",
		below: newTouching(false),
		first: "L", second: "U", because: "a=2",
	},
	{
		name:  "a touch that writes the credential",
		below: newTouching(false),
		first: "L", second: "I", because: "the cookie of B",
	},
	{
		name:  "a touch that does nothing",
		below: func(s store.Store) store.Store { return forgetful{s} },
		first: "L", second: "L", because: "not used lately",
	},
	{
		name:  "a delete that is swallowed",
		below: func(s store.Store) store.Store { return &swallowing{Store: s, always: true} },
		first: "D", second: "L", because: "get a: 1; that should be: none",
	},
	{
		name:  "a delete of what was loaded only",
		below: func(s store.Store) store.Store { return &swallowing{Store: s} },
		first: "D", second: "U", because: "no session",
	},
	{
		name:  "a torn rotation",
		above: func(s store.Store) store.Store { return torn{s} },
		first: "R", second: "L", because: "get a: none",
	},
	{
		name:  "a torn rotation and a logout",
		above: func(s store.Store) store.Store { return torn{s} },
		first: "R", second: "D", because: "that should be: ok, cookie: remove",
	},
	{
		name:  "a load of what was there before",
		below: func(s store.Store) store.Store { return &late{Store: s} },
		first: "U", second: "L", because: "get a: 1",
	},
}

// Each broken store is found out by two programs, and the schedule that is printed
// shows it again.
func TestRejectsBrokenStores(t *testing.T) {
	t.Parallel()
	for _, b := range brokenStores {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			begun := schedule.Schedule{Case: schedule.Case{Programs: []schedule.Program{b.first, b.second}, Nodes: 2}}
			var found schedule.Result
			explore := func(begun schedule.Schedule) (r schedule.Result) {
				synctest.Test(t, func(*testing.T) {
					s := schedule.Site{Below: b.below, Above: b.above}
					r, _ = s.Explore(begun)
				})
				return r
			}
			found = explore(begun)
			require.NotNil(t, found.Violation, "of %d schedules", found.Schedules)
			t.Log(found.Violation)
			require.Contains(t, found.Violation.Error(), b.because)

			again, err := schedule.ParseSchedule(found.Violation.Schedule.String())
			require.NoError(t, err)
			alone := explore(again)
			require.NotNil(t, alone.Violation)
			require.Equal(t, 1, alone.Schedules)
			require.Equal(t, found.Violation.Error(), alone.Violation.Error())
		})
	}
}

// reluctant refuses the first swaps.
type reluctant struct {
	store.Store
	left *int
}

func (r reluctant) Swap(ctx context.Context, key store.Key, old int64, rec store.Record) (store.Record, error) {
	if *r.left--; *r.left >= 0 {
		cur, err := r.Load(ctx, key)
		return cur, errors.Join(err, conflict(err))
	}
	return r.Store.Swap(ctx, key, old, rec)
}

// Attempts after a pause are seen and counted, for their orders are not all explored.
func TestCountsPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		left := 4
		s := schedule.Site{Below: func(s store.Store) store.Store { return reluctant{s, &left} }}
		begun, err := schedule.ParseSchedule("U|L@2:AAAAABBAA")
		require.NoError(t, err)
		r, err := s.Explore(begun)
		require.NoError(t, err)
		require.Nil(t, r.Violation)
		require.Positive(t, r.Pauses)
		require.Negative(t, left)
	})
}
