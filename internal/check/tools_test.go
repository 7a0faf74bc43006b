package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMissingToolNamesTheCommandThatInstallsIt(t *testing.T) {
	root := t.TempDir()
	_, err := linter.require(root)
	require.ErrorContains(t, err, linter.version)
	require.ErrorContains(t, err, "run: go run ./internal/check -install")
}

func TestInstalledToolIsReused(t *testing.T) {
	root := t.TempDir()
	file := linter.file(root)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	got, err := linter.require(root)
	require.NoError(t, err)
	require.Equal(t, file, got)

	var out bytes.Buffer
	c := &checker{shell: shell{root: root, out: &out}}
	require.NoError(t, c.installTool(t.Context(), linter))
	require.Empty(t, out.String(), "nothing was started")
}

func TestInterruptedInstallLeavesNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	root := t.TempDir()
	c := &checker{shell: shell{root: root, out: &bytes.Buffer{}}}
	require.Error(t, c.installTool(ctx, linter))
	left, err := os.ReadDir(filepath.Join(root, linter.dir()))
	require.NoError(t, err)
	require.Empty(t, left)
}
