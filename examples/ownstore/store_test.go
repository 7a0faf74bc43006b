package ownstore_test

import (
	"testing"

	"github.com/typedsession/session/examples/ownstore"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return ownstore.New() })
}
