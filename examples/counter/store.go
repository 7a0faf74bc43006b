package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// startTime is how long a database may take to answer when the program starts.
const startTime = 10 * time.Second

// opener returns a store, ready for use, and what closes it.
type opener func(ctx context.Context, o options) (store.Store, func() error, error)

var stores = map[string]opener{
	"memory": func(context.Context, options) (store.Store, func() error, error) {
		return memory.New(), func() error { return nil }, nil
	},
	"sqlite":   openSQLite,
	"postgres": withDSN(openPostgres),
	"mysql":    withDSN(openMySQL),
	"redis":    withDSN(openRedis),
	"mongo":    withDSN(openMongo),
}

func storeNames() string { return strings.Join(slices.Sorted(maps.Keys(stores)), ", ") }

// openStore returns the store that o asks for, and what closes it.
func openStore(ctx context.Context, o options) (store.Store, func() error, error) {
	open, ok := stores[o.store]
	if !ok {
		return nil, nil, fmt.Errorf("-store %q: it is one of %s", o.store, storeNames())
	}
	ctx, cancel := context.WithTimeout(ctx, startTime) // drivers would try for longer
	defer cancel()
	s, closeStore, err := open(ctx, o)
	if err != nil {
		return nil, nil, fmt.Errorf("-store %s: %w", o.store, err)
	}
	if o.cache > 0 {
		s = cached.New(s, cached.WithTTL(o.cache))
	}
	return s, closeStore, nil
}

// withDSN refuses to guess where a database is.
func withDSN(open opener) opener {
	return func(ctx context.Context, o options) (store.Store, func() error, error) {
		if o.dsn == "" {
			return nil, nil, errors.New("-dsn says where the database is")
		}
		return open(ctx, o)
	}
}
