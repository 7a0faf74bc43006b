package servers

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
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
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", path, ".") //nolint:gosec // G204: a path of ours
	cmd.Dir = source
	// The flags of whoever runs the tests, for example -race, are not for it.
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly", "PWD="+source)
	return path, run(cmd)
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
