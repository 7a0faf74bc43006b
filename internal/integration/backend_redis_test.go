package integration_test

import (
	"context"
	"crypto/rand"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

func redisBackend() backend {
	return backend{
		name: "Redis",
		site: func(t testing.TB) *site {
			t.Helper()
			addr := servers.Redis(t).DSN()
			prefix := newPrefix(t, newRedis(t, addr))
			at := func(t testing.TB, addr string) store.Store {
				t.Helper()
				return redisstore.New(newRedis(t, addr), redisstore.WithPrefix(prefix))
			}
			return &site{node: func(t testing.TB) store.Store { t.Helper(); return at(t, addr) }, addr: servers.Redis(t).Addr(), at: at}
		},
		alone: func(t testing.TB) (*site, *servers.Server) {
			t.Helper()
			s := servers.StartRedis(t, servers.Durable())
			var clients []*redis.Client
			return &site{
				node: func(t testing.TB) store.Store {
					t.Helper()
					clients = append(clients, newRedis(t, s.Addr()))
					return redisstore.New(clients[len(clients)-1])
				},
				connections: func(t testing.TB) connections { t.Helper(); return redisConnections(t, clients) },
			}, s
		},
	}
}

func redisClusterBackend() backend {
	return backend{name: "Redis Cluster", site: func(t testing.TB) *site {
		t.Helper()
		addrs := servers.RedisCluster(t).Addrs()
		prefix := newPrefix(t, newRedisCluster(t, addrs))
		return &site{node: func(t testing.TB) store.Store {
			t.Helper()
			return redisstore.New(newRedisCluster(t, addrs), redisstore.WithPrefix(prefix))
		}}
	}}
}

// redisPool is how many connections a client has at most.
const redisPool = 8

func newRedis(t testing.TB, addr string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: addr, PoolSize: redisPool, ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func newRedisCluster(t testing.TB, addrs []string) *redis.ClusterClient {
	t.Helper()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, PoolSize: redisPool, ContextTimeoutEnabled: true})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// newPrefix returns a prefix whose keys are removed at the end of the test: the
// server may be somebody's own.
func newPrefix(t testing.TB, c redis.UniversalClient) string {
	t.Helper()
	prefix := "test " + rand.Text()[:12] + ":"
	t.Cleanup(func() { // before the client is closed
		remove := func(ctx context.Context, c *redis.Client) error {
			for keys := c.Scan(ctx, 0, prefix+"*", 1000).Iterator(); ; {
				if !keys.Next(ctx) {
					return keys.Err()
				}
				if err := c.Del(ctx, keys.Val()).Err(); err != nil {
					return err
				}
			}
		}
		if cluster, ok := c.(*redis.ClusterClient); ok {
			require.NoError(t, cluster.ForEachMaster(context.Background(), remove))
			return
		}
		require.NoError(t, remove(context.Background(), c.(*redis.Client)))
	})
	return prefix
}

// redisConnections asks the pools, and the server through the first of them.
func redisConnections(t testing.TB, clients []*redis.Client) (c connections) {
	t.Helper()
	list, err := clients[0].ClientList(t.Context()).Result()
	require.NoError(t, err)
	c.served = strings.Count(strings.TrimSpace(list), "\n") + 1
	for _, client := range clients {
		s := client.PoolStats()
		c.open, c.inUse, c.most = c.open+int(s.TotalConns), c.inUse+int(s.TotalConns-s.IdleConns), c.most+redisPool
	}
	return c
}
