package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlanSaysLoudlyThatRacesAreNotLookedFor(t *testing.T) {
	var out bytes.Buffer
	c := &checker{shell: shell{root: t.TempDir(), out: &out}, noRace: "no compiler"}
	c.describe(false)
	require.Contains(t, out.String(), "race:      OFF")
	require.Contains(t, names(c.plan()), "test WITHOUT RACE DETECTOR: no compiler")

	c.noRace = ""
	require.Contains(t, names(c.plan()), "test with race detector")
}

func TestOnlyInstallInstalls(t *testing.T) {
	var out bytes.Buffer
	c := &checker{shell: shell{root: t.TempDir(), out: &out}}
	c.describe(false)
	require.Contains(t, out.String(), "missing, run: "+installCommand)
	require.NotContains(t, names(c.plan()), "install")

	out.Reset()
	c.install = true
	c.describe(false)
	require.Contains(t, out.String(), "missing, will be installed into .tools/golangci-lint-")
	require.Contains(t, names(c.plan()), "install golangci-lint")
}

func names(steps []step) string {
	all := make([]string, len(steps))
	for i, s := range steps {
		all[i] = s.name
	}
	return strings.Join(all, "\n")
}
