package integration_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
	"github.com/typedsession/session/store/storetest"
)

// statements returns those of a block of docs/stores.md.
func statements(block string) (all []string) {
	for text := range strings.SplitSeq(block, ";") {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// The tables of docs/stores.md are those that Migrate makes, and whoever may only
// read and write needs no more.
func TestSetupSchema(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		srv      server
		describe func(t *testing.T, db *sql.DB) []string
		restrict func(t *testing.T, admin *sql.DB, dsn, grant string) (restricted string)
	}{
		"PostgreSQL":        {srv: postgres, describe: describePostgres, restrict: restrictPostgres},
		"MySQL and MariaDB": {srv: maria, describe: describeMariaDB, restrict: restrictMariaDB},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := storesDoc(t)
			made := c.srv.open(t, c.srv.dsn(t))
			require.NoError(t, c.srv.newStore(t, made, sqlstore.DefaultTable).Migrate(t.Context()))

			dsn := c.srv.dsn(t)
			admin := c.srv.open(t, dsn)
			for _, create := range statements(text.block(t, "schema "+name)) {
				_, err := admin.ExecContext(t.Context(), create)
				require.NoError(t, err, create)
			}
			want := c.describe(t, made)
			require.Equal(t, want, c.describe(t, admin))

			restricted := c.srv.open(t, c.restrict(t, admin, dsn, text.block(t, "rights")))
			s := c.srv.newStore(t, restricted, sqlstore.DefaultTable)
			require.NoError(t, s.Migrate(t.Context()))
			require.Equal(t, want, c.describe(t, admin), "nothing was changed")
			require.Error(t, c.srv.newStore(t, restricted, "another").Migrate(t.Context()), "it may create nothing")
			storetest.Run(t, func(*testing.T) store.Store { return s })
		})
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		made := openSQLite(t, dsn(newPath(t), recommended))
		migrated(t, made)
		byHand := openSQLite(t, dsn(newPath(t), recommended))
		for _, create := range statements(storesDoc(t).block(t, "schema SQLite")) {
			_, err := byHand.ExecContext(t.Context(), create)
			require.NoError(t, err, create)
		}
		want := describeSQLite(t, made)
		require.Equal(t, want, describeSQLite(t, byHand))
		s := migrated(t, byHand)
		require.Equal(t, want, describeSQLite(t, byHand), "nothing was changed")
		storetest.Run(t, func(*testing.T) store.Store { return s })
	})
}

// lines returns the rows of a query, whose columns are texts.
func lines(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	columns, err := rows.Columns()
	require.NoError(t, err)
	for rows.Next() {
		fields, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range fields {
			into[i] = &fields[i]
		}
		require.NoError(t, rows.Scan(into...))
		var line []string
		for _, f := range fields {
			line = append(line, f.String)
		}
		all = append(all, strings.Join(line, " | "))
	}
	require.NoError(t, rows.Err())
	require.NotEmpty(t, all)
	return all
}

func describePostgres(t *testing.T, db *sql.DB) []string {
	t.Helper()
	return slices.Concat(
		lines(t, db, `SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text, a.atthasdef::text, l.collname
			FROM pg_attribute AS a LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
			WHERE a.attrelid = 'sessions'::regclass AND a.attnum > 0 ORDER BY a.attnum`),
		lines(t, db, `SELECT indexdef FROM pg_indexes WHERE tablename = 'sessions' ORDER BY indexname`),
		lines(t, db, `SELECT reloptions::text, relpersistence::text, relkind::text FROM pg_class WHERE oid = 'sessions'::regclass`),
		lines(t, db, `SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'sessions'::regclass AND contype <> 'n'`),
	)
}

func describeMariaDB(t *testing.T, db *sql.DB) []string {
	t.Helper()
	return lines(t, db, `SHOW CREATE TABLE sessions`)
}

func describeSQLite(t *testing.T, db *sql.DB) []string {
	t.Helper()
	all := lines(t, db, `SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name`)
	for i := range all { // SQLite keeps the statement as it was written
		all[i] = strings.Join(strings.Fields(strings.NewReplacer(`"`, "", "(", " ( ", ")", " ) ").Replace(all[i])), " ")
	}
	return all
}

// restrictPostgres makes a role that may only do what docs/stores.md names.
func restrictPostgres(t *testing.T, admin *sql.DB, dsn, grant string) string {
	t.Helper()
	role := newTable(t, admin) + "r"
	run := func(query string) {
		t.Helper()
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), query)
		require.NoError(t, err, query)
	}
	run("CREATE ROLE " + role)
	t.Cleanup(func() { run("DROP OWNED BY " + role + "; DROP ROLE " + role) })
	run("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	run(replaceUser(t, grant, role))
	return addParam(dsn, "role="+role)
}

// restrictMariaDB makes a user that may only do what docs/stores.md names.
func restrictMariaDB(t *testing.T, admin *sql.DB, dsn, grant string) string {
	t.Helper()
	name := newTable(t, admin) + "u"
	run := func(query string) {
		t.Helper()
		_, err := admin.ExecContext(context.WithoutCancel(t.Context()), query)
		require.NoError(t, err, query)
	}
	run("CREATE USER " + name)
	t.Cleanup(func() { run("DROP USER " + name) })
	run(replaceUser(t, grant, name))
	_, rest, ok := strings.Cut(dsn, "@")
	require.True(t, ok)
	return name + "@" + rest
}

func replaceUser(t *testing.T, grant, user string) string {
	t.Helper()
	require.Contains(t, grant, " TO web")
	return strings.Replace(strings.TrimSuffix(strings.TrimSpace(grant), ";"), " TO web", " TO "+user, 1)
}
