package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// patience is how long a server may take to end.
const patience = 15 * time.Second

var errRemains = errors.New("a process of the server does not end")

// account is a user of the system.
type account struct{ uid, gid uint32 }

// unprivileged is for servers that refuse to run as root: PostgreSQL and what
// belongs to it. It is nil if this is not root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nil is an account: that of the tests
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &account{uint32(uid), uint32(gid)}, nil
}

// command makes a child in a process group of its own, so that an interrupt
// from the terminal does not reach it before this package decides.
func command(ctx context.Context, dir string, as *account, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // G204: programs of database servers, with arguments from here
	cmd.Dir = dir
	cmd.Env = environment()
	attributes(cmd, as)
	return cmd
}

// environment leaves out what would direct servers and clients elsewhere
// (PGHOST, MYSQL_HOST, ...), and asks for messages that can be recognized.
func environment() []string {
	env := []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH") + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	for _, name := range []string{"HOME", "TMPDIR", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// run waits for a command that ends by itself. The error has what it printed.
func run(cmd *exec.Cmd) error {
	cmd.WaitDelay = time.Second // for children that keep the output open
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd.Path, err, out)
	}
	return nil
}

// process is a server's process with all its children.
type process struct {
	pid    int
	log    *tail
	exited chan struct{} // closed when the process itself has ended
	gone   chan struct{} // closed when its children have as well
}

// start starts a server. A goroutine of its own keeps the operating system's
// thread that started it: Linux sends the signal that ends orphans when that
// thread ends, which is sooner than the process does.
func start(cmd *exec.Cmd) (*process, error) {
	// The pipe ends when the last process that has it does: PostgreSQL's children
	// leave the group, so this is the way to know that all of them are gone.
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = w, w
	p := &process{log: &tail{}, exited: make(chan struct{}), gone: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = w.Close()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		_ = r.Close()
		return nil, err
	}
	p.pid = cmd.Process.Pid
	go func() {
		_, _ = io.Copy(p.log, r)
		_ = r.Close()
		<-p.exited
		close(p.gone)
	}()
	return p, nil
}

func (p *process) running() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// end sends the signal, and kills what has not ended in time.
func (p *process) end(sig syscall.Signal) error {
	if p.running() {
		signalGroup(p.pid, sig)
	}
	if sig != syscall.SIGKILL {
		if p.waitGone() == nil {
			return nil
		}
		signalGroup(p.pid, syscall.SIGKILL)
	}
	return p.waitGone()
}

func (p *process) waitGone() error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
		return nil
	case <-timer.C:
		return errRemains
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 32 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, b...)
	if extra := len(t.text) - tailSize; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.text))
}
