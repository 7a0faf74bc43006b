package integration_test

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/sqlstore"
)

// begin PostgreSQL
// import _ "github.com/jackc/pgx/v5/stdlib"
// dsn is postgres://web:password@db.example/shop
func serveFromPostgreSQL(ctx context.Context, dsn string, serve func(*session.Manager) error) error {
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(20) // of all programs together: less than max_connections of the server
	db.SetMaxIdleConns(20) // those beyond are closed after use, and opened again for the next one
	db.SetConnMaxIdleTime(3 * time.Minute)
	return serveFromSQL(ctx, db, sqlstore.PostgreSQL, serve)
}

// end

// begin pgxpool
// import "github.com/jackc/pgx/v5/pgxpool"
// import "github.com/jackc/pgx/v5/stdlib"
func serveFromPool(ctx context.Context, pool *pgxpool.Pool, serve func(*session.Manager) error) error {
	db := stdlib.OpenDBFromPool(pool)                         // keeps no connection of its own
	db.SetMaxOpenConns(max(1, int(pool.Config().MaxConns)/2)) // leaves some to the rest of the program
	return serveFromSQL(ctx, db, sqlstore.PostgreSQL, serve)
}

// end
