package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/pgxlisten"
	"github.com/typedsession/session/store/sqlstore"
)

// describeNotifying returns what notifies of the changes of a table.
func describeNotifying(t *testing.T, db *sql.DB, table string) []string {
	t.Helper()
	all := lines(t, db, `SELECT pg_get_triggerdef(t.oid), p.oid::regprocedure::text, p.prosrc, t.tgenabled::text
		FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
		WHERE t.tgrelid = '`+table+`'::regclass AND NOT t.tgisinternal ORDER BY t.tgname`)
	for i := range all {
		all[i] = strings.Join(strings.Fields(all[i]), " ")
	}
	return all
}

// works checks that a store tells of what another one writes.
func works(t *testing.T, s, other *sqlstore.Store) {
	t.Helper()
	w := watch(t, s)
	ctx, k := t.Context(), key(77)
	require.NoError(t, other.Insert(ctx, k, owned(1, "ada")))
	_, err := other.Swap(ctx, k, 1, owned(2, "ada"))
	require.NoError(t, err)
	require.NoError(t, other.Delete(ctx, k))
	require.Equal(t, []store.Change{{Key: k, Version: 2}, {Key: k}}, w.tells(t, 2))
	w.cancel()
	_, err = w.ends(t)
	require.ErrorIs(t, err, context.Canceled)
}

func TestPostgreSQLWatchMigrateTwice(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	ctx := t.Context()
	require.NoError(t, sub.Insert(ctx, key(1), owned(1, "ada")))
	s := sub.telling(t, sub.dsn)
	err := s.Watch(ctx, func() { t.Error("it was made without the option") }, func(store.Change) {})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "call Store.Migrate")

	require.NoError(t, s.Migrate(ctx))
	want := describeNotifying(t, sub.db, sub.table)
	require.Len(t, want, 2)
	require.NoError(t, s.Migrate(ctx))
	require.NoError(t, sub.another(t).Migrate(ctx), "a node without the option leaves it alone")
	require.Equal(t, want, describeNotifying(t, sub.db, sub.table))
	works(t, s, sub.Store)

	for _, drop := range []string{
		"DROP TRIGGER " + sub.table + "_swapped ON " + sub.table, "DROP TRIGGER " + sub.table + "_deleted ON " + sub.table,
		"DROP FUNCTION " + sub.table + "_notify() CASCADE",
	} {
		sub.exec(t, drop)
		require.ErrorIs(t, s.Watch(ctx, nil, nil), errors.ErrUnsupported, drop)
		exerciseAway(t, s)
		require.NoError(t, s.Migrate(ctx))
		require.Equal(t, want, describeNotifying(t, sub.db, sub.table), "what is missing is completed")
	}
	works(t, s, s)
	sub.exec(t, "ALTER TABLE "+sub.table+" DISABLE TRIGGER "+sub.table+"_swapped")
	require.NoError(t, s.Migrate(ctx), "somebody wanted it so")
	err = s.Watch(ctx, nil, nil)
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "disabled")
	r, err := sub.Load(ctx, key(1))
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Version)
}

func TestPostgreSQLWatchMigrateConcurrently(t *testing.T) {
	t.Parallel()
	for name, made := range map[string]bool{"a new table": false, "a table that is written to": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := postgres.with("default_transaction_isolation=serializable&default_query_exec_mode=exec")
			sub := &subject{server: srv, dsn: srv.dsn(t)}
			sub.db = srv.open(t, sub.dsn)
			sub.table = newTable(t, sub.db)
			var writers, migrations sync.WaitGroup
			writing, stop := context.WithCancel(t.Context())
			defer writers.Wait()
			defer stop()
			if made {
				require.NoError(t, sub.another(t).Migrate(t.Context()))
				for i := range 2 {
					s := sub.another(t)
					writers.Go(func() {
						for n := 0; writing.Err() == nil; n++ {
							k := key(1000*i + n%7)
							if err := errors.Join(s.Insert(t.Context(), k, owned(1, "ada")), s.Delete(t.Context(), k)); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			for range 4 {
				s := sub.telling(t, sub.dsn)
				for range 2 {
					migrations.Go(func() {
						if err := s.Migrate(t.Context()); err != nil {
							t.Error(err)
						}
					})
				}
			}
			migrations.Wait()
			stop()
			writers.Wait()
			require.Len(t, describeNotifying(t, sub.db, sub.table), 2)
			works(t, sub.telling(t, sub.dsn), sub.another(t))
		})
	}
}

// Names that have to be quoted, that are long, and a schema that only the path of
// the connection names.
func TestPostgreSQLWatchOddNames(t *testing.T) {
	t.Parallel()
	dsn := postgres.dsn(t)
	admin := postgres.open(t, dsn)
	long := strings.Repeat("x", 48)
	for _, schema := range []string{"Odd", "select", long, `o'd"d $1 {table} Ä`, strings.Repeat("ä", 31)} {
		quoted := `"` + strings.ReplaceAll(schema, `"`, `""`) + `"`
		_, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+quoted)
		require.NoError(t, err)
		within := addParam(dsn, searchPath(quoted+",public"))
		require.Equal(t, []string{schema}, lines(t, postgres.open(t, within), "SELECT current_schema()"))
		for _, table := range []string{"sessions", "Order", strings.Repeat("Y", 48)} {
			t.Run(schema+"."+table, func(t *testing.T) {
				sub := &subject{server: postgres, dsn: within, db: admin, table: table}
				s := sub.telling(t, dsn)
				require.NoError(t, s.Migrate(t.Context()))
				require.NoError(t, s.Migrate(t.Context()))
				works(t, s, sub.another(t))
				if schema != "Odd" && schema != "select" && schema != long {
					return // WithTable does not take it
				}
				// The same table by its whole name, on a node with another path, is heard.
				qualified := &subject{server: postgres, dsn: dsn, db: admin, table: schema + "." + table}
				other := qualified.telling(t, dsn)
				require.NoError(t, other.Migrate(t.Context()))
				works(t, other, s)
				works(t, s, other)
				require.Len(t, describeNotifying(t, admin, quoted+`."`+table+`"`), 2)
			})
		}
	}
	// Each tells of its own alone.
	one := (&subject{server: postgres, dsn: dsn, db: admin, table: "Odd.sessions"}).telling(t, dsn)
	another := postgres.newStore(t, admin, "select.sessions")
	w := watch(t, one)
	for _, s := range []*sqlstore.Store{another, one} {
		require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
	}
	require.NoError(t, another.Delete(t.Context(), key(1)))
	_, err := one.Swap(t.Context(), key(1), 1, record(2, time.Hour))
	require.NoError(t, err)
	require.Equal(t, []store.Change{{Key: key(1), Version: 2}}, w.tells(t, 1))
}

// searchPath is a parameter of a DSN.
func searchPath(path string) string {
	return "search_path=" + strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
}

// A table that is there, in a schema that is not the first of the path.
func TestPostgreSQLWatchFurtherDownThePath(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	sub.exec(t, "CREATE SCHEMA first")
	before := *sub
	before.dsn = addParam(sub.dsn, searchPath("first,public"))
	s, other := before.telling(t, sub.dsn), sub.telling(t, sub.dsn)
	for _, s := range []*sqlstore.Store{s, other, s} {
		require.NoError(t, s.Migrate(t.Context()))
	}
	works(t, s, other)
	works(t, other, s)
	require.Equal(t, []string{"public"}, lines(t, sub.db, "SELECT pronamespace::regnamespace::text FROM pg_proc WHERE proname = '"+sub.table+"_notify'"))
}

// A function or a trigger of somebody else is left alone.
func TestPostgreSQLWatchMigrateOverOthers(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]string{
		"a function": `CREATE FUNCTION {table}_notify() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`,
		"no trigger": `CREATE FUNCTION {table}_notify() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		"a trigger": `CREATE FUNCTION {table}_other() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
			CREATE TRIGGER {table}_deleted AFTER DELETE ON {table} FOR EACH ROW EXECUTE PROCEDURE {table}_other()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := postgres.newSubject(t)
			for create := range strings.SplitSeq(strings.ReplaceAll(create, "{table}", sub.table), ";\n") {
				sub.exec(t, create)
			}
			functions := lines(t, sub.db, "SELECT oid::text, prosrc FROM pg_proc WHERE proname LIKE '"+sub.table+"%'")
			s := sub.telling(t, sub.dsn)
			require.ErrorIs(t, s.Migrate(t.Context()), sqlstore.ErrTrigger)
			require.Equal(t, functions, lines(t, sub.db, "SELECT oid::text, prosrc FROM pg_proc WHERE proname LIKE '"+sub.table+"%'"))
			err := s.Watch(t.Context(), nil, nil)
			require.ErrorIs(t, err, sqlstore.ErrTrigger)
			require.ErrorIs(t, err, errors.ErrUnsupported)
			exerciseAway(t, s)
		})
	}
}

// Someone who may only read and write needs no more, to watch either.
func TestPostgreSQLWatchWithoutRights(t *testing.T) {
	t.Parallel()
	sub, _ := postgres.newTelling(t)
	role := "r" + sub.table
	sub.exec(t, "CREATE ROLE "+role)
	t.Cleanup(func() {
		_, err := sub.db.ExecContext(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	sub.exec(t, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	sub.exec(t, "REVOKE EXECUTE ON FUNCTION "+sub.table+"_notify() FROM PUBLIC")
	sub.exec(t, "GRANT SELECT, INSERT, UPDATE, DELETE ON "+sub.table+" TO "+role)
	restricted := *sub
	restricted.dsn = addParam(sub.dsn, "role="+role)
	s := restricted.telling(t, restricted.dsn)
	require.NoError(t, s.Migrate(t.Context()))
	works(t, s, s)
	sub.exec(t, "DROP TRIGGER "+sub.table+"_swapped ON "+sub.table)
	err := s.Migrate(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "password")
	exerciseAway(t, s)
}

// documented returns a part of the comments of package sqlstore, as it is shown.
func documented(t *testing.T, file, from, to string) string {
	t.Helper()
	_, text, ok := strings.Cut(readFile(t, "../../store/sqlstore/"+file), from)
	require.True(t, ok, file)
	text, _, ok = strings.Cut(text, to)
	require.True(t, ok, file)
	return regexp.MustCompile(`(?m)^//\t?`).ReplaceAllString(from+text, "")
}

// What the documentation of the package says to create is what Migrate creates, and
// what it says to drop is all of that.
func TestPostgreSQLWatchByHand(t *testing.T) {
	t.Parallel()
	made, byHand := postgres.open(t, postgres.dsn(t)), &subject{server: postgres, dsn: postgres.dsn(t), table: sqlstore.DefaultTable}
	byHand.db = postgres.open(t, byHand.dsn)
	listen, err := pgxlisten.New(byHand.dsn)
	require.NoError(t, err)
	migrated, err := sqlstore.New(made, sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
	require.NoError(t, err)
	require.NoError(t, migrated.Migrate(t.Context()))
	want := describeNotifying(t, made, "sessions")

	require.NoError(t, byHand.another(t).Migrate(t.Context()))
	text := documented(t, "doc.go", "CREATE FUNCTION sessions_notify", "// In MySQL and MariaDB:")
	creates := regexp.MustCompile(`(?m)^CREATE `).Split(text, -1)[1:]
	require.Len(t, creates, 3)
	for _, create := range creates {
		byHand.exec(t, "CREATE "+create)
	}
	require.Equal(t, want, describeNotifying(t, byHand.db, "sessions"))
	s := byHand.telling(t, byHand.dsn)
	require.NoError(t, s.Migrate(t.Context()))
	require.Equal(t, want, describeNotifying(t, byHand.db, "sessions"), "nothing was changed")
	works(t, s, s)

	drops := 0
	for drop := range strings.SplitSeq(documented(t, "notify.go", "DROP TRIGGER sessions_swapped", "func WithNotify"), ";") {
		if strings.TrimSpace(drop) != "" {
			byHand.exec(t, drop)
			drops++
		}
	}
	require.Equal(t, 3, drops)
	require.Zero(t, byHand.number(t, "SELECT count(*) FROM pg_proc WHERE proname = 'sessions_notify'")+
		byHand.number(t, "SELECT count(*) FROM pg_trigger WHERE tgrelid = 'sessions'::regclass"))
	exerciseAway(t, s)
	require.ErrorIs(t, s.Watch(t.Context(), nil, nil), errors.ErrUnsupported)
}
