package main

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// proof is the long form of the tests that try to refute the promises.
type proof struct {
	time time.Duration // of each test, at most; 0 if it is not asked for
	seed uint64        // 0: a random one
}

// proofTests are their names.
const proofTests = "Histor|Schedules|Mutants|Fault|Kill|TwoPrograms|BrowserOrder"

// proofPlan runs one proof after the other, without the race detector, which is on
// when all tests are run in their short form.
func (c *checker) proofPlan() []step {
	var steps []step
	if c.install {
		steps = append(steps, c.installServers())
	}
	seed := c.proof.seed
	if seed == 0 {
		seed = rand.Uint64() //nolint:gosec // G404: nothing secret
	}
	c.say("seed:      %d", seed)
	env := append(c.withServers(),
		"SESSION_TEST_PROOFS="+c.proof.time.String(),
		"SESSION_TEST_SEED="+strconv.FormatUint(seed, 10))
	return append(steps, step{"proofs", c.goStep(env,
		"test", "-p=1", "-count=1", "-timeout=0", "-v", "-run", proofTests, "work")})
}
