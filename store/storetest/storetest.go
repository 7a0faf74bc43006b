// Package storetest holds the laws of [store.Store] as one function to call
// from the test of a store:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) store.Store {
//			return mystore.New(...)
//		})
//	}
//
// A law that a store breaks is a failed subtest, which prints the law in words
// and what was seen instead.
package storetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/typedsession/session/store"
)

// Run checks that the stores newStore returns keep every law of [store.Store]
// that can be observed, and the laws of those interfaces they implement among
// [store.OwnerIndex], [store.Sweeper], [store.FreshLoader] and [store.Watcher]; the
// laws of the others are skipped, and so are those of a Watcher that says that it
// has not been set up to tell of changes. Each law is a subtest with a store of its
// own.
//
// newStore is called once per law, from several goroutines. It may return the
// same store each time, and one that still holds what earlier runs have left:
// keys and owners are drawn at random. It fails the test it is given when it
// has no store to return. What t.Cleanup closes is closed when the law is done;
// when Run returns, all laws are.
//
// While Run works, nothing else may remove expired records of the store by
// hand. The clock of the store should be within a second of this one's.
func Run(t *testing.T, newStore func(t *testing.T) store.Store) {
	t.Helper()
	// The laws run in parallel, and the group waits for them.
	t.Run("laws", func(t *testing.T) {
		for _, l := range laws() {
			t.Run(l.name, func(t *testing.T) {
				if !l.alone {
					t.Parallel()
				}
				s := newStore(t)
				if !l.concerns(s) {
					t.Skipf("%T does not implement the interface of this law", s)
				}
				err := l.verify(t.Context(), subject{Store: s, patience: defaultPatience})
				if errors.Is(err, errNotSetUp) {
					t.Skipf("%T: %v", s, err)
				}
				if err != nil {
					t.Fatalf("the store breaks a law:\n  %s\nobserved:\n  %v", l.text, err)
				}
			})
		}
	})
}

// law is one sentence of the contract that can be observed from outside.
type law struct {
	name  string
	text  string                               // the sentence
	needs func(store.Store) bool               // nil: every store
	alone bool                                 // not next to other laws, for a store they share
	check func(context.Context, subject) error // what was observed instead, or nil
}

func laws() []law {
	return slices.Concat(
		loadLaws, keyLaws, insertLaws, swapLaws, touchLaws, deleteLaws,
		expiryLaws, raceLaws, contextLaws,
		ownerLaws, deleteOwnerLaws, sweepLaws, freshLaws, watchLaws,
	)
}

func (l *law) concerns(s store.Store) bool { return l.needs == nil || l.needs(s) }

// lawTimeout ends the law of a store that hangs but looks at its context.
const lawTimeout = time.Minute

func (l *law) verify(ctx context.Context, s subject) error {
	ctx, cancel := context.WithTimeout(ctx, lawTimeout)
	defer cancel()
	return l.check(ctx, s)
}

func implements[T any](s store.Store) bool {
	_, ok := s.(T)
	return ok
}
