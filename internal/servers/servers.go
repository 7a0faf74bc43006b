package servers

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// here is what this test binary has started: one binary, one set of servers.
var here host

// Main is for TestMain: it runs the tests, then ends every server that they have
// started and removes their files. It also does so when the test binary is
// interrupted or terminated. It returns, and then package testing exits with the
// result of the tests; it exits with 1 if a server cannot be ended. Main is
// called once.
func Main(m *testing.M) {
	stop := here.hold()
	m.Run()
	if err := stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// hold lets servers start until the function that it returns is called.
func (h *host) hold() (stop func() error) {
	h.mu.Lock()
	h.open = true
	h.mu.Unlock()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-done:
		case sig := <-signals:
			waitInstalled()
			if err := h.close(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
			code := 1
			if number, ok := sig.(syscall.Signal); ok {
				code = 128 + int(number)
			}
			os.Exit(code)
		}
	}()
	return func() error {
		signal.Stop(signals)
		close(done)
		<-ended
		return h.close()
	}
}

// PostgreSQL returns the server that SESSION_TEST_POSTGRES_DSN names, otherwise
// one that all tests of this binary share; the first test that asks starts it.
// Where none is installed the test is skipped, or has failed if installing was
// asked for and did not help. It accepts 250 connections; see Durable for what it does not do.
//
// It is called from the goroutine of the test, like t.Fatal.
func PostgreSQL(t testing.TB) *Server {
	t.Helper()
	return shared(t, KindPostgreSQL)
}

// MariaDB is like PostgreSQL for MariaDB and SESSION_TEST_MYSQL_DSN. The server
// has utf8mb4, a database test, and a root without a password.
func MariaDB(t testing.TB) *Server {
	t.Helper()
	return shared(t, KindMariaDB)
}

// Redis is like PostgreSQL for Redis and SESSION_TEST_REDIS_ADDR.
func Redis(t testing.TB) *Server {
	t.Helper()
	return shared(t, KindRedis)
}

// StartPostgreSQL starts a server for this test only, which may stop it. The
// server ends with the test. The environment cannot name another one in its
// place; otherwise it is like PostgreSQL.
func StartPostgreSQL(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return private(t, KindPostgreSQL, opts...)
}

// StartMariaDB is like StartPostgreSQL for MariaDB.
func StartMariaDB(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return private(t, KindMariaDB, opts...)
}

// StartRedis is like StartPostgreSQL for Redis.
func StartRedis(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return private(t, KindRedis, opts...)
}

// StartPgBouncer starts a pooler for this test only, with 20 connections for each
// database, in front of a server that PostgreSQL or StartPostgreSQL has started.
// The default is Pooling("transaction"). The test is skipped if pg is from the
// environment.
func StartPgBouncer(t testing.TB, pg *Server, opts ...Option) *Server {
	t.Helper()
	if pg.kind != KindPostgreSQL {
		t.Fatalf("servers: PgBouncer in front of %s", pg.kind)
	}
	if !pg.Own() {
		t.Skip("the PostgreSQL server is not one that was started here")
	}
	first := func(s *Server) { s.behind, s.pooling = pg.port, "transaction" }
	return private(t, KindPgBouncer, append([]Option{first}, opts...)...)
}

func shared(t testing.TB, kind Kind) *Server {
	t.Helper()
	p := productOf(kind)
	if dsn := os.Getenv(p.variable); dsn != "" {
		return &Server{kind: kind, given: dsn}
	}
	s, err := here.share(p)
	demand(t, err)
	return s
}

func private(t testing.TB, kind Kind, opts ...Option) *Server {
	t.Helper()
	s := &Server{kind: kind, private: true}
	for _, opt := range opts {
		opt(s)
	}
	p := productOf(kind)
	p.variable = "" // no help here: the test needs a server of its own
	s, err := here.start(s, p)
	demand(t, err)
	s.closeAfter(t)
	return s
}

// demand ends the test if there is no server.
func demand(t testing.TB, err error) {
	t.Helper()
	var missing *missingError
	switch {
	case err == nil:
	case errors.As(err, &missing) && !missing.wanted:
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// missingError is about a server that is not installed.
type missingError struct {
	product product
	wanted  bool  // installing was asked for
	cause   error // why it did not help
}

func (e *missingError) Error() string {
	packages := strings.Join(e.product.packages, " ")
	if e.wanted {
		return fmt.Sprintf("servers: %s is missing, Debian's packages are: %s: %v", e.product.kind, packages, e.cause)
	}
	if e.cause != nil {
		return fmt.Sprintf("no %s here: %v", e.product.kind, e.cause)
	}
	text := fmt.Sprintf("%s is not installed. %s=1 as root on Debian runs: apt-get install %s", e.product.kind, installVariable, packages)
	if e.product.variable != "" {
		text += fmt.Sprintf(". %s names a server to use instead", e.product.variable)
	}
	return text
}

func (e *missingError) Unwrap() error { return e.cause }
