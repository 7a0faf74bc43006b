package session_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFuzzFindsPlantedBugs plants one bug after the other in a copy of codec.go
// and requires FuzzCodec to fail within a minute. It takes minutes, so it runs
// when it is asked for:
//
//	SESSION_TEST_PLANTED=1 go test -run Planted -timeout 30m .
func TestFuzzFindsPlantedBugs(t *testing.T) {
	if os.Getenv("SESSION_TEST_PLANTED") != "1" {
		t.Skip("SESSION_TEST_PLANTED is not 1")
	}
	source, err := os.ReadFile("codec.go")
	require.NoError(t, err)
	for name, bug := range map[string]struct{ old, new string }{
		"leading zeros":       {"digits[0] == '0' && (len(digits) > 1 || negative)", "digits[0] == '0' && negative"},
		"overflow":            {"len(digits) > 18", "len(digits) > 19"},
		"no digits":           {"len(digits) == 0 || len(digits) > 18 ||", "len(digits) > 18 || len(digits) > 0 &&"},
		"escapes as they are": {"return s, isSimple(s)", "return s, true"},
		"quotes in strings":   {`case c == '"' || c == '\\' ||`, `case c == '\\' ||`},
		"HTML":                {"c == '<' || c == '>' || c == '&'", "c == '<' || c == '>'"},
		"control characters":  {"case c < ' ' || c > '~':", "case c > '~':"},
		"anything is false":   {`return *p || string(raw) == "false"`, `return *p || len(raw) == 5`},
		"one level too many":  {"if depth++; depth > c.maxDepth {", "if depth++; depth > c.maxDepth+1 {"},
		"escaped quotes":      {`case inString && b == '\\':`, `case inString && b == 0:`},
		"brackets in strings": {"\t\tcase inString:\n", ""},
		"closing brackets":    {"case b == ']' || b == '}':", "case b == ']':"},
		"errors are dropped":  {"if gojson.Unmarshal(data, v) == nil {", "if _ = gojson.Unmarshal(data, v); true {"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(string(source), bug.old), "the place of the bug is no longer there, or not unique")
			out, err := fuzzMutant(t, "codec.go", strings.Replace(string(source), bug.old, bug.new, 1))
			require.Error(t, err, "the bug was not found:\n%s", out)
			require.Contains(t, out, "--- FAIL: FuzzCodec", "it failed in another way")
		})
	}
}

// fuzzMutant runs FuzzCodec with another content of one source file. All it
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

	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "-overlay", overlay, "-fuzz", "^FuzzCodec$", ".")
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	fuzz := exec.CommandContext(t.Context(), binary, "-test.run=^$", "-test.fuzz=^FuzzCodec$", "-test.fuzztime=60s",
		"-test.fuzzminimizetime=10x", "-test.fuzzcachedir="+filepath.Join(dir, "cache"))
	fuzz.Dir = dir
	out, err = fuzz.CombinedOutput()
	return string(out), err
}
