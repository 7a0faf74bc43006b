package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/storetest"
)

// A pooler gives each statement another connection.
func TestPostgreSQLBehindPgBouncer(t *testing.T) {
	t.Parallel()
	long(t)
	bouncer := servers.StartPgBouncer(t, servers.PostgreSQL(t))
	srv := postgres
	srv.dsn = func(t testing.TB) string { t.Helper(); return bouncer.Database(t) }
	for _, mode := range []string{"exec", "simple_protocol"} {
		sub := srv.with("default_query_exec_mode=" + mode).newSubject(t)
		require.NoError(t, sub.Migrate(t.Context()))
		t.Run(mode, func(t *testing.T) {
			storetest.Run(t, func(*testing.T) store.Store { return sub.Store })
		})
	}
}
