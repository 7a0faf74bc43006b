package integration_test

import (
	"context"
	"database/sql"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/sqlstore"
)

// begin SQLite
// import _ "modernc.org/sqlite"
// dsn is file:sessions.db?_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)
func serveFromSQLite(ctx context.Context, dsn string, serve func(*session.Manager) error) error {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(8) // each reader needs one; more than CPUs are of no use
	db.SetMaxIdleConns(8)
	return serveFromSQL(ctx, db, sqlstore.SQLite, serve)
}

// end
