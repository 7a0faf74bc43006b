package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/sqlstore"
)

// openStore returns the store that o asks for, and what closes it.
func openStore(ctx context.Context, o options) (store.Store, func() error, error) {
	switch o.store {
	case "memory":
		return memory.New(), func() error { return nil }, nil
	case "sqlite":
		return openSQLite(ctx, o.file)
	default:
		return nil, nil, fmt.Errorf(`-store %q: it is "sqlite" or "memory"`, o.store)
	}
}

func openSQLite(ctx context.Context, file string) (store.Store, func() error, error) {
	name := url.URL{Scheme: "file", Opaque: url.PathEscape(file), RawQuery: "_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)"}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, nil, err
	}
	sessions, err := sqlstore.New(db, sqlstore.SQLite)
	if err == nil {
		err = sessions.Migrate(ctx)
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("session file %s: %w", file, err), db.Close())
	}
	return sessions, db.Close, nil
}
