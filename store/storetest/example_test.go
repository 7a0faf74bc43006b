package storetest_test

import (
	"testing"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/storetest"
)

// The test of a store is one call, here for the memory store. A store that
// needs a server connects in the function and disconnects with t.Cleanup.
func ExampleRun() {
	_ = func(t *testing.T) { // func TestStore(t *testing.T)
		storetest.Run(t, func(t *testing.T) store.Store {
			return memory.New()
		})
	}
}
