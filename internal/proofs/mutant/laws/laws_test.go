package laws_test

import (
	"crypto/rand"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/sqlstore"
	"github.com/typedsession/session/store/storetest"
)

func TestMain(m *testing.M) { servers.Main(m) }

func TestSQLite(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Store {
		t.Helper()
		file := filepath.ToSlash(filepath.Join(t.TempDir(), "sessions.db"))
		db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=synchronous(NORMAL)")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, db.Close()) })
		st, err := sqlstore.New(db, sqlstore.SQLite)
		require.NoError(t, err)
		require.NoError(t, st.Migrate(t.Context()))
		return st
	})
}

// The client is one that sends a command before it has the last answer.
func TestRedis(t *testing.T) {
	t.Parallel()
	plain := redis.NewClient(&redis.Options{Addr: servers.Redis(t).DSN(), ContextTimeoutEnabled: true})
	t.Cleanup(func() { _ = plain.Close() })
	c, err := plain.AutoPipeline()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	storetest.Run(t, func(*testing.T) store.Store { return redisstore.New(c, redisstore.WithPrefix(rand.Text()+":")) })
}
