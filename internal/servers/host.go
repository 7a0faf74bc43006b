package servers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// homePrefix begins the names of the folders of test binaries, in os.TempDir.
const homePrefix = "session-servers-"

// host is what one test binary has started.
type host struct {
	places  *places                                                   // nil: the usual ones
	install func(ctx context.Context, missing func() []product) error // nil: that of Debian

	mu     sync.Mutex
	open   bool // Main is there to clean up
	home   *os.File
	live   map[*Server]bool
	shared map[Kind]*sharedServer
}

// sharedServer is started by the first test that asks for it.
type sharedServer struct {
	once   sync.Once
	server *Server
	err    error
}

var errNoMain = errors.New("servers: TestMain has to call servers.Main, which ends what tests have started")

// share returns the shared server of a kind, and starts it for the first test.
func (h *host) share(p product) (*Server, error) {
	h.mu.Lock()
	if h.shared == nil {
		h.shared = map[Kind]*sharedServer{}
	}
	one := h.shared[p.kind]
	if one == nil {
		one = &sharedServer{}
		h.shared[p.kind] = one
	}
	h.mu.Unlock()
	one.once.Do(func() { one.server, one.err = h.start(&Server{kind: p.kind}, p) })
	return one.server, one.err
}

// start makes and starts a server, after installing it if that is wanted.
func (h *host) start(s *Server, p product) (*Server, error) {
	if !h.opened() {
		return nil, errNoMain
	}
	found, err := h.obtain(p)
	if err != nil {
		return nil, err
	}
	s.engine, s.host = found, h
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := h.admit(s); err != nil {
		return nil, err
	}
	if err = s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (h *host) opened() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// begin makes the files of the server, and starts it.
func (s *Server) begin(ctx context.Context) error {
	as, err := s.engine.account()
	if err != nil {
		return err
	}
	if as != nil {
		if err := os.Chown(s.dir, int(as.uid), int(as.gid)); err != nil {
			return err
		}
	}
	if err := s.engine.prepare(ctx, s); err != nil {
		return fmt.Errorf("servers: preparing %s: %w", s.kind, err)
	}
	return s.start(ctx)
}

// admit gives the server a folder.
func (h *host) admit(s *Server) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.open { // it was, before the installation
		return errClosed
	}
	if h.home == nil {
		sweep()
		var err error
		if h.home, err = newHome(); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(h.home.Name(), strings.ToLower(string(s.kind))+"-")
	if err != nil {
		return err
	}
	s.dir = dir
	if h.live == nil {
		h.live = map[*Server]bool{}
	}
	h.live[s] = true
	return nil
}

func (h *host) forget(s *Server) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.live, s)
}

// close ends all servers. No server can be started then.
func (h *host) close() error {
	h.mu.Lock()
	h.open = false
	var live []*Server
	for s := range h.live {
		live = append(live, s)
	}
	h.mu.Unlock()
	var errs []error
	for _, s := range live {
		errs = append(errs, s.close())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.home != nil {
		errs = append(errs, os.RemoveAll(h.home.Name()), h.home.Close())
		h.home = nil
	}
	return errors.Join(errs...)
}

// newHome makes the folder of this test binary, and locks it: see sweep.
func newHome() (*os.File, error) {
	for {
		dir, err := os.MkdirTemp("", homePrefix)
		if err != nil {
			return nil, err
		}
		// Servers that run as another user have to get to their own folder.
		if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // G302: nobody else can list it
			return nil, err
		}
		f, err := os.Open(dir) //nolint:gosec // G304: made above
		if err != nil {
			return nil, err
		}
		if tryLock(f) == nil && exists(dir) { // otherwise another one has swept it away
			return f, nil
		}
		_ = f.Close()
	}
}

// sweep removes the folders of test binaries that were killed. A folder is in use
// as long as it is locked, which a lock of the kernel tells surer than a process
// number: containers share folders, not numbers.
func sweep() {
	found, err := filepath.Glob(filepath.Join(os.TempDir(), homePrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		info, err := os.Lstat(dir)
		// Not a fresh one: its owner is about to lock it.
		if err != nil || !info.IsDir() || !mine(info) || time.Since(info.ModTime()) < time.Second {
			continue
		}
		f, err := os.Open(dir) //nolint:gosec // G304: a folder of ours
		if err != nil {
			continue
		}
		if tryLock(f) == nil {
			_ = os.RemoveAll(dir)
		}
		_ = f.Close()
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path) //nolint:gosec // G703: it is only looked at
	return err == nil
}
