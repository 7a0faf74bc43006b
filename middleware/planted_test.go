package middleware_test

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

// TestPlantedBugs shows that FuzzCookieHeader finds what it is for: each bug is
// planted in a copy of a source file, and has to be found within a minute. It
// takes its time, so it runs only where SESSION_TEST_PLANTED is 1.
func TestPlantedBugs(t *testing.T) {
	if os.Getenv("SESSION_TEST_PLANTED") != "1" {
		t.Skip("SESSION_TEST_PLANTED is not 1")
	}
	const limit = time.Minute
	for _, c := range []struct{ name, dir, sound, bug string }{
		{"nothing", "", "", ""},
		{"base64 with stray bits", ".", "base64.RawURLEncoding.Strict()", "base64.RawURLEncoding"},
		{"name in any letter case", "middleware", "trim(name) == c.name", "strings.EqualFold(trim(name), c.name)"},
		{"quotes are cut", "middleware", "dst = append(dst, value)", "dst = append(dst, strings.Trim(value, `\"`))"},
		{"more than three are tried", ".", "const maxCandidates = 3", "const maxCandidates = 4"},
		{"fewer than three are tried", ".", "const maxCandidates = 3", "const maxCandidates = 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, after, output := fuzzWithBug(t, c.dir, c.sound, c.bug, limit)
			require.NotContains(t, output, "panic:")
			if c.dir == "" {
				require.False(t, found, output)
				return
			}
			require.True(t, found, "not found in %v:\n%s", after, output)
			t.Logf("found after %v", after.Round(time.Millisecond))
		})
	}
}

// plant returns the one file in a folder of the repository that has sound, and
// its text with bug instead.
func plant(t *testing.T, dir, sound, bug string) (file, text string) {
	dir, err := filepath.Abs(filepath.Join("..", dir))
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
		if n := strings.Count(string(source), sound); n > 0 {
			count += n
			file, text = f, strings.Replace(string(source), sound, bug, 1)
		}
	}
	require.Equal(t, 1, count, "the code has changed: plant the bug anew where it was %q", sound)
	return file, text
}

// fuzzWithBug fuzzes with bug in place of sound.
func fuzzWithBug(t *testing.T, in, sound, bug string, limit time.Duration) (found bool, after time.Duration, output string) {
	dir := t.TempDir()
	replace := map[string]string{}
	if in != "" {
		file, text := plant(t, in, sound, bug)
		replace[file] = filepath.Join(dir, "planted.go")
		require.NoError(t, os.WriteFile(replace[file], []byte(text), 0o600))
	} else {
		limit /= 6
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))

	// The binary is built first, and runs in a folder of its own: a failing input
	// is not to be written into the repository.
	binary := filepath.Join(dir, "planted.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary,
		"-overlay", filepath.Join(dir, "overlay.json"), "-fuzz", "^FuzzCookieHeader$", ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)

	ctx, cancel := context.WithTimeout(t.Context(), limit+30*time.Second)
	defer cancel()
	start := time.Now()
	run := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.fuzz", "^FuzzCookieHeader$",
		"-test.fuzztime", limit.String(), "-test.fuzzminimizetime", "1x", "-test.fuzzcachedir", filepath.Join(dir, "cache"))
	run.Dir = dir
	out, err = run.CombinedOutput()
	after, output = time.Since(start), string(out)
	inputs, globErr := filepath.Glob(filepath.Join(dir, "testdata", "fuzz", "FuzzCookieHeader", "*"))
	require.NoError(t, globErr)
	failed := strings.Contains(output, "--- FAIL: FuzzCookieHeader")
	require.Equal(t, err != nil, failed, "it ended for another reason: %v\n%s", err, output)
	require.Equal(t, failed, len(inputs) > 0 || strings.Contains(output, "seed#"), output)
	return failed, after, output
}
