package cached_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// proofsVariable asks for long tests, and says how long each may take.
const proofsVariable = "SESSION_TEST_PROOFS"

// Two nodes read and write what they share, over links that are slow, stall, fail, and
// lose answers and news of changes. No Load returns what had been replaced for longer
// than the TTL, no node reads what is older than its own writes or than what LoadFresh
// has returned to it, and no node hides an Insert of its own.
func TestStaleness(t *testing.T) {
	t.Parallel()
	long := 5 * time.Second
	if text := os.Getenv(proofsVariable); text != "" {
		d, err := time.ParseDuration(text)
		require.NoError(t, err, proofsVariable)
		require.Positive(t, d, proofsVariable)
		long = d
	}
	storm(t, long)
}

// The same in a bubble, in which hours pass in seconds and what coincides differs.
func TestStalenessInABubble(t *testing.T) {
	t.Parallel()
	for range 3 {
		synctest.Test(t, func(t *testing.T) { storm(t, 20*time.Second) })
	}
}
