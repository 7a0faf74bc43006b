package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
)

const (
	toolsDir       = ".tools" // ignored by git
	installCommand = "go run ./internal/check -install"
)

// tool is a program of a pinned version.
type tool struct {
	name, version, source string
}

// The versions of all tools are here and nowhere else.
var (
	linter = tool{"golangci-lint", "v2.15.0", "github.com/golangci/golangci-lint/v2/cmd/golangci-lint"}

	tools = []tool{linter}
)

// dir is the tool's folder below the root. The version is in its name, so a
// newer pin is installed beside an older one.
func (t tool) dir() string { return path.Join(toolsDir, t.name+"-"+t.version) }

func (t tool) file(root string) string {
	name := t.name
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(root, filepath.FromSlash(t.dir()), name)
}

func (t tool) present(root string) bool {
	info, err := os.Stat(t.file(root))
	return err == nil && info.Mode().IsRegular()
}

// require returns the path of an installed tool.
func (t tool) require(root string) (string, error) {
	if !t.present(root) {
		return "", fmt.Errorf("%s %s is not installed, run: %s", t.name, t.version, installCommand)
	}
	return t.file(root), nil
}

// installTool builds the tool beside its place and moves it there, so that an
// interrupted build is not taken for the tool.
func (c *checker) installTool(ctx context.Context, t tool) error {
	if t.present(c.root) {
		return nil
	}
	file := t.file(c.root)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	staging, err := os.MkdirTemp(filepath.Dir(file), "build-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staging) }()
	err = c.run(ctx, command{
		env:  []string{"GOWORK=off", "CGO_ENABLED=0", "GOBIN=" + staging},
		args: []string{"go", "install", t.source + "@" + t.version},
	})
	if err != nil {
		return err
	}
	return os.Rename(filepath.Join(staging, filepath.Base(file)), file)
}
