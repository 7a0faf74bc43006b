package integration_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/sqlstore"
)

// backend is a kind of store, and how tests get one.
type backend struct {
	name string
	// site returns a new place for sessions, which ends with the test.
	site func(t testing.TB) *site
	// alone returns a place on a server of its own, which the test may stop. It is
	// nil where there is no server.
	alone func(t testing.TB) (*site, *servers.Server)
}

// site is a place for sessions that several nodes share.
type site struct {
	// node returns the store of another node, with connections of its own.
	node func(t testing.TB) store.Store
	// addr is where the server listens, and at returns the store of a node that takes
	// another address for it. They are empty and nil where there is no such thing.
	addr string
	at   func(t testing.TB, addr string) store.Store
	// connections counts them. It is nil where nobody does.
	connections func(t testing.TB) connections
}

// connections are those between nodes and a server.
type connections struct {
	open, inUse, most int // as the nodes see it
	served            int // as the server sees it
}

var backends = []backend{
	{name: "memory", site: memorySite},
	{name: "SQLite", site: sqliteSite},
	sqlBackend(postgres),
	sqlBackend(maria),
	redisBackend(),
	redisClusterBackend(),
	mongoBackend(),
}

// long leaves a test out where -short asks for a look only.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long")
	}
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(t *testing.T, b backend)) {
	t.Helper()
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			test(t, b)
		})
	}
}

// memorySite has one store for all nodes: they are in one process.
func memorySite(testing.TB) *site {
	st := memory.New()
	return &site{node: func(testing.TB) store.Store { return st }}
}

func sqliteSite(t testing.TB) *site {
	t.Helper()
	path := newPath(t)
	migrated(t, openSQLite(t, dsn(path, recommended)))
	return &site{node: func(t testing.TB) store.Store {
		t.Helper()
		return newStore(t, openSQLite(t, dsn(path, recommended)))
	}}
}

func sqlBackend(srv server) backend {
	return backend{
		name: srv.name,
		site: func(t testing.TB) *site {
			t.Helper()
			sub := srv.newSubject(t)
			addr := srv.shared(t).Addr()
			return &site{
				node: func(t testing.TB) store.Store { t.Helper(); return sub.another(t) },
				addr: addr,
				at: func(t testing.TB, other string) store.Store {
					t.Helper()
					require.Contains(t, sub.dsn, addr)
					return srv.newStore(t, srv.open(t, strings.Replace(sub.dsn, addr, other, 1)), sub.table)
				},
			}
		},
		alone: func(t testing.TB) (*site, *servers.Server) {
			t.Helper()
			start := map[sqlstore.Dialect]func(testing.TB, ...servers.Option) *servers.Server{
				sqlstore.PostgreSQL: servers.StartPostgreSQL, sqlstore.MySQL: servers.StartMariaDB,
			}[srv.dialect]
			s := start(t, servers.Durable())
			var pools []*sql.DB
			open := func(t testing.TB) *sqlstore.Store {
				t.Helper()
				pools = append(pools, srv.open(t, s.DSN()))
				return srv.newStore(t, pools[len(pools)-1], sqlstore.DefaultTable)
			}
			require.NoError(t, open(t).Migrate(t.Context()))
			return &site{
				node:        func(t testing.TB) store.Store { t.Helper(); return open(t) },
				connections: func(t testing.TB) connections { t.Helper(); return srv.connections(t, pools) },
			}, s
		},
	}
}

// connections asks the pools, and the server through the first of them.
func (srv server) connections(t testing.TB, pools []*sql.DB) (c connections) {
	t.Helper()
	query := map[sqlstore.Dialect]string{
		sqlstore.PostgreSQL: "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
		sqlstore.MySQL:      "SELECT count(*) FROM information_schema.processlist WHERE user = 'root'",
	}[srv.dialect]
	require.NoError(t, pools[0].QueryRowContext(t.Context(), query).Scan(&c.served))
	for _, db := range pools {
		s := db.Stats()
		c.open, c.inUse, c.most = c.open+s.OpenConnections, c.inUse+s.InUse, c.most+s.MaxOpenConnections
	}
	return c
}
