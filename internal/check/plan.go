package main

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"

	"github.com/typedsession/session/internal/servers"
)

// tested are the servers that tests start.
var tested = []servers.Kind{servers.KindPostgreSQL, servers.KindPgBouncer, servers.KindMariaDB, servers.KindRedis}

// parallel lets tests that wait for servers and processes wait together.
const parallel = "-parallel=8"

// required makes a missing server a failure instead of a skip.
const required = "SESSION_TEST_INSTALL=1"

// alone makes a module be built without its neighbours, as its users do it.
const alone = "GOWORK=off"

// plan lists the checks, the quick ones first.
func (c *checker) plan() []step {
	var steps []step
	if c.install {
		for _, t := range tools {
			steps = append(steps, step{"install " + t.name, func(ctx context.Context) error { return c.installTool(ctx, t) }})
		}
		steps = append(steps, c.installServers())
	}
	withServers := c.withServers()
	steps = append(
		steps,
		step{"modules", c.checkModules},
		step{"tree", c.checkTree},
		step{"tidy", c.tidy},
		step{"format", c.format},
		step{"vet", c.goStep(nil, "vet", "work")},
		step{"lint", c.lint},
	)
	if c.noRace == "" {
		steps = append(steps, step{"test with race detector", c.goStep(withServers, "test", "-race", "-shuffle=on", parallel, "work")})
	} else {
		steps = append(steps, step{"test WITHOUT RACE DETECTOR: " + c.noRace, c.goStep(withServers, "test", "-shuffle=on", parallel, "work")})
	}
	return append(
		steps,
		// The allocation budgets hold only without the race detector.
		step{"test as a user does", c.goStep(nil, "test", "./...")},
		step{"each module alone", c.standalone},
		step{"vet for darwin/arm64", c.goStep([]string{"GOOS=darwin", "GOARCH=arm64", "CGO_ENABLED=0"}, "vet", "work")},
		step{"vet for windows/amd64", c.goStep([]string{"GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0"}, "vet", "work")},
	)
}

func (c *checker) installServers() step {
	return step{"install servers", func(ctx context.Context) error {
		return servers.Install(ctx, c.out, tested...)
	}}
}

// withServers is the environment of tests that need servers.
func (c *checker) withServers() []string {
	if c.install {
		return []string{required}
	}
	return nil
}

func (c *checker) goStep(env []string, args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		return c.run(ctx, command{env: env, args: append([]string{"go"}, args...)})
	}
}

// tidy needs no network once the module cache holds what the modules need.
func (c *checker) tidy(ctx context.Context) error {
	return c.each(ctx, func(dir string) error {
		return errors.Join(
			c.run(ctx, command{dir: dir, env: []string{alone}, args: []string{"go", "mod", "tidy", "-diff"}}),
			c.run(ctx, command{dir: dir, env: []string{alone}, args: []string{"go", "mod", "verify"}}),
		)
	})
}

func (c *checker) standalone(ctx context.Context) error {
	return c.each(ctx, func(dir string) error {
		for _, args := range [][]string{
			{"go", "build", "-o", os.DevNull, "./..."}, // or a lone program is written into its module
			{"go", "vet", "./..."},
			{"go", "test", "-short", parallel, "./..."}, // all tests have run with the race detector
		} {
			if err := c.run(ctx, command{dir: dir, env: []string{alone}, args: args}); err != nil {
				return err
			}
		}
		return nil
	})
}

// format covers every Go file below the root, whatever its module.
func (c *checker) format(ctx context.Context) error {
	file, err := linter.require(c.root)
	if err != nil {
		return err
	}
	return c.run(ctx, command{args: []string{file, "fmt", "--diff"}})
}

// lint runs once for the whole workspace, and once for each module outside.
func (c *checker) lint(ctx context.Context) error {
	file, err := linter.require(c.root)
	if err != nil {
		return err
	}
	run := []string{file, "run", "--allow-parallel-runners"}
	errs := []error{c.run(ctx, command{args: append(slices.Clone(run), patterns(c.modules)...)})}
	for _, dir := range slices.Sorted(maps.Keys(outside)) {
		errs = append(errs, c.run(ctx, command{dir: dir, env: []string{alone}, args: append(slices.Clone(run), "./...")}))
	}
	return errors.Join(errs...)
}

// patterns names every module: ./... in the root does not reach the others.
func patterns(modules []string) []string {
	all := make([]string, len(modules))
	for i, m := range modules {
		all[i] = "./" + m + "/..."
		if m == "." {
			all[i] = "./..."
		}
	}
	return all
}
