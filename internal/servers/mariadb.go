package servers

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// mariadb is the paths of its programs.
type mariadb struct{ server, install, client string }

func mariadbProduct() product {
	return product{
		kind:     KindMariaDB,
		variable: "SESSION_TEST_MYSQL_DSN",
		// Without the services and the data of the package mariadb-server.
		packages: []string{"mariadb-server-core", "mariadb-client-core"},
		locate: func(p places) (engine, bool) {
			server, ok := p.program("mariadbd")
			install, ok2 := p.program("mariadb-install-db")
			client, ok3 := p.program("mariadb")
			return mariadb{server, install, client}, ok && ok2 && ok3
		},
		database: mariadbDatabases{},
	}
}

// shared are the options that both the preparation and the server need.
func (e mariadb) shared(s *Server) []string {
	args := []string{
		"--no-defaults", "--datadir=" + s.path("data"), "--innodb-log-file-size=16M",
		// A server that starts removes the temporary tables of all others there.
		"--tmpdir=" + s.dir,
	}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root") // it refuses root unless it is named
	}
	return args
}

func (e mariadb) prepare(ctx context.Context, s *Server) error {
	args := append([]string{e.install}, e.shared(s)...)
	args = append(args, "--auth-root-authentication-method=normal", "--skip-test-db")
	if os.Geteuid() != 0 {
		if u, err := user.Current(); err == nil {
			args = append(args, "--user="+u.Username)
		}
	}
	if err := run(command(ctx, s.dir, nil, args...)); err != nil {
		return err
	}
	// Read by the server each time it starts.
	return os.WriteFile(s.path("start.sql"), []byte("CREATE DATABASE IF NOT EXISTS test;\n"), 0o600)
}

func (e mariadb) command(s *Server) []string {
	args := append([]string{e.server}, e.shared(s)...)
	args = append(
		args,
		"--init-file="+s.path("start.sql"),
		"--bind-address=127.0.0.1", "--port="+strconv.Itoa(s.port),
		"--socket="+s.path("s"), "--pid-file="+s.path("pid"),
		"--max-connections=250", "--skip-name-resolve", "--innodb-buffer-pool-size=128M",
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_bin",
	)
	if s.durable {
		return append(args, "--innodb-flush-log-at-trx-commit=1", "--sync-binlog=1")
	}
	return append(args, "--innodb-flush-log-at-trx-commit=0", "--sync-binlog=0")
}

// probe asks a client too: a greeting comes before everything is ready.
func (e mariadb) probe(ctx context.Context, s *Server) error {
	if err := probeMariaDB(ctx, s); err != nil {
		return err
	}
	return run(command(ctx, s.dir, nil, e.client, "--no-defaults", "--protocol=tcp", "--host=127.0.0.1",
		"--port="+strconv.Itoa(s.port), "--user=root", "--execute=SELECT 1", "test"))
}

func (mariadb) dsn(port int) string {
	return fmt.Sprintf("root@tcp(127.0.0.1:%d)/test?parseTime=true&loc=UTC", port)
}

func (mariadb) signals() (stop, discard syscall.Signal) { return syscall.SIGTERM, syscall.SIGKILL }

func (mariadb) account() (*account, error) { return nil, nil } //nolint:nilnil // that of the tests

func (mariadb) release(context.Context, *Server) {}
