package integration_test

import (
	"context"
	"database/sql"
	"time"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/sqlstore"
)

// begin MySQL
// import _ "github.com/go-sql-driver/mysql"
// dsn is web:password@tcp(db.example)/shop
func serveFromMySQL(ctx context.Context, dsn string, serve func(*session.Manager) error) error {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(20)                 // of all programs together: less than max_connections of the server
	db.SetMaxIdleConns(20)                 // a connection that is opened anew prepares its statements anew
	db.SetConnMaxIdleTime(3 * time.Minute) // less than wait_timeout of the server
	return serveFromSQL(ctx, db, sqlstore.MySQL, serve)
}

// end
