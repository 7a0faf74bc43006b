package session_test

import (
	"testing"

	"github.com/typedsession/session/internal/planted"
)

// SESSION_TEST_PLANTED=1 go test -run Planted -timeout 30m .
func TestPlantedBugs(t *testing.T) {
	planted.Find(t, "FuzzCodec",
		planted.In(".", "leading zeros", "digits[0] == '0' && (len(digits) > 1 || negative)", "digits[0] == '0' && negative"),
		planted.In(".", "overflow", "len(digits) > 18", "len(digits) > 19"),
		planted.In(".", "no digits", "len(digits) == 0 || len(digits) > 18 ||", "len(digits) > 18 || len(digits) > 0 &&"),
		planted.In(".", "escapes as they are", "return s, isSimple(s)", "return s, true"),
		planted.In(".", "quotes in strings", `case c == '"' || c == '\\' ||`, `case c == '\\' ||`),
		planted.In(".", "HTML", "c == '<' || c == '>' || c == '&'", "c == '<' || c == '>'"),
		planted.In(".", "control characters", "case c < ' ' || c > '~':", "case c > '~':"),
		planted.In(".", "anything is false", `return *p || string(raw) == "false"`, `return *p || len(raw) == 5`),
		planted.In(".", "one level too many", "if depth++; depth > c.maxDepth {", "if depth++; depth > c.maxDepth+1 {"),
		planted.In(".", "escaped quotes", `case inString && b == '\\':`, `case inString && b == 0:`),
		planted.In(".", "brackets in strings", "\t\tcase inString:\n", ""),
		planted.In(".", "closing brackets", "case b == ']' || b == '}':", "case b == ']':"),
		planted.In(".", "errors are dropped", "if gojson.Unmarshal(data, v) == nil {", "if _ = gojson.Unmarshal(data, v); true {"),
	)
}
