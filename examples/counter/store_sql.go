package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "github.com/go-sql-driver/mysql" // the driver "mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

func openSQLite(ctx context.Context, o options) (store.Store, func() error, error) {
	name := url.URL{Scheme: "file", Opaque: url.PathEscape(o.file), RawQuery: "_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)"}
	s, closeStore, err := openSQL(ctx, "sqlite", name.String(), sqlstore.SQLite)
	if err != nil {
		err = fmt.Errorf("session file %s: %w", o.file, err)
	}
	return s, closeStore, err
}

func openPostgres(ctx context.Context, o options) (store.Store, func() error, error) {
	return openSQL(ctx, "pgx", o.dsn, sqlstore.PostgreSQL)
}

func openMySQL(ctx context.Context, o options) (store.Store, func() error, error) {
	return openSQL(ctx, "mysql", o.dsn, sqlstore.MySQL)
}

func openSQL(ctx context.Context, driver, dsn string, dialect sqlstore.Dialect) (store.Store, func() error, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16) // or connections are opened and closed all the time
	s, err := sqlstore.New(db, dialect)
	if err == nil {
		err = s.Migrate(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return s, db.Close, nil
}
