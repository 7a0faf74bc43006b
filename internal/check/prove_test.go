package main

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestProofsSayTheirSeed(t *testing.T) {
	plan := func(p proof) string {
		var out bytes.Buffer
		c := &checker{shell: shell{root: t.TempDir(), out: &out}, proof: p}
		require.Equal(t, "proofs", names(c.proofPlan()))
		return out.String()
	}
	require.Equal(t, "seed:      7\n", plan(proof{time: time.Minute, seed: 7}))
	require.NotEqual(t, plan(proof{time: time.Minute}), plan(proof{time: time.Minute}))
}

func TestProofsHaveNames(t *testing.T) {
	names := regexp.MustCompile(proofTests)
	for name, want := range map[string]bool{
		"TestHistories": true, "TestSchedulesOfThree": true, "TestMutants": true, "TestKilledServer": true, "TestFaults": true,
		"TestPromise1_TwoPrograms": true, "TestPromise2_BrowserOrderLong": true, "TestOwner": false, "TestPlanted": false,
	} {
		require.Equal(t, want, names.MatchString(name), name)
	}
}
