package servers

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// kinds are the servers that keep data.
var kinds = []struct {
	kind   Kind
	shared func(testing.TB) *Server
	start  func(testing.TB, ...Option) *Server
	// once stores something that is not there, and fails if it is.
	once func(*Server) error
}{
	{KindPostgreSQL, PostgreSQL, StartPostgreSQL, func(s *Server) error { return s.query(postgresDatabases{}, "CREATE TABLE once (n int)") }},
	{KindMariaDB, MariaDB, StartMariaDB, func(s *Server) error { return s.query(mariadbDatabases{}, "CREATE TABLE test.once (n int)") }},
	{KindRedis, Redis, StartRedis, func(s *Server) error {
		conn, err := net.DialTimeout("tcp", s.DSN(), 5*time.Second)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprint(conn, "SETNX once 1\r\n"); err != nil {
			return err
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		if err == nil && answer != ":1\r\n" {
			err = fmt.Errorf("already exists: %q", answer)
		}
		return err
	}},
}

// ofEach runs a test for each kind of server, and skips those that are missing.
func ofEach(t *testing.T, f func(t *testing.T, i int)) {
	for i, k := range kinds {
		t.Run(string(k.kind), func(t *testing.T) { f(t, i) })
	}
}

func TestSharedServer(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) {
		s := kinds[i].shared(t)
		require.Equal(t, kinds[i].kind, s.Kind())
		require.Same(t, s, kinds[i].shared(t), "it is started once")
		require.True(t, s.Own())
		require.Contains(t, s.DSN(), s.Addr())
		require.NoError(t, s.engine.probe(short(t), s))

		require.ErrorIs(t, s.Kill(), errNotOurs)
		require.ErrorIs(t, s.Stop(), errNotOurs)
		require.ErrorIs(t, s.Start(), errNotOurs)
	})
}

func TestKillAndStopKeepData(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) {
		begin := time.Now()
		s := kinds[i].start(t, Durable())
		t.Logf("started in %v", time.Since(begin).Round(time.Millisecond))
		dsn := s.DSN()
		require.ErrorIs(t, s.Start(), errRunning)
		require.NoError(t, kinds[i].once(s))

		for name, end := range map[string]func() error{"killed": s.Kill, "stopped": s.Stop} {
			begin := time.Now()
			require.NoError(t, end(), name)
			ended := time.Since(begin)
			require.Error(t, s.engine.probe(short(t), s), "%s: nobody listens", name)
			require.Empty(t, processes(t, s.dir), name)
			require.NoError(t, end(), "%s: once more", name)

			begin = time.Now()
			require.NoError(t, s.Start(), name)
			t.Logf("%s in %v, started again in %v", name, ended.Round(time.Millisecond), time.Since(begin).Round(time.Millisecond))
			require.Equal(t, dsn, s.DSN(), name)
			require.Error(t, kinds[i].once(s), "%s: the data is kept", name)
		}
	})
}

func TestServerOfATestEndsWithIt(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) {
		var running, killed *Server
		t.Run("inner", func(t *testing.T) {
			running, killed = kinds[i].start(t), kinds[i].start(t)
			require.NotEqual(t, running.Addr(), killed.Addr())
			require.NoError(t, killed.Kill())
		})
		if running == nil || killed == nil {
			t.Skip("no server")
		}
		for _, s := range []*Server{running, killed} {
			require.NoDirExists(t, s.dir)
			require.Empty(t, processes(t, s.dir))
			require.ErrorIs(t, s.Start(), errClosed)
		}
	})
}

func TestDatabase(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) {
		s := kinds[i].shared(t)
		d := productOf(s.kind).database
		if d == nil {
			require.Equal(t, s.DSN(), s.Database(t))
			return
		}
		var mu sync.Mutex
		seen := map[string]bool{s.DSN(): true}
		t.Run("inner", func(t *testing.T) {
			var wg sync.WaitGroup
			for range 4 {
				wg.Go(func() {
					dsn := s.Database(t)
					mu.Lock()
					defer mu.Unlock()
					seen[dsn] = true
				})
			}
			wg.Wait()
			require.Len(t, seen, 5)
			seen[(&Server{kind: s.kind, given: s.DSN()}).Database(t)] = true
			require.Len(t, seen, 6, "a server of the environment makes databases too")
			for dsn := range seen {
				require.NoError(t, (&Server{kind: s.kind, given: dsn}).query(d, "CREATE TABLE a_table (n int)"), dsn)
			}
		})
		require.NoError(t, s.query(d, "DROP TABLE a_table"))
		for dsn := range seen {
			if dsn != s.DSN() {
				require.Error(t, (&Server{kind: s.kind, given: dsn}).query(d, "SELECT 1"), "it is dropped")
			}
		}
	})
}

func TestPgBouncer(t *testing.T) {
	pg := StartPostgreSQL(t)
	b := StartPgBouncer(t, pg)
	require.Equal(t, KindPgBouncer, b.Kind())
	require.NoError(t, kinds[0].once(b))
	require.Error(t, kinds[0].once(pg), "it is the same database")

	behind := &Server{kind: KindPostgreSQL, given: b.Database(t)}
	require.NoError(t, kinds[0].once(behind))

	require.NoError(t, pg.Kill())
	require.NoError(t, pg.Start())
	require.Eventually(t, func() bool { return kinds[0].once(b) != nil && b.query(postgresDatabases{}, "SELECT 1") == nil },
		20*time.Second, 50*time.Millisecond, "it connects again")
	require.NoError(t, b.Kill())
	require.NoError(t, b.Start())
	require.NoError(t, b.query(postgresDatabases{}, "SELECT 1"))
}

func TestPortIsTaken(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) { requireWaitsForPort(t, kinds[i].start(t)) })
	t.Run("PgBouncer", func(t *testing.T) { requireWaitsForPort(t, StartPgBouncer(t, PostgreSQL(t))) })
}

func requireWaitsForPort(t *testing.T, s *Server) {
	t.Helper()
	require.NoError(t, s.Kill())
	l, err := net.Listen("tcp", s.Addr())
	require.NoError(t, err)
	require.NoError(t, l.(*net.TCPListener).SetDeadline(time.Now().Add(20*time.Second)))
	started := make(chan error, 1)
	go func() { started <- s.Start() }()
	for range 2 { // the probes get whoever has the port
		conn, err := l.Accept()
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	require.NoError(t, l.Close())
	require.NoError(t, <-started, "it waits for its port")
}

func TestFailureHasTheLog(t *testing.T) {
	s := StartPostgreSQL(t)
	require.NoError(t, s.Stop())
	require.NoError(t, os.Remove(s.path("data/PG_VERSION")))
	err := s.Start()
	require.ErrorContains(t, err, "PG_VERSION")
	require.ErrorContains(t, err, "it ended at once")
	require.Empty(t, processes(t, s.dir))
}

// long leaves a test out where -short asks for a look only.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long")
	}
}
