package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
)

const (
	fuzzTime  = "1m"
	histories = "20000" // of each kind
)

// target is one fuzz test.
type target struct {
	pkg, name string
}

// longPlan finds the fuzz targets of the workspace.
func (c *checker) longPlan(ctx context.Context) ([]step, error) {
	list := command{args: []string{"go", "test", "-json", "-list", "^Fuzz", "work"}}
	c.say("$ %s", list)
	out, err := c.output(ctx, list)
	if err != nil {
		c.say("%s", out)
		return nil, err
	}
	targets, err := parseTargets(strings.NewReader(out))
	if err != nil {
		return nil, err
	}
	c.say("\nfuzzing %d targets for %s each:", len(targets), fuzzTime)
	var steps []step
	for _, t := range targets {
		c.say("  %s %s", t.pkg, t.name)
		steps = append(steps, step{"fuzz " + t.pkg + " " + t.name, c.goStep(nil,
			"test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", fuzzTime, "-fuzzminimizetime", "10x", t.pkg)})
	}
	c.say("then looking for planted bugs with the same targets, and %s random histories", histories)
	return append(
		steps,
		step{"planted bugs are found", c.goStep([]string{"SESSION_TEST_PLANTED=1"},
			"test", "-count=1", "-timeout=30m", "-v", "-run", "Planted", "work")},
		step{"random histories", c.goStep([]string{"SESSION_TEST_HISTORIES=" + histories},
			"test", "-count=1", "-timeout=30m", "-run", "Histor", "work")},
	), nil
}

var fuzzName = regexp.MustCompile(`^Fuzz\w*$`)

// parseTargets reads what go test -json -list prints.
func parseTargets(r io.Reader) ([]target, error) {
	var targets []target
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event struct{ Action, Package, Output string }
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, fmt.Errorf("go test -json: %w in %q", err, lines.Text())
		}
		if name := strings.TrimSpace(event.Output); event.Action == "output" && fuzzName.MatchString(name) {
			targets = append(targets, target{event.Package, name})
		}
	}
	return targets, lines.Err()
}
