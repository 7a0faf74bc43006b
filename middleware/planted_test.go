package middleware_test

import (
	"testing"

	"github.com/typedsession/session/internal/planted"
)

// SESSION_TEST_PLANTED=1 go test -run Planted -timeout 30m ./middleware
func TestPlantedBugs(t *testing.T) {
	planted.Find(t, "FuzzCookieHeader",
		planted.In("..", "base64 with stray bits", "base64.RawURLEncoding.Strict()", "base64.RawURLEncoding"),
		planted.In(".", "name in any letter case", "trim(name) == c.name", "strings.EqualFold(trim(name), c.name)"),
		planted.In(".", "quotes are cut", "dst = append(dst, value)", "dst = append(dst, strings.Trim(value, `\"`))"),
		planted.In("..", "more than three are tried", "const maxCandidates = 3", "const maxCandidates = 4"),
		planted.In("..", "fewer than three are tried", "const maxCandidates = 3", "const maxCandidates = 2"),
	)
}
