package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// outside are the modules that go.work leaves out, by folder, each with its
// reason. They are checked on their own like every other module.
var outside = map[string]string{
	"internal/benchmarks":   "peers and what they depend on must not weigh on the workspace",
	"internal/mongostandin": "FerretDB works with the versions that it names, and not with newer ones of the workspace",
}

// workspace returns the folders of the modules of go.work.
func (c *checker) workspace(ctx context.Context) ([]string, error) {
	out, err := c.output(ctx, command{args: []string{"go", "list", "-m", "-f", "{{.Dir}}"}})
	if err != nil {
		return nil, err
	}
	return relative(c.root, strings.Split(out, "\n"))
}

func relative(root string, dirs []string) ([]string, error) {
	modules := make([]string, 0, len(dirs))
	for _, dir := range dirs {
		rel, err := filepath.Rel(root, dir)
		if err != nil {
			return nil, err
		}
		if !filepath.IsLocal(rel) {
			return nil, fmt.Errorf("go.work uses %s, which is not in this repository", dir)
		}
		modules = append(modules, filepath.ToSlash(rel))
	}
	return modules, nil
}

// checkModules fails if a module of the repository is in neither go.work nor
// outside.
func (c *checker) checkModules(ctx context.Context) error {
	files, err := c.files(ctx)
	if err != nil {
		return err
	}
	var found []string
	for _, f := range files {
		if path.Base(f) == "go.mod" {
			found = append(found, path.Dir(f))
		}
	}
	c.say("found %d modules, %d of them in go.work", len(found), len(c.modules))
	return membership(found, c.modules, outside)
}

func membership(found, used []string, outside map[string]string) error {
	var errs []error
	for _, m := range found {
		_, left := outside[m]
		switch in := slices.Contains(used, m); {
		case in && left:
			errs = append(errs, fmt.Errorf("module %s is in go.work although it is listed as left out", m))
		case !in && !left:
			errs = append(errs, fmt.Errorf("module %s is not in go.work: run go work use ./%s", m, m))
		}
	}
	for _, m := range slices.Sorted(maps.Keys(outside)) {
		if !slices.Contains(found, m) {
			errs = append(errs, fmt.Errorf("module %s is listed as left out of go.work but does not exist", m))
		}
	}
	return errors.Join(errs...)
}

// each runs f for every module and goes on after failures.
func (c *checker) each(ctx context.Context, f func(dir string) error) error {
	var errs []error
	for _, dir := range slices.Concat(c.modules, slices.Sorted(maps.Keys(outside))) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, f(dir))
	}
	return errors.Join(errs...)
}
