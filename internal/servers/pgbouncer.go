package servers

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// pgbouncer is the path of its program.
type pgbouncer string

func pgbouncerProduct() product {
	return product{
		kind:     KindPgBouncer,
		packages: []string{"pgbouncer"},
		services: []string{"pgbouncer"},
		locate: func(p places) (engine, bool) {
			path, ok := p.program("pgbouncer")
			return pgbouncer(path), ok
		},
		database: postgresDatabases{},
	}
}

// The port is only known when the server starts.
func (pgbouncer) prepare(context.Context, *Server) error { return nil }

const pgbouncerSettings = `[databases]
* = host=127.0.0.1 port=%d user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
max_client_conn = 500
default_pool_size = 20
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
`

func (e pgbouncer) command(s *Server) []string {
	settings := s.path("pgbouncer.ini")
	text := fmt.Sprintf(pgbouncerSettings, s.behind, s.port, s.pooling)
	// No secret is in it, and another user has to read it. If it cannot be written
	// the program says so.
	_ = os.WriteFile(settings, []byte(text), 0o644) //nolint:gosec // G306: see above
	return []string{string(e), settings}
}

func (pgbouncer) probe(ctx context.Context, s *Server) error { return probePostgres(ctx, s) }

func (pgbouncer) dsn(port int) string { return postgres("").dsn(port) }

func (pgbouncer) signals() (stop, discard syscall.Signal) { return syscall.SIGTERM, syscall.SIGKILL }

func (pgbouncer) account() (*account, error) { return unprivileged() }

func (pgbouncer) release(context.Context, *Server) {}
