package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store/sqlstore"
)

// roleVariable makes the test binary play a role instead of running tests.
const roleVariable = "INTEGRATION_TEST_ROLE"

// roles are what another process can do in a test. A role ends with its context,
// reads what the test says to it, and writes what it has to say.
var roles = map[string]func(ctx context.Context, args []string, in *bufio.Reader, out io.Writer) error{
	"migrate":       migrateRole,
	"migrateserver": migrateServerRole,
	"write":         writeRole,
	"increment":     incrementRole,
	"flood":         floodRole,
	"serve":         serveRole,
}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		if err := roles[name](context.Background(), os.Args[1:], bufio.NewReader(os.Stdin), os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	// Servers are stopped here, and answers lost: the drivers need not say so.
	redis.SetLogger(silence{})
	if err := mysql.SetLogger(silence{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	servers.Main(m)
}

// silence is a logger for drivers.
type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}
func (silence) Print(...any)                           {}

// process is another process in a role.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
}

// play starts a process that ends with the test at the latest.
func play(t *testing.T, role string, args ...string) *process {
	t.Helper()
	require.Contains(t, roles, role)
	self, err := os.Executable()
	require.NoError(t, err)
	p := &process{t: t, cmd: exec.CommandContext(t.Context(), self, args...)}
	p.cmd.Env = append(os.Environ(), roleVariable+"="+role)
	p.cmd.Stderr = &p.stderr
	p.in, err = p.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	p.out = bufio.NewReader(out)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			_ = p.cmd.Process.Kill()
			_ = p.cmd.Wait()
		}
	})
	return p
}

// hear waits for a line of the process.
func (p *process) hear(want string) {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		p.t.Fatalf("the process ended: %v: %s", err, p.stderr.String())
	}
	require.Equal(p.t, want, strings.TrimSpace(line))
}

// say tells the process to go on.
func (p *process) say(line string) {
	p.t.Helper()
	_, err := fmt.Fprintln(p.in, line)
	require.NoError(p.t, err)
}

// end waits until the process has done its work, without an error.
func (p *process) end() {
	p.t.Helper()
	_, err := io.Copy(io.Discard, p.out)
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Wait(), "%s", &p.stderr)
}

// together starts n processes, waits until all are ready, and lets them work at
// the same time. It returns when all have ended.
func together(t *testing.T, n int, role string, args func(i int) []string) {
	t.Helper()
	var all []*process
	for i := range n {
		all = append(all, play(t, role, args(i)...))
	}
	for _, p := range all {
		p.hear("ready")
	}
	for _, p := range all {
		p.say("go")
	}
	for _, p := range all {
		p.end()
	}
}

// ready is the other side of together.
func ready(in *bufio.Reader, out io.Writer) error {
	if _, err := fmt.Fprintln(out, "ready"); err != nil {
		return err
	}
	_, err := in.ReadString('\n')
	return err
}

// storeOfRole opens the database of a role, until its process ends.
func storeOfRole(dsn string) (*sqlstore.Store, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	return sqlstore.New(db, sqlstore.SQLite)
}
