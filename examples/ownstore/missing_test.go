package ownstore_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/typedsession/session"
	"github.com/typedsession/session/examples/ownstore"
)

// A manager needs no more than the five methods.
func ExampleNew() {
	manager, err := session.NewManager(session.Config{Store: ownstore.New()})
	if err != nil {
		fmt.Println(err)
		return
	}
	visits := session.Key[int]("visits")
	s := manager.Open(session.Opening{}) // what a middleware does for each request
	ctx := session.NewContext(context.Background(), s)
	n, err := visits.Update(ctx, func(n *int) error { *n++; return nil })
	if err == nil {
		_, err = manager.Commit(ctx, s)
	}
	fmt.Println(n, errors.Join(err, manager.Finish(ctx, s)))
	// Output: 1 <nil>
}

// Without an owner index there is no list of an owner's sessions.
func TestWithoutOwnerIndex(t *testing.T) {
	manager, err := session.NewManager(session.Config{Store: ownstore.New()})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range manager.Sessions(t.Context(), "ada") {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Sessions: %v", err)
		}
	}
	if err := manager.RevokeOwner(t.Context(), "ada"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("RevokeOwner: %v", err)
	}
	if n, err := manager.DeleteExpired(t.Context()); n != 0 || err != nil {
		t.Errorf("DeleteExpired: %d, %v", n, err)
	}
}
