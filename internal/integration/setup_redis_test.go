package integration_test

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/redisstore"
)

// begin Redis
// import "github.com/redis/go-redis/v9"
// import "github.com/typedsession/session/store/redisstore"
func serveFromRedis(ctx context.Context, addr string, serve func(*session.Manager) error) error {
	client := redis.NewClient(&redis.Options{ // Username, Password, TLSConfig
		Addr:                  addr, // redis.example:6379, of the master
		ContextTimeoutEnabled: true, // a call ends at the deadline of its context
		ReadTimeout:           2 * time.Second,
	})
	defer func() { _ = client.Close() }()
	return serveFrom(ctx, redisstore.New(client), serve)
}

// end

// begin RedisCluster
// import "github.com/redis/go-redis/v9"
// import "github.com/typedsession/session/store/redisstore"
func serveFromRedisCluster(ctx context.Context, addrs []string, serve func(*session.Manager) error) error {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                 addrs, // of some nodes, which name the others
		ContextTimeoutEnabled: true,
		ReadTimeout:           2 * time.Second,
	})
	defer func() { _ = client.Close() }()
	// A logout waits until one replica has it, and fails where that takes a second.
	st := redisstore.New(client, redisstore.WithWait(1, time.Second))
	return serveFrom(ctx, st, serve)
}

// end
