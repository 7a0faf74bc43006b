// Package planted shows that a fuzz target finds what it is for: bugs are planted
// in copies of source files, one after the other, and each has to be found.
package planted

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// limit is how long the fuzzing may take for one bug.
const limit = time.Minute

// Bug is a piece of source text in place of another one.
type Bug struct{ dir, name, sound, planted string }

// In returns a bug with a name of its own. The sound text occurs once in the source
// files of dir, which is relative to the test's package.
func In(dir, name, sound, planted string) Bug { return Bug{dir, name, sound, planted} }

// Find requires the fuzz target of the test's package to find every bug within a
// minute, and nothing without one. It takes minutes, so it does so only where
// SESSION_TEST_PLANTED is 1. Failing inputs are not kept.
func Find(t *testing.T, target string, bugs ...Bug) {
	t.Helper()
	if os.Getenv("SESSION_TEST_PLANTED") != "1" {
		t.Skip("SESSION_TEST_PLANTED is not 1")
	}
	t.Run("no bug", func(t *testing.T) {
		out, err := fuzz(t, target, nil, limit/6)
		require.NoError(t, err, out)
	})
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			file, text := b.plant(t)
			start := time.Now()
			out, err := fuzz(t, target, map[string]string{file: text}, limit)
			require.Error(t, err, "the bug was not found:\n%s", out)
			require.Contains(t, out, "--- FAIL: "+target, "it failed in another way")
			t.Logf("found after %v", time.Since(start).Round(10*time.Millisecond))
		})
	}
}

// plant returns the file that has the sound text, and its content with the bug.
func (b Bug) plant(t *testing.T) (file, text string) {
	t.Helper()
	dir, err := filepath.Abs(b.dir)
	require.NoError(t, err)
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	count := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		if n := strings.Count(string(source), b.sound); n > 0 {
			count += n
			file, text = f, strings.Replace(string(source), b.sound, b.planted, 1)
		}
	}
	require.Equal(t, 1, count, "the code has changed: plant the bug anew where it was %q", b.sound)
	return file, text
}

// fuzz runs the target with other contents of some files. The binary is built
// first and runs in a folder of its own: a failing input must not end up in the
// repository.
func fuzz(t *testing.T, target string, contents map[string]string, limit time.Duration) (string, error) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	for file, text := range contents {
		replace[file] = filepath.Join(dir, filepath.Base(file))
		require.NoError(t, os.WriteFile(replace[file], []byte(text), 0o600))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	overlayFile, binary := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "planted.test")
	require.NoError(t, os.WriteFile(overlayFile, overlay, 0o600))

	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", overlayFile, "-fuzz", "^"+target+"$", ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))

	ctx, cancel := context.WithTimeout(t.Context(), limit+30*time.Second)
	defer cancel()
	run := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.fuzz", "^"+target+"$",
		"-test.fuzztime", limit.String(), "-test.fuzzminimizetime", "1x", "-test.fuzzcachedir", filepath.Join(dir, "cache"))
	run.Dir = dir
	out, err = run.CombinedOutput()
	return string(out), err
}
