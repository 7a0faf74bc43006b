package storetest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/storetest"
)

func TestMemoryPasses(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return memory.New() })
}

// A database keeps what earlier runs have left, and serves all laws at once.
func TestSharedStorePasses(t *testing.T) {
	t.Parallel()
	shared := newPlain(none)
	for range 2 {
		storetest.Run(t, func(*testing.T) store.Store { return shared })
	}
}

// A store without capabilities is asked for none.
func TestBareStorePasses(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) store.Store { return struct{ store.Store }{newPlain(none)} })
}

func TestLawsHaveNames(t *testing.T) {
	t.Parallel()
	names := make(map[string]bool)
	for _, name := range storetest.LawNames() {
		require.False(t, names[name], "two laws are called %q", name)
		names[name] = true
	}
}

// wrapping is a store whose errors say where they come from.
type wrapping struct{ *plain }

func wrap(err error) error {
	if err != nil {
		return fmt.Errorf("shelf 7: %w", err)
	}
	return nil
}

func (w wrapping) Load(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := w.plain.Load(ctx, key)
	return r, wrap(err)
}

func (w wrapping) Insert(ctx context.Context, key store.Key, r store.Record) error {
	return wrap(w.plain.Insert(ctx, key, r))
}

func (w wrapping) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := w.plain.Swap(ctx, key, old, r)
	return cur, wrap(err)
}

func (w wrapping) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	return wrap(w.plain.Touch(ctx, key, old, exp))
}

func (w wrapping) Delete(ctx context.Context, key store.Key) error {
	return wrap(w.plain.Delete(ctx, key))
}
