package servers

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"
)

// queryTime is how long creating or dropping a database may take.
const queryTime = 30 * time.Second

var errNoClient = errors.New("no client program")

// Database returns the DSN of a new database for this test, which is dropped when
// the test ends if the server still runs then. Its name is unique on every
// machine. Redis has no such thing: there the DSN is the server's. So it is for a
// server from the environment where a database cannot be created, which the log
// of the test says; tests keep apart by the names of their tables as well, then.
// A database of MongoDB comes to be when something is stored in it, and who stores
// it there drops it.
//
// It may be called from several goroutines.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	p := productOf(s.kind)
	d := p.database
	name := "session_test_" + strings.ToLower(rand.Text()[:16])
	if p.within != nil {
		dsn, err := p.within(s.DSN(), name)
		if err != nil {
			t.Fatalf("servers: a database of %s: %v", s.kind, err)
		}
		return dsn
	}
	if d == nil {
		return s.DSN()
	}
	dsn, err := d.within(s.DSN(), name)
	if err == nil {
		err = s.query(d, "CREATE DATABASE "+name)
	}
	if err != nil {
		if s.Own() {
			t.Errorf("servers: a database of %s: %v", s.kind, err)
		} else {
			t.Logf("no database of its own, the one that was given is used: %v", err)
		}
		return s.DSN()
	}
	t.Cleanup(func() {
		// A server of a test may be down, and one of a developer is not ours to judge.
		_ = s.query(d, d.drop(name))
	})
	return dsn
}

func (s *Server) query(d databases, statement string) error {
	p := usual()
	if s.Own() {
		p = s.host.finder()
	}
	args, env, err := d.client(p, s.DSN(), statement)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), queryTime)
	defer cancel()
	cmd := command(ctx, "", nil, args...)
	cmd.Env = append(cmd.Env, env...)
	return run(cmd)
}
