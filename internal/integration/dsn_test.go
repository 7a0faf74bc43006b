package integration_test

import (
	"testing"

	"github.com/typedsession/session/internal/servers"
)

// postgresDSN names a new database of PostgreSQL.
func postgresDSN(t testing.TB) string {
	t.Helper()
	return servers.PostgreSQL(t).Database(t)
}

// mariaDSN names a new database of MariaDB.
func mariaDSN(t testing.TB) string {
	t.Helper()
	return servers.MariaDB(t).Database(t)
}
