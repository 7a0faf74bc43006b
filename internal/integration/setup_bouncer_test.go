package integration_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
)

// Many connections, of which each statement may get another one of the server's.
// The modes that docs/stores.md recommends never fail. How often the others fail
// depends on the version of PgBouncer and is only logged; no record is lost to them.
func TestSetupPgBouncerModes(t *testing.T) {
	t.Parallel()
	long(t)
	pg := servers.PostgreSQL(t)
	for _, pooling := range []string{"session", "transaction", "statement"} {
		bouncer := servers.StartPgBouncer(t, pg, servers.Pooling(pooling))
		for mode, works := range map[string]bool{
			"exec": true, "simple_protocol": true, "cache_describe": true,
			"cache_statement": pooling == "session", "describe_exec": pooling == "session",
		} {
			t.Run(pooling+" "+mode, func(t *testing.T) { testPgBouncerMode(t, pg, bouncer, mode, works) })
		}
	}
}

func testPgBouncerMode(t *testing.T, pg, bouncer *servers.Server, mode string, works bool) {
	t.Helper()
	const workers, each = 8, 100
	direct := pg.Database(t)
	safe := postgres.newStore(t, postgres.open(t, direct), "sessions")
	require.NoError(t, safe.Migrate(t.Context()))
	dsn := strings.Replace(direct, pg.Addr(), bouncer.Addr(), 1)
	require.NotEqual(t, direct, dsn)
	insertMany(t, safe, 0, each, time.Hour)
	db := postgres.open(t, addParam(dsn, "default_query_exec_mode="+mode))
	db.SetMaxOpenConns(2 * workers)
	db.SetMaxIdleConns(2 * workers)
	s := postgres.newStore(t, db, "sessions")

	var failed atomic.Int64
	var wg sync.WaitGroup
	try := func(do func(i int) error) {
		wg.Go(func() {
			for i := range each {
				if err := do(i); err != nil {
					if failed.Add(1) == 1 || works {
						t.Logf("the first of the errors: %.200v", err)
					}
				}
			}
		})
	}
	for w := range workers {
		try(func(i int) error { _, err := s.Load(t.Context(), key(i)); return err })
		try(func(i int) error { return useOnce(t.Context(), s, key(each+w*each+i)) })
	}
	wg.Wait()
	gone := 0
	for i := range each {
		if _, err := safe.Load(t.Context(), key(i)); err != nil {
			require.ErrorIs(t, err, store.ErrNotFound)
			gone++
		}
	}
	t.Logf("%d of %d failed, %d of %d live records are gone", failed.Load(), 2*workers*each, gone, each)
	require.Zero(t, gone)
	if works {
		require.Zero(t, failed.Load())
	}
}

// useOnce takes a record of its own through a life.
func useOnce(ctx context.Context, s store.Store, k store.Key) error {
	inserted := s.Insert(ctx, k, owned(1, "ada"))
	_, swapped := s.Swap(ctx, k, 1, owned(2, "ada"))
	return errors.Join(inserted, swapped, s.Delete(ctx, k))
}
