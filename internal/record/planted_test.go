package record_test

import (
	"testing"

	"github.com/typedsession/session/internal/planted"
)

// SESSION_TEST_PLANTED=1 go test -run Planted -timeout 30m ./internal/record
func TestPlantedBugs(t *testing.T) {
	planted.Find(t, "FuzzRecord",
		planted.In(".", "names in any order", "bytes.Compare(last, v.Name) >= 0", "bytes.Compare(last, v.Name) > 1"),
		planted.In(".", "a name twice", "bytes.Compare(last, v.Name) >= 0", "bytes.Compare(last, v.Name) > 0"),
		planted.In(".", "padded numbers", "n <= 0 || p.rest[n-1] == 0", "n <= 0"),
		planted.In(".", "length off by one", "return p.take(int(n))", "return p.take(int(n) + 1)"),
		planted.In(".", "length not checked", "if p.failed || n < 0 || n > len(p.rest) {", "if p.failed || n < 0 || n > cap(p.rest) {"),
		planted.In(".", "unknown flags", "flags&^knownFlags != 0", "flags&^0xFF != 0"),
		planted.In(".", "version 0", "p.failed = p.failed || v.Version == 0", "_ = v.Version"),
		planted.In(".", "bytes at the end", "q.failed || len(q.rest) > 0", "q.failed"),
		planted.In(".", "mode 3", "if mode > ModeFrozen {", "if mode > ModeFrozen+1 {"),
		planted.In(".", "times before 1970", "if x > math.MaxInt64 {", "if x > math.MaxUint64-1 {"),
		planted.In(".", "size without framing", "size.Bytes += len(head.entry)", "size.Bytes += len(head.Raw)"),
	)
}
