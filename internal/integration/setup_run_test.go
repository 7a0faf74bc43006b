package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/middleware"
)

// params returns what the comment of a snippet appends to a DSN.
func params(t *testing.T, file string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	require.NoError(t, err)
	m := regexp.MustCompile(`// dsn is (\S+)\n`).FindSubmatch(source)
	require.NotNil(t, m, file)
	_, params, _ := strings.Cut(string(m[1]), "?")
	return params
}

// The snippets of docs/stores.md, each with the parameters that it names: one
// visitor on a real server, and another program run that finds the session again.
func TestSetup(t *testing.T) {
	t.Parallel()
	onPool := func(ctx context.Context, dsn string, serve func(*session.Manager) error) error {
		pool, err := pgxpool.New(ctx, dsn)
		if err != nil {
			return err
		}
		defer pool.Close()
		err = serveFromPool(ctx, pool, serve)
		return errors.Join(err, pool.Ping(ctx)) // it is open still
	}
	for name, c := range map[string]struct {
		dsn   func(t *testing.T) string
		serve func(ctx context.Context, dsn string, serve func(*session.Manager) error) error
	}{
		"SQLite": {
			dsn:   func(t *testing.T) string { return addParam(dsn(newPath(t), ""), params(t, "setup_sqlite_test.go")) },
			serve: serveFromSQLite,
		},
		"PostgreSQL": {
			dsn:   func(t *testing.T) string { return addParam(postgresDSN(t), params(t, "setup_postgres_test.go")) },
			serve: serveFromPostgreSQL,
		},
		"PostgreSQL behind PgBouncer": {
			dsn: func(t *testing.T) string {
				bouncer := servers.StartPgBouncer(t, servers.PostgreSQL(t))
				const mode = "default_query_exec_mode=exec"
				require.Contains(t, string(storesDoc(t)), "`?"+mode+"`")
				return addParam(bouncer.Database(t), mode)
			},
			serve: serveFromPostgreSQL,
		},
		"PostgreSQL with a pool": {dsn: func(t *testing.T) string { return postgresDSN(t) }, serve: onPool},
		"MariaDB": {
			dsn:   func(t *testing.T) string { return addParam(mariaDSN(t), params(t, "setup_mysql_test.go")) },
			serve: serveFromMySQL,
		},
		"Redis": {dsn: func(t *testing.T) string { return servers.StartRedis(t).Addr() }, serve: serveFromRedis},
		"MongoDB": {
			dsn: func(t *testing.T) string {
				return addParam(servers.StartMongoDB(t).DSN(), params(t, "setup_mongo_test.go"))
			},
			serve: serveFromMongoDB,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, client := c.dsn(t), newVisitor(t)
			require.NoError(t, c.serve(t.Context(), dsn, client.visits(1, 2)))
			require.NoError(t, c.serve(t.Context(), dsn, client.visits(3, 4)), "started again")
			require.ErrorIs(t, c.serve(t.Context(), dsn, func(*session.Manager) error { return errVisit }), errVisit)
		})
	}
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		client := newVisitor(t)
		require.NoError(t, serveFromMemory(t.Context(), client.visits(1, 2)))
		require.NoError(t, serveFromMemory(t.Context(), client.visits(1, 2)), "started again: nothing is left")
	})
}

var errVisit = errors.New("not what was expected")

// visitor is a browser that comes to a page which counts its visits.
type visitor struct{ jar http.CookieJar }

func newVisitor(t *testing.T) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	return visitor{jar}
}

// visits comes as often as numbers are given, and wants to see those.
func (v visitor) visits(want ...int) func(*session.Manager) error {
	return func(m *session.Manager) error {
		mw, err := middleware.New(m, middleware.Config{})
		if err != nil {
			return err
		}
		page := func(w http.ResponseWriter, r *http.Request) {
			n, err := counter.Update(r.Context(), func(n *int) error { *n++; return nil })
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			_, _ = fmt.Fprint(w, n)
		}
		for _, n := range want {
			r := httptest.NewRequest(http.MethodGet, "https://shop.example/", nil)
			for _, c := range v.jar.Cookies(r.URL) {
				r.AddCookie(c)
			}
			w := httptest.NewRecorder()
			mw.Handler(http.HandlerFunc(page)).ServeHTTP(w, r)
			v.jar.SetCookies(r.URL, w.Result().Cookies())
			if got := w.Body.String(); w.Code != http.StatusOK || got != fmt.Sprint(n) {
				return fmt.Errorf("%w: %d %q, want %d", errVisit, w.Code, got, n)
			}
		}
		return nil
	}
}

// The size of the pool counts for everybody: whoever keeps a connection and then
// asks for his session needs a second one.
func TestSetupPoolCanBeUsedUp(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	pool, db := openPool(t, sub.dsn, 2)
	s := sub.server.newStore(t, db, sub.table)
	require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
	first, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	_, err = s.Load(t.Context(), key(1))
	require.NoError(t, err, "there is a second one")
	second, err := pool.Acquire(t.Context())
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = s.Load(ctx, key(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	first.Release()
	_, err = s.Load(t.Context(), key(1))
	require.NoError(t, err)
	second.Release()
}

// openPool opens a pool of so many connections, and the way to it through
// database/sql.
func openPool(t testing.TB, dsn string, size int) (*pgxpool.Pool, *sql.DB) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = int32(size)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return pool, db
}
