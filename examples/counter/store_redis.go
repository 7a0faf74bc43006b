package main

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

func openRedis(ctx context.Context, o options) (store.Store, func() error, error) {
	opts, err := redis.ParseURL(o.dsn)
	if err != nil { // which may show the password
		return nil, nil, errors.New("-dsn is not as in redis://user:password@localhost:6379/0")
	}
	opts.ContextTimeoutEnabled = true
	c := redis.NewClient(opts)
	if err := c.Ping(ctx).Err(); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return redisstore.New(c), c.Close, nil
}
