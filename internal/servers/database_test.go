package servers

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPostgresDSN(t *testing.T) {
	p := *fakePlaces(t, "psql")
	for dsn, want := range map[string]struct {
		within string
		env    []string
	}{
		"postgres://ada:s%20cret@db:5433/main?sslmode=disable&pool_max_conns=3": {
			"postgres://ada:s%20cret@db:5433/other?pool_max_conns=3&sslmode=disable",
			[]string{"PGDATABASE=main", "PGHOST=db", "PGPASSWORD=s cret", "PGPORT=5433", "PGSSLMODE=disable", "PGUSER=ada"},
		},
		"postgres://[::1]/main?dbname=more": {"postgres://[::1]/other", []string{"PGDATABASE=main", "PGHOST=::1"}},
		"host=db user=ada password=secret":  {"host=db user=ada password=secret dbname=other", []string{"PGHOST=db", "PGPASSWORD=secret", "PGUSER=ada"}},
	} {
		got, err := postgresDatabases{}.within(dsn, "other")
		require.NoError(t, err)
		require.Equal(t, want.within, got)
		args, env, err := postgresDatabases{}.client(p, dsn, "SELECT 1")
		require.NoError(t, err)
		slices.Sort(env)
		require.Equal(t, want.env, env)
		require.NotContains(t, args, "secret")
	}
}

func TestMySQLDSN(t *testing.T) {
	p := *fakePlaces(t, "mysql")
	for dsn, want := range map[string]struct {
		within, password string
		args             []string
	}{
		"ada:s@c(r/et:@tcp(db:3307)/main?loc=UTC&tls=true": {
			"ada:s@c(r/et:@tcp(db:3307)/other?loc=UTC&tls=true", "s@c(r/et:",
			[]string{"--user=ada", "--protocol=tcp", "--host=db", "--port=3307", "--ssl"},
		},
		"ada@unix(/run/s)/main": {"ada@unix(/run/s)/other", "", []string{"--user=ada", "--socket=/run/s"}},
		"ada@/":                 {"ada@/other", "", []string{"--user=ada", "--host=127.0.0.1", "--port=3306"}},
		"tcp([::1])/?tls=false": {"tcp([::1])/other?tls=false", "", []string{"--host=[::1]", "--port=3306"}},
	} {
		got, err := mariadbDatabases{}.within(dsn, "other")
		require.NoError(t, err)
		require.Equal(t, want.within, got)
		args, env, err := mariadbDatabases{}.client(p, dsn, "SELECT 1")
		require.NoError(t, err)
		require.Subset(t, args, want.args)
		require.Equal(t, []string{"MYSQL_PWD=" + want.password}, env)
	}
}

func TestErrorsHaveNoPassword(t *testing.T) {
	for dsn, d := range map[string]databases{
		"postgres://ada:secret%zz@db/":   postgresDatabases{},
		"postgres://ada:secret@db:port/": postgresDatabases{},
		"password='secret'":              postgresDatabases{},
		"secret":                         postgresDatabases{},
		"ada:secret":                     mariadbDatabases{},
		"ada:secret@tcp(db/x":            mariadbDatabases{},
		"ada:secret@tcp(db)/x?a=%zz":     mariadbDatabases{},
	} {
		_, _, err := d.client(*fakePlaces(t, "psql", "mysql"), dsn, "SELECT 1")
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestDatabaseWithoutAClientIsTheGivenOne(t *testing.T) {
	_, _, err := postgresDatabases{}.client(*fakePlaces(t), "postgres://db/", "SELECT 1")
	require.ErrorIs(t, err, errNoClient)
	_, _, err = mariadbDatabases{}.client(*fakePlaces(t), "ada@/", "SELECT 1")
	require.ErrorIs(t, err, errNoClient)
}
