// Command check runs every check of this repository. It is started from the
// repository's root:
//
//	go run ./internal/check
//
// With -install it first installs what is missing: tools, into a folder that git
// ignores, and database servers, as packages of Debian. Without it a missing tool is
// a failure that names the command to run, and the tests of a missing server are
// skipped. With -long or -prove it does what takes longer instead.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/typedsession/session/internal/servers"
)

const usage = `Usage: go run ./internal/check [-install] [-long | -prove TIME [-seed N]]

Runs every check of the repository and exits with 1 if one of them fails.

  -install   install what is missing: tools into .tools/, and, as root on Debian,
             packages with the database servers that tests start and stop
  -long      instead of the checks, fuzz every target for one minute, plant bugs
             that the fuzzing has to find, and run many random histories
  -prove     instead of the checks, try to refute the promises: histories, schedules,
             mutants, faults and crashes on every store, for so long in each test,
             for example 30m
  -seed      what is random in -prove; without it another one every time. It is
             printed
`

// checker is one run of this program.
type checker struct {
	shell
	install bool
	proof   proof
	modules []string // those of go.work, relative to the root, slashes
	noRace  string   // why the race detector cannot be used; empty if it can
}

func main() {
	install := flag.Bool("install", false, "")
	long := flag.Bool("long", false, "")
	var p proof
	flag.DurationVar(&p.time, "prove", 0, "")
	flag.Uint64Var(&p.seed, "seed", 0, "")
	flag.Usage = func() { _, _ = io.WriteString(flag.CommandLine.Output(), usage) }
	flag.Parse()
	if flag.NArg() > 0 || p.time < 0 || p.time > 0 && *long || p.time == 0 && p.seed > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), stopSignals...)
	ctx, cancel := context.WithCancel(ctx)
	go cancelWhenOrphaned(ctx, cancel)
	err := check(ctx, *install, *long, p)
	cancel()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context, install, long bool, p proof) error {
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(root, "go.work")); err != nil {
		return fmt.Errorf("no go.work here: start it from the root of the repository")
	}
	// The workspace of this repository is meant, whatever the caller uses.
	if err := os.Unsetenv("GOWORK"); err != nil {
		return err
	}
	c := &checker{shell: shell{root: root, out: os.Stdout}, install: install, proof: p}
	if c.modules, err = c.workspace(ctx); err != nil {
		return err
	}
	if c.noRace, err = c.raceProblem(ctx); err != nil {
		return err
	}
	c.describe(long)
	steps := c.plan()
	switch {
	case p.time > 0:
		steps = c.proofPlan()
	case long:
		if steps, err = c.longPlan(ctx); err != nil {
			return err
		}
	}
	return summarize(c.out, runSteps(ctx, c.out, steps))
}

// describe says what was found, before anything is done.
func (c *checker) describe(long bool) {
	c.say("go:        %s %s/%s", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	c.say("modules:   %s", strings.Join(c.modules, " "))
	if c.noRace == "" {
		c.say("race:      on")
	} else {
		c.say("race:      OFF, DATA RACES WILL NOT BE FOUND: %s", c.noRace)
	}
	if long {
		return
	}
	for _, t := range tools {
		state := "present"
		if !t.present(c.root) {
			state = "missing, run: " + installCommand
			if c.install {
				state = "missing, will be installed into " + t.dir()
			}
		}
		c.say("tool:      %s %s %s", t.name, t.version, state)
	}
	switch missing := servers.Missing(tested...); {
	case len(missing) == 0:
		c.say("servers:   present")
	case c.install:
		c.say("servers:   will be installed: %s", strings.Join(missing, " "))
	default:
		c.say("servers:   MISSING, THEIR TESTS ARE SKIPPED: %s, run: %s", strings.Join(missing, " "), installCommand)
	}
}

// raceProblem says why the race detector cannot be used here, if it cannot.
func (c *checker) raceProblem(ctx context.Context) (string, error) {
	out, err := c.output(ctx, command{args: []string{"go", "env", "GOOS", "CGO_ENABLED", "CC"}})
	if err != nil {
		return "", err
	}
	env := strings.Split(out, "\n")
	if len(env) < 3 {
		return "", fmt.Errorf("go env answered %q", out)
	}
	return raceProblem(env[0], env[1], env[2], exec.LookPath), nil
}

func raceProblem(goos, cgo, cc string, lookPath func(string) (string, error)) string {
	if goos == "darwin" {
		return "" // the one system where the detector needs no cgo
	}
	// The compiler first: without one, go env reports CGO_ENABLED=0 as well.
	compiler, _, _ := strings.Cut(cc, " ")
	if _, err := lookPath(compiler); err != nil {
		return fmt.Sprintf("the C compiler %q is not in PATH", compiler)
	}
	if cgo != "1" {
		return "CGO_ENABLED=" + cgo
	}
	return ""
}
