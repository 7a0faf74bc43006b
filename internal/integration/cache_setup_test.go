package integration_test

import (
	"context"
	"database/sql"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/pgxlisten"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/sqlstore"
)

// What lies between the markers is in docs/caching.md as it is here:
// TestCachingDocSnippets compares, TestCachingDocSetup runs it.

// begin NearCache
// import "github.com/typedsession/session/store/cached"
func serveNear(ctx context.Context, back store.Store, serve func(*session.Manager) error) error {
	st := cached.New(back, cached.WithTTL(2*time.Second)) // the bound
	ctx, stop := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	// Copies of what other nodes change are dropped at once, where back tells of it.
	// Otherwise Run returns at once, and copies are used until they are too old.
	hearing.Go(func() { _ = st.Run(ctx) })
	defer hearing.Wait() // before the client of back is closed
	defer stop()
	return serveFrom(ctx, st, serve) // as in docs/stores.md
}

// end

// begin NotifyRedis
// import "github.com/typedsession/session/store/redisstore"
func newTellingRedis(client redis.UniversalClient) store.Store { // one server or a cluster
	return redisstore.New(client, redisstore.WithNotify())
}

// end

// begin NotifyPostgreSQL
// import "github.com/typedsession/session/store/pgxlisten"
func newTellingPostgreSQL(ctx context.Context, db *sql.DB, direct string) (store.Store, error) {
	listen, err := pgxlisten.New(direct) // a DSN that does not lead through PgBouncer in transaction mode
	if err != nil {
		return nil, err
	}
	st, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
	if err != nil {
		return nil, err
	}
	return st, st.Migrate(ctx) // creates the triggers, too
}

// end

// begin Socket
// serveSocket is for a connection that outlives its request, such as a WebSocket.
func serveSocket(w http.ResponseWriter, r *http.Request, talk func(ctx context.Context, conn net.Conn)) {
	ctx, cancel := session.FromContext(r.Context()).WithDone(context.WithoutCancel(r.Context()))
	conn, _, err := http.NewResponseController(w).Hijack() // the session is committed here
	if err != nil {
		cancel()
		http.Error(w, "no connection of its own", http.StatusInternalServerError)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // logged out: the next read or write fails
	go func() {
		defer cancel()
		defer func() { _ = conn.Close() }()
		defer stop()
		talk(ctx, conn)
	}()
}

// end
