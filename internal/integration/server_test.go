package integration_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
	"github.com/typedsession/session/store/storetest"
)

// server is a kind of database server.
type server struct {
	name    string
	dialect sqlstore.Dialect
	driver  string
	dsn     func(t testing.TB) string
	shared  func(t testing.TB) *servers.Server
	clock   string // a query for its time, in milliseconds
}

var (
	postgres = server{
		name: "PostgreSQL", dialect: sqlstore.PostgreSQL, driver: "pgx", dsn: postgresDSN, shared: servers.PostgreSQL,
		clock: "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
	}
	maria = server{
		name: "MariaDB", dialect: sqlstore.MySQL, driver: "mysql", dsn: mariaDSN, shared: servers.MariaDB,
		clock: "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000",
	}
)

// onServers runs a test on each kind of server.
func onServers(t *testing.T, test func(t *testing.T, srv server)) {
	t.Helper()
	for _, srv := range []server{postgres, maria} {
		t.Run(srv.name, func(t *testing.T) {
			t.Parallel()
			test(t, srv)
		})
	}
}

// with returns the server with parameters added to its DSN.
func (srv server) with(params string) server {
	plain := srv.dsn
	srv.dsn = func(t testing.TB) string {
		t.Helper()
		return addParam(plain(t), params)
	}
	return srv
}

func addParam(dsn, params string) string {
	switch {
	case params == "":
		return dsn
	case strings.Contains(dsn, "?"):
		return dsn + "&" + params
	default:
		return dsn + "?" + params
	}
}

// open connects to a database of the server.
func (srv server) open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(srv.driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	return db
}

// newTable returns the name of a table that is dropped at the end of the test.
func newTable(t testing.TB, db *sql.DB) string {
	t.Helper()
	name := "s" + strings.ToLower(rand.Text()[:12])
	t.Cleanup(func() {
		_, err := db.ExecContext(context.Background(), "DROP TABLE IF EXISTS "+name)
		require.NoError(t, err)
	})
	return name
}

func (srv server) newStore(t testing.TB, db *sql.DB, table string) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(db, srv.dialect, sqlstore.WithTable(table))
	require.NoError(t, err)
	return s
}

// newSubject returns a store with a new table.
func (srv server) newSubject(t testing.TB) *subject {
	t.Helper()
	dsn := srv.dsn(t)
	db := srv.open(t, dsn)
	sub := &subject{server: srv, dsn: dsn, db: db, table: newTable(t, db)}
	sub.Store = srv.newStore(t, db, sub.table)
	require.NoError(t, sub.Migrate(t.Context()))
	return sub
}

// subject is a store on a server, and the way to what is beneath it.
type subject struct {
	*sqlstore.Store
	server server
	dsn    string
	db     *sql.DB
	table  string
}

// another returns a store on the same table with connections of its own.
func (sub *subject) another(t testing.TB) *sqlstore.Store {
	t.Helper()
	return sub.server.newStore(t, sub.server.open(t, sub.dsn), sub.table)
}

// number asks the database for one.
func (sub *subject) number(t testing.TB, query string) (n int64) {
	t.Helper()
	require.NoError(t, sub.db.QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

// rows counts all rows, also those that have expired.
func (sub *subject) rows(t testing.TB) int64 {
	t.Helper()
	return sub.number(t, "SELECT count(*) FROM "+sub.table)
}

// Isolation levels, drivers' modes: a site has them for reasons of its own.
func TestServersKeepTheLaws(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]server{
		"PostgreSQL":                           postgres,
		"PostgreSQL, repeatable read, exec":    postgres.with("default_transaction_isolation=repeatable%20read&default_query_exec_mode=exec"),
		"PostgreSQL, serializable, simple":     postgres.with("default_transaction_isolation=serializable&default_query_exec_mode=simple_protocol"),
		"MariaDB":                              maria,
		"MariaDB, read uncommitted, found":     maria.with("tx_isolation=%27READ-UNCOMMITTED%27&clientFoundRows=true"),
		"MariaDB, read committed, interpolate": maria.with("tx_isolation=%27READ-COMMITTED%27&interpolateParams=true"),
		"MariaDB, serializable, both":          maria.with("tx_isolation=%27SERIALIZABLE%27&clientFoundRows=true&interpolateParams=true"),
		"MariaDB, times and modes": maria.with("innodb_snapshot_isolation=1&charset=latin1&parseTime=true&loc=America%2FNew_York&time_zone=%27-05%3A00%27" +
			"&sql_mode=%27ANSI%2CNO_BACKSLASH_ESCAPES%27&interpolateParams=true"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := srv.newSubject(t)
			storetest.Run(t, func(t *testing.T) store.Store { return sub.Store })
		})
	}
}
