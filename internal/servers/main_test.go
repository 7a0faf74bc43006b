package servers

// The tests are inside the package: they use machines that are made up, with
// other programs and another apt-get.

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// roleVariable makes the test binary play a role instead of running tests.
const roleVariable = "SERVERS_TEST_ROLE"

var roles = map[string]func() error{"hold": holdRole, "install": installRole, "obtain": obtainRole}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		if err := roles[name](); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	Main(m)
}

// player is another process in a role.
type player struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// play starts a process that ends with the test at the latest.
func play(t *testing.T, role string, env ...string) *player {
	t.Helper()
	var err error
	// Not os.Executable, which needs /proc to be mounted.
	p := &player{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(append(os.Environ(), roleVariable+"="+role), env...)
	p.cmd.Stderr = os.Stderr
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

func (p *player) line(t *testing.T) string {
	t.Helper()
	line, err := p.out.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line)
}

// verdict is a test that notes how it ended.
type verdict struct {
	testing.TB

	skipped, failed string
}

func (v *verdict) Skip(args ...any)  { v.skipped = fmt.Sprint(args...); panic(v) }
func (v *verdict) Fatal(args ...any) { v.failed = fmt.Sprint(args...); panic(v) }
func (v *verdict) Helper()           {}

// judge returns how a test ends that does f.
func judge(t *testing.T, f func(t testing.TB)) (v *verdict) {
	t.Helper()
	v = &verdict{TB: t}
	defer func() {
		if got := recover(); got != nil {
			require.Equal(t, any(v), got)
		}
	}()
	f(v)
	return v
}

// processes returns those whose arguments or working directory name a folder.
func processes(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil || len(entries) == 0 {
		t.Logf("no look at the processes: /proc is not mounted: %v", err)
		return nil
	}
	var found []string
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline")) // it may have ended
		cwd, _ := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if strings.Contains(string(line), dir) || strings.HasPrefix(cwd, dir) {
			found = append(found, fmt.Sprintf("%d %q in %s", pid, line, cwd))
		}
	}
	return found
}

// requireGone waits until no process of a folder is left.
func requireGone(t *testing.T, dir string) {
	t.Helper()
	require.Eventually(t, func() bool { return len(processes(t, dir)) == 0 }, 20*time.Second, 20*time.Millisecond,
		"processes are left: %v", processes(t, dir))
}

// short is a context for one attempt.
func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	t.Cleanup(cancel)
	return ctx
}
