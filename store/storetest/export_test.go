package storetest

import (
	"context"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

// LawNames returns the names of the laws in the order of Run.
func LawNames() []string {
	var names []string
	for _, l := range laws() {
		names = append(names, l.name)
	}
	return names
}

// ErrNotSetUp is returned by Judge where Run skips the law.
var ErrNotSetUp = errNotSetUp

// Judge checks s against one law and returns what was observed instead, or nil.
func Judge(ctx context.Context, name string, s store.Store, patience time.Duration) error {
	for _, l := range laws() {
		if l.name != name {
			continue
		}
		if !l.concerns(s) {
			return nil
		}
		return l.verify(ctx, subject{Store: s, patience: patience})
	}
	panic(fmt.Sprintf("no law is called %q", name))
}
