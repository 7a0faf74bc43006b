package integration_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/pgxlisten"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/sqlstore"
)

// dialer opens the connections of a driver.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// tellingKind is a kind of store that tells of changes.
type tellingKind struct {
	name string
	site func(t testing.TB) *tellingSite
	// alone returns a place on a server of its own. It is nil where there is none.
	alone func(t testing.TB) (*tellingSite, *servers.Server)
}

// tellingSite is a place for sessions that several nodes share, in which changes are
// told.
type tellingSite struct {
	// node returns the store of another node, with connections of its own.
	node func(t testing.TB) store.Store
	// ear returns what hears of the changes over other connections than a node has.
	// It is nil where there are no connections.
	ear func(t testing.TB, dial dialer) store.Watcher
}

var tellingKinds = []tellingKind{
	{name: "memory", site: func(t testing.TB) *tellingSite {
		t.Helper()
		return &tellingSite{node: memorySite(t).node}
	}},
	{name: "Redis", site: tellingRedis, alone: func(t testing.TB) (*tellingSite, *servers.Server) {
		t.Helper()
		s := servers.StartRedis(t, servers.Durable())
		return &tellingSite{node: func(t testing.TB) store.Store {
			t.Helper()
			return redisstore.New(newRedis(t, s.Addr()), redisstore.WithNotify())
		}}, s
	}},
	{name: "Redis Cluster", site: tellingRedisCluster},
	{name: "PostgreSQL", site: tellingPostgres, alone: func(t testing.TB) (*tellingSite, *servers.Server) {
		t.Helper()
		s := servers.StartPostgreSQL(t, servers.Durable())
		node := func(t testing.TB) *sqlstore.Store {
			t.Helper()
			listen, err := pgxlisten.New(s.DSN())
			require.NoError(t, err)
			st, err := sqlstore.New(postgres.open(t, s.DSN()), sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
			require.NoError(t, err)
			return st
		}
		require.NoError(t, node(t).Migrate(t.Context()))
		return &tellingSite{node: func(t testing.TB) store.Store { t.Helper(); return node(t) }}, s
	}},
}

func tellingRedis(t testing.TB) *tellingSite {
	t.Helper()
	addr := servers.Redis(t).DSN()
	opts := []redisstore.Option{redisstore.WithPrefix(newPrefix(t, newRedis(t, addr))), redisstore.WithNotify()}
	return &tellingSite{
		node: func(t testing.TB) store.Store { t.Helper(); return redisstore.New(newRedis(t, addr), opts...) },
		ear: func(t testing.TB, dial dialer) store.Watcher {
			t.Helper()
			c := redis.NewClient(&redis.Options{Addr: addr, Dialer: dial, ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Second})
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			return redisstore.New(c, opts...)
		},
	}
}

func tellingRedisCluster(t testing.TB) *tellingSite {
	t.Helper()
	addrs := servers.RedisCluster(t).Addrs()
	opts := []redisstore.Option{redisstore.WithPrefix(newPrefix(t, newRedisCluster(t, addrs))), redisstore.WithNotify()}
	return &tellingSite{
		node: func(t testing.TB) store.Store { t.Helper(); return redisstore.New(newRedisCluster(t, addrs), opts...) },
		ear: func(t testing.TB, dial dialer) store.Watcher {
			t.Helper()
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs, Dialer: dial, ContextTimeoutEnabled: true, ReadTimeout: 2 * time.Second})
			t.Cleanup(func() { require.NoError(t, c.Close()) })
			return redisstore.New(c, opts...)
		},
	}
}

func tellingPostgres(t testing.TB) *tellingSite {
	t.Helper()
	sub, _ := postgres.newTelling(t)
	return &tellingSite{
		node: func(t testing.TB) store.Store { t.Helper(); return sub.telling(t, sub.dsn) },
		ear: func(t testing.TB, dial dialer) store.Watcher {
			t.Helper()
			config, err := pgx.ParseConfig(sub.dsn)
			require.NoError(t, err)
			config.DialFunc = pgconn.DialFunc(dial)
			s, err := sqlstore.New(sub.server.open(t, sub.dsn), sqlstore.PostgreSQL,
				sqlstore.WithTable(sub.table), sqlstore.WithNotify(pgxlisten.FromConfig(config)))
			require.NoError(t, err)
			return s
		},
	}
}
