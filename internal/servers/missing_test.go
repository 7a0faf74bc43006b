package servers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// empty is a machine without servers.
func empty() *host {
	return &host{open: true, places: &places{path: func(string) (string, error) { return "", os.ErrNotExist }}}
}

func TestMissingServerSkips(t *testing.T) {
	t.Setenv(installVariable, "")
	for _, p := range products() {
		v := judge(t, func(t testing.TB) {
			_, err := empty().share(p)
			demand(t, err)
		})
		require.Empty(t, v.failed)
		require.Contains(t, v.skipped, string(p.kind))
		if supported {
			require.Contains(t, v.skipped, "SESSION_TEST_INSTALL=1")
			require.Contains(t, v.skipped, p.packages[0])
		}
	}
}

func TestMissingServerFailsWhereInstallingWasAskedFor(t *testing.T) {
	if !supported {
		t.Skip("nothing is started here")
	}
	t.Setenv(installVariable, "1")
	machines := map[string]installer{
		"apt-get":                  {root: true, apt: filepath.Join(t.TempDir(), "apt-get")},
		"installing it needs root": {root: false},
	}
	for want, machine := range machines {
		h := empty()
		h.install = machine.install
		for _, p := range products() {
			v := judge(t, func(t testing.TB) {
				_, err := h.share(p)
				demand(t, err)
			})
			require.Empty(t, v.skipped)
			require.Contains(t, v.failed, want)
			require.Contains(t, v.failed, p.packages[0])
		}
	}

	h := empty()
	h.install = func(context.Context, func() []product) error { return nil }
	_, err := h.share(redisProduct())
	require.ErrorContains(t, err, "not where they were looked for")
}

func TestServerOfTheEnvironment(t *testing.T) {
	for i, variable := range []string{"SESSION_TEST_POSTGRES_DSN", "SESSION_TEST_MYSQL_DSN", "SESSION_TEST_REDIS_ADDR"} {
		t.Setenv(variable, "user:secret@somewhere")
		s := kinds[i].shared(t)
		require.Equal(t, "user:secret@somewhere", s.DSN())
		require.False(t, s.Own())
		require.Empty(t, s.Addr())
		require.ErrorIs(t, s.Kill(), errNotOurs)
		require.Equal(t, s.DSN(), s.Database(t), "no database can be made there")
		require.Empty(t, Missing(kinds[i].kind))
	}
}

func TestNothingStartsWithoutMain(t *testing.T) {
	h := &host{places: fakePlaces(t, "redis-server")}
	_, err := h.share(redisProduct())
	require.ErrorIs(t, err, errNoMain)
}

func TestNewestPostgreSQL(t *testing.T) {
	dir := t.TempDir()
	for _, version := range []string{"9", "15", "16"} {
		bin := filepath.Join(dir, version, "bin")
		require.NoError(t, os.MkdirAll(bin, 0o700))
		programs := []string{"postgres", "initdb"}
		if version == "16" {
			programs = programs[:1] // a client's package
		}
		for _, name := range programs {
			require.NoError(t, os.WriteFile(filepath.Join(bin, name), nil, 0o700))
		}
	}
	t.Chdir(dir)
	p := places{path: func(string) (string, error) { return "", errors.New("not in PATH") }, postgres: []string{"*/bin"}}
	bin, ok := p.postgresBin()
	require.True(t, ok)
	require.Equal(t, filepath.Join("15", "bin"), bin)
}
