package integration_test

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// What lies between the markers of the files setup_*_test.go is in docs/stores.md
// as it is here: TestStoresDocSnippets compares, TestSetup runs it.

// begin every
// serveFrom is the same for every store.
func serveFrom(ctx context.Context, st store.Store, serve func(*session.Manager) error) error {
	manager, err := session.NewManager(session.Config{Store: st})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	var sweeping sync.WaitGroup
	// It removes what has expired. With Redis, which does that itself, it ends at once.
	sweeping.Go(func() { _ = manager.RunSweeper(ctx, 10*time.Minute) })
	defer sweeping.Wait() // before the database is closed
	defer stop()
	return serve(manager)
}

// serveFromSQL is the same for every SQL database. It closes db.
func serveFromSQL(ctx context.Context, db *sql.DB, d sqlstore.Dialect, serve func(*session.Manager) error) error {
	defer func() { _ = db.Close() }()
	st, err := sqlstore.New(db, d)
	if err != nil {
		return err
	}
	if err := st.Migrate(ctx); err != nil { // at every start
		return err
	}
	return serveFrom(ctx, st, serve)
}

// end
