package servers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 60 * time.Second // for a server to serve
	pollTime  = 20 * time.Millisecond

	// Ports are chosen below those that systems give to outgoing connections,
	// which could take the port of a server that is down between Kill and Start.
	firstPort, endPort = 20_000, 32_000
)

var (
	errNotOurs = errors.New("servers: not started by the test: see StartPostgreSQL, StartMariaDB and StartRedis")
	errRunning = errors.New("servers: it runs")
	errClosed  = errors.New("servers: the test binary is ending")
	errPort    = errors.New("the port is in use")
)

// Option changes how a server is started.
type Option func(*Server)

// Durable lets the server keep every acknowledged change when it is killed. The
// default is faster, and for tests that do not end the server: PostgreSQL and
// MariaDB may lose changes then, and Redis keeps nothing.
func Durable() Option { return func(s *Server) { s.durable = true } }

// Pooling is the pool_mode of PgBouncer: session, transaction or statement.
func Pooling(mode string) Option { return func(s *Server) { s.pooling = mode } }

// Server is a database server. It is safe for concurrent use.
type Server struct {
	kind    Kind
	given   string // the DSN from the environment; empty if the server was started here
	private bool   // a test may stop it
	durable bool
	engine  engine
	host    *host
	dir     string
	behind  int // port of the server that this one is in front of
	pooling string

	mu      sync.Mutex
	port    int // stays the same once the server has run
	process *process
	closed  bool
}

// DSN returns what a driver needs to connect, for each kind in the form of its
// usual Go driver:
//
//	PostgreSQL, PgBouncer  postgres://postgres@127.0.0.1:PORT/postgres?sslmode=disable
//	MariaDB                root@tcp(127.0.0.1:PORT)/test?parseTime=true&loc=UTC
//	Redis                  127.0.0.1:PORT
//	MongoDB                mongodb://127.0.0.1:PORT/
//
// A server from the environment has the DSN given there.
func (s *Server) DSN() string {
	if s.given != "" {
		return s.given
	}
	return s.engine.dsn(s.port)
}

// Kind returns the product that the server runs.
func (s *Server) Kind() Kind { return s.kind }

// Own says whether the server was started here: it is not one from the
// environment.
func (s *Server) Own() bool { return s.given == "" }

// Addr returns host and port of a server that was started here, and nothing for
// one from the environment.
func (s *Server) Addr() string {
	if !s.Own() {
		return ""
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Stop ends the server in good order and waits until its last process has
// ended; Start starts it again. It is an error for a shared server, and none
// for one that does not run.
func (s *Server) Stop() error {
	return s.down(func(e engine) syscall.Signal { stop, _ := e.signals(); return stop })
}

// Kill ends the server by SIGKILL and waits until its last process has ended;
// Start starts it again. It is an error for a shared server, and none for one
// that does not run. What the server then still knows: see Durable.
func (s *Server) Kill() error {
	return s.down(func(engine) syscall.Signal { return syscall.SIGKILL })
}

func (s *Server) down(signal func(engine) syscall.Signal) error {
	if !s.private {
		return errNotOurs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.process.end(signal(s.engine)); err != nil {
		return s.failure(err)
	}
	s.process = nil
	return nil
}

// Start starts a server after Stop or Kill, on the same port and with the same
// data, and returns when it serves. It is an error if the server runs, is
// shared, or does not serve within a minute; the error then has its log.
func (s *Server) Start() error {
	if !s.private {
		return errNotOurs
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return s.start(ctx)
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errClosed
	}
	if s.process != nil {
		if s.process.running() {
			return errRunning
		}
		if err := s.process.end(syscall.SIGKILL); err != nil { // what is left of a crash
			return s.failure(err)
		}
	}
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	fresh := s.port == 0
	for {
		if fresh {
			var err error
			if s.port, err = freePort(ctx); err != nil {
				return err
			}
		}
		err := s.try(ctx, tick)
		if !errors.Is(err, errPort) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

// try starts the process once, and waits until it serves.
func (s *Server) try(ctx context.Context, tick *time.Ticker) error {
	as, err := s.engine.account()
	if err != nil {
		return err
	}
	// Not of ctx: that is how long the start may take.
	cmd := command(context.Background(), s.dir, as, s.engine.command(s)...)
	endWithParent(cmd)
	if s.process, err = start(cmd); err != nil {
		return err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		probe := s.engine.probe(attempt, s)
		cancel()
		if probe == nil && s.process.running() {
			return nil
		}
		select {
		case <-s.process.exited:
			if err := s.process.end(syscall.SIGKILL); err != nil { // and the log is complete
				return s.failure(err)
			}
			if strings.Contains(s.process.log.String(), "ddress already in use") {
				return fmt.Errorf("%s: %w: %d", s.kind, errPort, s.port)
			}
			return s.failure(errors.New("it ended at once"))
		case <-ctx.Done():
			_ = s.process.end(syscall.SIGKILL)
			return s.failure(fmt.Errorf("it does not serve: %w: %w", ctx.Err(), probe))
		case <-tick.C:
		}
	}
}

// failure adds what is needed to see the cause.
func (s *Server) failure(err error) error {
	return fmt.Errorf("servers: %s on port %d: %w; its log:\n%s", s.kind, s.port, err, s.process.log)
}

// close ends the server for good and removes its files.
func (s *Server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.host.forget(s)
	if s.process != nil {
		_, discard := s.engine.signals()
		if err := s.process.end(discard); err != nil {
			return s.failure(err)
		}
	}
	s.engine.release(context.Background(), s)
	return os.RemoveAll(s.dir)
}

// closeAfter ends the server with the test, and shows the log of a test that failed.
func (s *Server) closeAfter(t testing.TB) {
	t.Cleanup(func() {
		s.mu.Lock()
		last := s.process
		s.mu.Unlock()
		if t.Failed() && last != nil {
			t.Logf("log of %s:\n%s", s.kind, last.log)
		}
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// freePort returns a port that nobody listens on at the moment.
func freePort(ctx context.Context) (int, error) {
	var err error
	for range 100 {
		port := firstPort + rand.N(endPort-firstPort) //nolint:gosec // G404: a port is no secret
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
