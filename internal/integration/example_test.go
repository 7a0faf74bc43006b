package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/sqlstore"
)

// Sessions in an SQLite file: open, migrate, and sweep from time to time.
func Example() {
	if err := run(); err != nil {
		fmt.Println(err)
	}
	// Output: visits: 2
}

func run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	dir, err := os.MkdirTemp("", "sessions")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()

	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "sessions.db")+
		"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)

	st, err := sqlstore.New(db, sqlstore.SQLite)
	if err != nil {
		return err
	}
	if err := st.Migrate(ctx); err != nil {
		return err
	}
	m, err := session.NewManager(session.Config{Store: st})
	if err != nil {
		return err
	}
	swept := make(chan error, 1)
	go func() { swept <- m.RunSweeper(ctx, 10*time.Minute) }()

	// A middleware does this for each request.
	visits := session.Key[int]("visits")
	credential := ""
	for range 2 {
		credential, err = visit(ctx, m, credential, func(ctx context.Context) error {
			_, err := visits.Update(ctx, func(n *int) error { *n++; return nil })
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err = visit(ctx, m, credential, func(ctx context.Context) error {
		n, err := visits.Get(ctx)
		fmt.Println("visits:", n)
		return err
	})
	cancel()
	if stopped := <-swept; !errors.Is(stopped, context.Canceled) {
		return stopped
	}
	return err
}
