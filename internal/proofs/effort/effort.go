// Package effort says how much a proof tries: a short form in every run of the
// tests, a long one when it is asked for.
package effort

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// The environment variables. SESSION_TEST_PROOFS asks for the long form and says how
// long each test may take for it, for example 30m. SESSION_TEST_SEED is what all that
// is random comes from.
const (
	ProofsVariable = "SESSION_TEST_PROOFS"
	SeedVariable   = "SESSION_TEST_SEED"
)

// Effort is what one test makes.
type Effort struct {
	Long bool
	Seed uint64
	end  time.Time // of the long form
}

// Of returns the effort of a test, which begins now, and logs the seed.
func Of(t testing.TB) Effort {
	t.Helper()
	e := Effort{Seed: rand.Uint64()} //nolint:gosec // G404: nothing secret
	if text := os.Getenv(SeedVariable); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s is no seed: %v", SeedVariable, err)
		}
		e.Seed = seed
	}
	if text := os.Getenv(ProofsVariable); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			t.Fatalf("%s is no time such as 30m: %q", ProofsVariable, text)
		}
		e.Long, e.end = true, time.Now().Add(d)
	}
	t.Logf("%s=%d", SeedVariable, e.Seed)
	return e
}

// Count returns how many to try.
func (e Effort) Count(short, long int) int {
	if e.Long {
		return long
	}
	return short
}

// Over says that the time of the long form has passed: nothing new is begun.
func (e Effort) Over() bool { return e.Long && time.Now().After(e.end) }

// Rand returns the random numbers of one part of a test. The same seed and number
// give the same.
func (e Effort) Rand(part uint64) *rand.Rand {
	return rand.New(rand.NewPCG(e.Seed, part)) //nolint:gosec // G404: nothing secret
}
