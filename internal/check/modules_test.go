package main

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMembership(t *testing.T) {
	outside := map[string]string{"bench": "heavy"}
	require.NoError(t, membership([]string{".", "a/b", "bench"}, []string{".", "a/b"}, outside))
	require.EqualError(t, membership([]string{".", "a/b", "bench"}, []string{"."}, outside),
		"module a/b is not in go.work: run go work use ./a/b")
	require.EqualError(t, membership([]string{".", "bench"}, []string{".", "bench"}, outside),
		"module bench is in go.work although it is listed as left out")
	require.EqualError(t, membership([]string{"."}, []string{"."}, outside),
		"module bench is listed as left out of go.work but does not exist")
}

func TestRelative(t *testing.T) {
	root := t.TempDir()
	dirs, err := relative(root, []string{root, filepath.Join(root, "a", "b")})
	require.NoError(t, err)
	require.Equal(t, []string{".", "a/b"}, dirs)
	_, err = relative(root, []string{filepath.Dir(root)})
	require.ErrorContains(t, err, "not in this repository")
}

func TestPatternsNameEveryModule(t *testing.T) {
	require.Equal(t, []string{"./...", "./a/b/..."}, patterns([]string{".", "a/b"}))
}
