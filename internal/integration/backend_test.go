package integration_test

import (
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
}

var backends = []backend{
	{name: "memory", site: memorySite},
	{name: "SQLite", site: sqliteSite},
	sqlBackend(postgres),
	sqlBackend(maria),
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
			return &site{node: func(t testing.TB) store.Store { t.Helper(); return sub.another(t) }}
		},
		alone: func(t testing.TB) (*site, *servers.Server) {
			t.Helper()
			start := map[sqlstore.Dialect]func(testing.TB, ...servers.Option) *servers.Server{
				sqlstore.PostgreSQL: servers.StartPostgreSQL, sqlstore.MySQL: servers.StartMariaDB,
			}[srv.dialect]
			s := start(t, servers.Durable())
			require.NoError(t, srv.newStore(t, srv.open(t, s.DSN()), sqlstore.DefaultTable).Migrate(t.Context()))
			return &site{node: func(t testing.TB) store.Store {
				t.Helper()
				return srv.newStore(t, srv.open(t, s.DSN()), sqlstore.DefaultTable)
			}}, s
		},
	}
}
