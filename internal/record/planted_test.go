package record_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFuzzFindsPlantedBugs plants one bug after the other in a copy of the
// package and requires FuzzRecord to fail within a minute. It takes minutes, so it
// runs when it is asked for:
//
//	SESSION_TEST_PLANTED=1 go test -run Planted -timeout 30m ./internal/record
func TestFuzzFindsPlantedBugs(t *testing.T) {
	if os.Getenv("SESSION_TEST_PLANTED") != "1" {
		t.Skip("SESSION_TEST_PLANTED is not 1")
	}
	for name, bug := range map[string]struct{ file, old, new string }{
		"names in any order":   {"values.go", "bytes.Compare(last, v.Name) >= 0", "bytes.Compare(last, v.Name) > 1"},
		"a name twice":         {"values.go", "bytes.Compare(last, v.Name) >= 0", "bytes.Compare(last, v.Name) > 0"},
		"padded numbers":       {"record.go", "n <= 0 || p.rest[n-1] == 0", "n <= 0"},
		"length off by one":    {"record.go", "return p.take(int(n))", "return p.take(int(n) + 1)"},
		"length not checked":   {"record.go", "if p.failed || n < 0 || n > len(p.rest) {", "if p.failed || n < 0 || n > cap(p.rest) {"},
		"unknown flags":        {"values.go", "flags&^knownFlags != 0", "flags&^0xFF != 0"},
		"version 0":            {"values.go", "p.failed = p.failed || v.Version == 0", "_ = v.Version"},
		"bytes at the end":     {"values.go", "q.failed || len(q.rest) > 0", "q.failed"},
		"mode 3":               {"record.go", "if mode > ModeFrozen {", "if mode > ModeFrozen+1 {"},
		"times before 1970":    {"record.go", "if x > math.MaxInt64 {", "if x > math.MaxUint64-1 {"},
		"size without framing": {"values.go", "size.Bytes += len(head.entry)", "size.Bytes += len(head.Raw)"},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile(bug.file)
			require.NoError(t, err)
			require.Equal(t, 1, strings.Count(string(source), bug.old), "the place of the bug is no longer there, or not unique")
			out, err := fuzzMutant(t, bug.file, strings.Replace(string(source), bug.old, bug.new, 1))
			require.Error(t, err, "the bug was not found:\n%s", out)
			require.Contains(t, out, "--- FAIL: FuzzRecord", "it failed in another way")
		})
	}
}

// fuzzMutant runs FuzzRecord with another content of one source file. All it
// writes is in a temporary folder.
func fuzzMutant(t *testing.T, file, content string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	mutant, overlay, binary := filepath.Join(dir, "mutant.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "mutant.test")
	require.NoError(t, os.WriteFile(mutant, []byte(content), 0o600))
	path, err := filepath.Abs(file)
	require.NoError(t, err)
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, replace, 0o600))

	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", overlay, "-fuzz", "^FuzzRecord$", ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	fuzz := exec.CommandContext(t.Context(), binary, "-test.run=^$", "-test.fuzz=^FuzzRecord$", "-test.fuzztime=60s",
		"-test.fuzzcachedir="+filepath.Join(dir, "cache"))
	fuzz.Dir = dir
	out, err = fuzz.CombinedOutput()
	return string(out), err
}
