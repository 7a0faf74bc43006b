package integration_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// indexes lists those of the table of a subject, with the one of its key.
func (sub *subject) indexes(t *testing.T) int64 {
	t.Helper()
	if sub.server.dialect == sqlstore.PostgreSQL {
		return sub.number(t, "SELECT count(*) FROM pg_index WHERE indrelid = to_regclass('"+sub.table+"')")
	}
	return sub.number(t, "SELECT count(DISTINCT index_name) FROM information_schema.statistics"+
		" WHERE table_schema = DATABASE() AND table_name = '"+sub.table+"'")
}

func (sub *subject) exec(t *testing.T, query string) {
	t.Helper()
	_, err := sub.db.ExecContext(t.Context(), query)
	require.NoError(t, err, query)
}

func TestServerMigrateTwice(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		require.NoError(t, sub.Insert(t.Context(), key(1), owned(1, "ada")))
		require.NoError(t, sub.Migrate(t.Context()))
		require.NoError(t, sub.another(t).Migrate(t.Context()))
		require.EqualValues(t, 3, sub.indexes(t))
		_, err := sub.Load(t.Context(), key(1))
		require.NoError(t, err)

		drop := "DROP INDEX " + sub.table + "_owner"
		if srv.dialect == sqlstore.MySQL {
			drop += " ON " + sub.table
		}
		sub.exec(t, drop)
		require.NoError(t, sub.Migrate(t.Context()))
		require.EqualValues(t, 3, sub.indexes(t), "what is missing is completed")
	})
}

func TestServerMigrateConcurrently(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		for _, params := range map[sqlstore.Dialect][]string{
			sqlstore.PostgreSQL: {"", "default_transaction_isolation=serializable&default_query_exec_mode=exec"},
			sqlstore.MySQL:      {"", "tx_isolation=%27SERIALIZABLE%27&interpolateParams=true"},
		}[srv.dialect] {
			srv := srv.with(params)
			sub := &subject{server: srv, dsn: srv.dsn(t)}
			sub.db = srv.open(t, sub.dsn)
			sub.table = newTable(t, sub.db)
			var wg sync.WaitGroup
			for i := range 6 {
				s := sub.another(t)
				for j := range 2 {
					wg.Go(func() {
						err := s.Migrate(t.Context())
						if err == nil {
							err = s.Insert(t.Context(), key(10*i+j), owned(1, "ada"))
						}
						if err != nil {
							t.Error(err)
						}
					})
				}
			}
			wg.Wait()
			require.EqualValues(t, 3, sub.indexes(t))
			require.EqualValues(t, 12, sub.rows(t))
		}
	})
}

func TestServerMigrateFromProcesses(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := &subject{server: srv, dsn: srv.dsn(t)}
		sub.db = srv.open(t, sub.dsn)
		sub.table = newTable(t, sub.db)
		together(t, 4, "migrateserver", func(int) []string {
			return []string{srv.driver, strconv.Itoa(int(srv.dialect)), sub.dsn, sub.table}
		})
		require.EqualValues(t, 3, sub.indexes(t))
		require.EqualValues(t, 4, sub.rows(t))
	})
}

// migrateServerRole migrates and writes at once.
func migrateServerRole(ctx context.Context, args []string, in *bufio.Reader, out io.Writer) error {
	db, err := sql.Open(args[0], args[2])
	if err != nil {
		return err
	}
	dialect, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	s, err := sqlstore.New(db, sqlstore.Dialect(dialect), sqlstore.WithTable(args[3]))
	if err != nil {
		return err
	}
	if err := ready(in, out); err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	return s.Insert(ctx, key(os.Getpid()), record(1, time.Hour))
}

func TestServerMigrateOnAnotherTable(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		ours, data := `id bytea NOT NULL PRIMARY KEY, version bigint NOT NULL, expires bigint NOT NULL, due bigint NOT NULL, owner text NOT NULL`, "bytea"
		if srv.dialect == sqlstore.MySQL {
			ours, data = strings.NewReplacer("bytea", "varbinary(32)", "text", "varbinary(512)").Replace(ours), "longblob"
		}
		db := srv.open(t, srv.dsn(t))
		for name, c := range map[string]struct {
			columns string
			ok      bool
		}{
			"scs":                      {columns: "token char(43) PRIMARY KEY, data " + data + " NOT NULL, expiry timestamp NOT NULL"},
			"a column is missing":      {columns: ours},
			"another type":             {columns: ours + ", data text NOT NULL"},
			"may be null":              {columns: ours + ", data " + data},
			"no primary key":           {columns: strings.Replace(ours, "PRIMARY KEY", "", 1) + ", data " + data + " NOT NULL"},
			"another primary key":      {columns: strings.Replace(ours, " PRIMARY KEY", "", 1) + ", data " + data + " NOT NULL, PRIMARY KEY (id, version)"},
			"a column needs value":     {columns: ours + ", data " + data + " NOT NULL, site bigint NOT NULL"},
			"more that need no value":  {columns: ours + ", data " + data + " NOT NULL, note bigint, site bigint NOT NULL DEFAULT 1", ok: true},
			"as Migrate would make it": {columns: ours + ", data " + data + " NOT NULL", ok: true},
		} {
			sub := &subject{server: srv, db: db, table: newTable(t, db)}
			s := srv.newStore(t, db, sub.table)
			sub.exec(t, fmt.Sprintf("CREATE TABLE %s (%s)", sub.table, c.columns))
			before := sub.indexes(t)
			err := s.Migrate(t.Context())
			if !c.ok {
				require.ErrorIs(t, err, sqlstore.ErrTable, name)
				require.ErrorContains(t, err, sub.table)
				require.Equal(t, before, sub.indexes(t), "nothing was added")
				continue
			}
			require.NoError(t, err, name)
			require.EqualValues(t, 3, sub.indexes(t))
			require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
		}
	})
}

// A name with a schema, of a word of SQL, in mixed case.
func TestServerQualifiedTable(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		other := srv.newSubject(t) // only for its name
		schema := "x" + other.table
		other.exec(t, "CREATE SCHEMA "+schema)
		t.Cleanup(func() {
			drop := "DROP SCHEMA " + schema
			if srv.dialect == sqlstore.PostgreSQL {
				drop += " CASCADE"
			}
			_, err := other.db.ExecContext(context.Background(), drop)
			require.NoError(t, err)
		})
		a, b := srv.newStore(t, other.db, schema+".Select"), srv.newStore(t, other.db, schema+".order")
		for _, s := range []*sqlstore.Store{a, b, a} {
			require.NoError(t, s.Migrate(t.Context()))
		}
		exerciseAway(t, a)
		require.NoError(t, a.Insert(t.Context(), key(1), owned(1, "ada")))
		require.NoError(t, b.Insert(t.Context(), key(1), owned(2, "ada")))
		r, err := a.Load(t.Context(), key(1))
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Version)
		require.Error(t, srv.newStore(t, other.db, schema+"_missing.sessions").Migrate(t.Context()), "no schema is created")
	})
}

// Someone who may only read and write needs no more when all is there.
func TestServerMigrateWithoutRights(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	role := "r" + sub.table
	sub.exec(t, "CREATE ROLE "+role)
	t.Cleanup(func() {
		_, err := sub.db.ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	sub.exec(t, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	sub.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+sub.table+" TO "+role)
	restricted := postgres.open(t, addParam(sub.dsn, "role="+role))
	s := postgres.newStore(t, restricted, sub.table)
	require.NoError(t, s.Migrate(t.Context()))
	exerciseAway(t, s)
	err := postgres.newStore(t, restricted, sub.table+"x").Migrate(t.Context())
	require.ErrorContains(t, err, "permission denied")
}
