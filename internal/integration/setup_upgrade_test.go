package integration_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// What docs/stores.md says of Migrate and a table that is there: tests of Migrate
// itself have the columns.
func TestSetupUpgrade(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		create := statements(storesDoc(t).block(t, map[sqlstore.Dialect]string{
			sqlstore.PostgreSQL: "schema PostgreSQL", sqlstore.MySQL: "schema MySQL and MariaDB",
		}[srv.dialect]))
		for name, change := range map[string]*strings.Replacer{
			"what an index covers": strings.NewReplacer("(due)", "(version)", "(owner, id)", "(id, owner)"),
			"collation":            strings.NewReplacer(`COLLATE "C"`, ""),
			"fillfactor":           strings.NewReplacer("fillfactor = 70", "fillfactor = 90"),
		} {
			db := srv.open(t, srv.dsn(t))
			for _, text := range create {
				_, err := db.ExecContext(t.Context(), change.Replace(text))
				require.NoError(t, err, name)
			}
			describe := map[sqlstore.Dialect]func() []string{
				sqlstore.PostgreSQL: func() []string { return describePostgres(t, db) },
				sqlstore.MySQL:      func() []string { return describeMariaDB(t, db) },
			}[srv.dialect]
			before := describe()
			require.NoError(t, srv.newStore(t, db, sqlstore.DefaultTable).Migrate(t.Context()), name)
			require.Equal(t, before, describe(), name)
		}
	})
	t.Run("MyISAM", func(t *testing.T) {
		t.Parallel()
		db := maria.open(t, maria.dsn(t))
		for _, text := range statements(storesDoc(t).block(t, "schema MySQL and MariaDB")) {
			_, err := db.ExecContext(t.Context(), strings.ReplaceAll(text, "InnoDB", "MyISAM"))
			require.NoError(t, err)
		}
		err := maria.newStore(t, db, sqlstore.DefaultTable).Migrate(t.Context())
		require.ErrorIs(t, err, sqlstore.ErrTable)
		require.ErrorContains(t, err, "MyISAM")
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := openSQLite(t, dsn(newPath(t), bare))
		_, err := db.ExecContext(t.Context(), "CREATE TABLE sessions (token TEXT PRIMARY KEY)")
		require.NoError(t, err)
		before := describeSQLite(t, db)
		require.ErrorIs(t, newStore(t, db).Migrate(t.Context()), sqlstore.ErrTable)
		require.Equal(t, before, describeSQLite(t, db))
		require.Equal(t, []string{"wal"}, lines(t, db, "PRAGMA journal_mode"), "that comes first")
	})
}
