package sqlstore_test

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

func TestNewNamesEveryProblem(t *testing.T) {
	t.Parallel()
	s, err := sqlstore.New(nil, sqlstore.Dialect(99), sqlstore.WithTable("a b"))
	require.Nil(t, s)
	require.ErrorContains(t, err, "db is nil")
	require.ErrorContains(t, err, "unknown dialect Dialect(99)")
	require.ErrorContains(t, err, `"a b" is no name for a table`)

	_, err = sqlstore.New(nil, sqlstore.SQLite)
	require.ErrorContains(t, err, "db is nil")
	require.NotContains(t, err.Error(), "dialect")

	db := sql.OpenDB(&fake{})
	defer func() { require.NoError(t, db.Close()) }()
	_, err = sqlstore.New(db, 0)
	require.ErrorContains(t, err, "Dialect(0)")
}

func TestTableNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 48)
	for name, ok := range map[string]bool{
		"sessions": true, "Sessions": true, "_s1": true, "select": true, "main.sessions": true, long: true, long + "." + long: true,
		"": false, ".": false, "a.": false, ".a": false, "a.b.c": false, "1a": false, "a b": false, "a-b": false, `a"b`: false,
		"a;DROP TABLE b": false, "ä": false, "a\x00": false, long + "x": false, "sqlite_sessions": false, "main.SQLite_x": false,
	} {
		db := sql.OpenDB(&fake{})
		_, err := sqlstore.New(db, sqlstore.SQLite, sqlstore.WithTable(name))
		require.NoError(t, db.Close())
		if ok {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, "is no name for a table", "%q", name)
		}
	}
}

func TestDialectString(t *testing.T) {
	t.Parallel()
	require.Equal(t, "SQLite", sqlstore.SQLite.String())
	require.Equal(t, "PostgreSQL", sqlstore.PostgreSQL.String())
	require.Equal(t, "MySQL", sqlstore.MySQL.String())
	require.Equal(t, "Dialect(0)", sqlstore.Dialect(0).String())
}
