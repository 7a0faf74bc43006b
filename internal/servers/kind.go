package servers

import (
	"context"
	"syscall"
)

// Kind is the product that a server runs.
type Kind string

// The kinds of servers.
const (
	KindPostgreSQL Kind = "PostgreSQL"
	KindMariaDB    Kind = "MariaDB"
	KindRedis      Kind = "Redis"
	KindPgBouncer  Kind = "PgBouncer"
)

// product is what has to be known about a kind.
type product struct {
	kind     Kind
	variable string   // of the environment, names a server to use; empty if there is none
	packages []string // of Debian
	services []string // of these packages, which must not start at boot
	locate   func(places) (engine, bool)
	database databases // nil if it has none to create

	build  func() (engine, error)                 // nil unless it is built, not installed
	within func(dsn, name string) (string, error) // nil unless naming a database creates it
}

// databases creates and drops databases with the client program of a kind.
type databases interface {
	// within returns dsn for another database.
	within(dsn, name string) (string, error)
	// client returns the program with the arguments that run a statement, and the
	// environment that says where. Passwords are in the environment only.
	client(p places, dsn, statement string) (args, env []string, err error)
	drop(name string) string
}

// engine runs servers of one kind with the programs that were found.
type engine interface {
	// prepare makes the files of the server, once in its life.
	prepare(ctx context.Context, s *Server) error
	// command is the server's own process, which must not go to the background.
	command(s *Server) []string
	// probe says whether the server serves. It is called until it returns nil.
	probe(ctx context.Context, s *Server) error
	// dsn of the database that is there from the beginning.
	dsn(port int) string
	// signals that end it: so that it can start again, and for good.
	signals() (stop, discard syscall.Signal)
	// account that runs it; nil is the one of the tests.
	account() (*account, error)
	// release gives back what the kernel keeps for a killed server.
	release(ctx context.Context, s *Server)
}

func products() []product {
	return []product{postgresProduct(), mariadbProduct(), redisProduct(), pgbouncerProduct()}
}

func productOf(kind Kind) product {
	for _, p := range append(products(), mongoProduct()) {
		if p.kind == kind {
			return p
		}
	}
	panic("servers: no such kind: " + string(kind))
}
