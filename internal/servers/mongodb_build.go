package servers

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	standInFolder = "internal/mongostandin"
	buildTime     = 8 * time.Minute
)

// builtStandIn builds the stand-in, once in this process, and returns its path.
var builtStandIn = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), buildTime)
	defer cancel()
	path, err := buildStandIn(ctx)
	if err != nil {
		return "", fmt.Errorf("the MongoDB stand-in cannot be built: %w", err)
	}
	return path, nil
})

// buildStandIn builds the program into the cache of the user, where it is built
// anew only after it has changed. Each copy of the repository has a file there.
func buildStandIn(ctx context.Context) (string, error) {
	source, err := standInSource()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "typedsession-tests")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	path := filepath.Join(cache, fmt.Sprintf("mongostandin-%08x", crc32.ChecksumIEEE([]byte(source))))
	// Two builds at once would compile all packages twice.
	unlock, err := lockFolder(ctx, cache)
	if err != nil {
		return "", fmt.Errorf("no other process may build it: %w", err)
	}
	defer unlock()
	// The flags of whoever runs the tests, for example -race, are not for it.
	env := append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "PWD="+source)
	return path, compile(ctx, source, env, "go", "build", "-buildvcs=false", "-o", path, ".")
}

// compile runs a command with all its children. They end with ctx and when the test
// binary is interrupted: Main's handler waits for oneInstall. Where it is killed,
// Linux kills the command; what its children do at the moment they finish.
func compile(ctx context.Context, dir string, env []string, args ...string) error {
	oneInstall.Lock()
	defer oneInstall.Unlock()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := ctx.Err(); err != nil {
		return err
	}
	cmd := command(context.Background(), dir, nil, args...)
	cmd.Env = env
	endWithParent(cmd)
	p, err := start(cmd)
	if err != nil {
		return err
	}
	select {
	case <-p.gone:
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.end(syscall.SIGKILL))
	}
	if !cmd.ProcessState.Success() {
		return fmt.Errorf("%s: %s\n%s", args[0], cmd.ProcessState, p.log)
	}
	return nil
}

// standInSource returns the folder of the program's source: beside this file, or
// in a folder above that of the tests where this file's is not known.
func standInSource() (string, error) {
	var above []string
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) {
		above = append(above, file)
	}
	if dir, err := os.Getwd(); err == nil {
		above = append(above, filepath.Join(dir, "test"))
	}
	for _, path := range above {
		for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
			source := filepath.Join(dir, standInFolder)
			if exists(filepath.Join(source, "go.mod")) {
				return source, nil
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return "", errors.New("no folder above has " + standInFolder)
}
