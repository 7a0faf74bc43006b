package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/alexedwards/scs/goredisstore"
	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/redisstore"
)

// place is where both peers keep their sessions. Each call returns an empty store.
type place struct {
	name    string
	session func() store.Store
	scs     func() scs.Store
}

var inMemory = place{
	name:    "memory",
	session: func() store.Store { return memory.New() },
	scs:     func() scs.Store { return memstore.NewWithCleanupInterval(0) },
}

// inRedis keeps sessions in a server, each store under a prefix of its own. Both
// peers use the same client, with its defaults.
func inRedis(ctx context.Context, addr string) (place, error) {
	c := redis.NewClient(&redis.Options{Addr: addr})
	switch n, err := c.DBSize(ctx).Result(); {
	case err != nil:
		return place{}, fmt.Errorf("-redis %s: %w", addr, err)
	case n > 0:
		return place{}, fmt.Errorf("-redis %s: want an empty server, it has %d keys", addr, n)
	}
	var last atomic.Int64
	prefix := func() string { return strconv.FormatInt(last.Add(1), 10) + ":" }
	return place{
		name:    "Redis",
		session: func() store.Store { return redisstore.New(c, redisstore.WithPrefix(prefix())) },
		scs:     func() scs.Store { return goredisstore.NewWithPrefix(c, prefix()) },
	}, nil
}
