package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunFailsWithTheCommand(t *testing.T) {
	var out bytes.Buffer
	s := shell{root: t.TempDir(), out: &out}
	err := s.run(t.Context(), command{args: []string{"go", "no-such-verb"}})
	require.ErrorContains(t, err, "go no-such-verb: exit status")
	require.Contains(t, out.String(), "$ go no-such-verb\n")
	require.Contains(t, out.String(), "unknown command", "what a command prints is passed on")
}

func TestRunUsesFolderAndEnvironment(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(root+"/sub", 0o700))
	require.NoError(t, os.WriteFile(root+"/sub/go.mod", []byte("module m\n"), 0o600))
	c := command{dir: "sub", env: []string{"GOWORK=off", "GOOS=plan9"}, args: []string{"go", "list", "-m", "-f", "{{.Path}}"}}
	out, err := shell{root: root, out: &bytes.Buffer{}}.output(t.Context(), c)
	require.NoError(t, err)
	require.Equal(t, "m", out)
	require.Equal(t, "(sub) GOWORK=off GOOS=plan9 go list -m -f {{.Path}}", c.String())
}

// The pipe ends when the last process that holds it does, so reading it to the
// end proves that no child of the child is left.
func TestInterruptLeavesNoProcess(t *testing.T) {
	for _, program := range []string{"sh", "sleep"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = r.Close() }()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		s := shell{root: t.TempDir(), out: w}
		done <- s.start(ctx, command{args: []string{"sh", "-c", "(trap '' INT; echo up; sleep 600) & wait"}}, w)
		_ = w.Close()
	}()
	up := make([]byte, 3)
	_, err = r.Read(up)
	require.NoError(t, err)
	require.Equal(t, "up\n", string(up))
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	n, err := r.Read(up)
	require.Zero(t, n)
	require.Error(t, err, "the pipe ends only when nobody holds it")
}

func TestRaceProblem(t *testing.T) {
	found := func(string) (string, error) { return "", nil }
	missing := func(string) (string, error) { return "", exec.ErrNotFound }
	require.Empty(t, raceProblem("linux", "1", "gcc", found))
	require.Empty(t, raceProblem("linux", "1", "ccache gcc", func(name string) (string, error) {
		require.Equal(t, "ccache", name)
		return "", nil
	}))
	require.Empty(t, raceProblem("darwin", "0", "clang", missing))
	require.Equal(t, `the C compiler "gcc" is not in PATH`, raceProblem("linux", "0", "gcc", missing))
	require.Equal(t, "CGO_ENABLED=0", raceProblem("linux", "0", "gcc", found))
}
