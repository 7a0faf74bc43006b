package servers

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// postgres is a folder with its programs.
type postgres string

func postgresProduct() product {
	return product{
		kind:     KindPostgreSQL,
		variable: "SESSION_TEST_POSTGRES_DSN",
		packages: []string{"postgresql"},
		services: []string{"postgresql"},
		locate: func(p places) (engine, bool) {
			bin, ok := p.postgresBin()
			return postgres(bin), ok
		},
		database: postgresDatabases{},
	}
}

func (e postgres) program(name string) string { return filepath.Join(string(e), name) }

func (e postgres) prepare(ctx context.Context, s *Server) error {
	as, err := e.account()
	if err != nil {
		return err
	}
	// initdb writes to the disk what no test needs there; the server itself does,
	// if it is to be durable.
	return run(command(ctx, s.dir, as, e.program("initdb"),
		"--pgdata="+s.path("data"), "--username=postgres", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"))
}

func (e postgres) command(s *Server) []string {
	args := []string{e.program("postgres"), "-D", s.path("data"), "-p", strconv.Itoa(s.port)}
	settings := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=", // their paths have a short limit
		"max_connections=250",
		"dynamic_shared_memory_type=mmap", // in the data, and so removed with it
	}
	if !s.durable {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

func (postgres) probe(ctx context.Context, s *Server) error { return probePostgres(ctx, s) }

func (postgres) dsn(port int) string {
	return fmt.Sprintf("postgres://postgres@127.0.0.1:%d/postgres?sslmode=disable", port)
}

// Fast, and immediate: the latter writes nothing more.
func (postgres) signals() (stop, discard syscall.Signal) { return syscall.SIGINT, syscall.SIGQUIT }

func (postgres) account() (*account, error) { return unprivileged() }

// release removes the segment of shared memory that a killed server leaves: its
// number is in the file that a killed server leaves as well.
func (postgres) release(ctx context.Context, s *Server) {
	text, err := os.ReadFile(s.path("data/postmaster.pid"))
	if err != nil {
		return
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) < 7 {
		return
	}
	if ids := strings.Fields(lines[6]); len(ids) == 2 {
		_ = run(command(ctx, s.dir, nil, "ipcrm", "-m", ids[1]))
	}
}
