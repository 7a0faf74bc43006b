package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// maxLines is the length up to which a file still has one subject.
const maxLines = 450

// files returns what git tracks or would track, relative to the root, slashes.
func (c *checker) files(ctx context.Context) ([]string, error) {
	out, err := c.output(ctx, command{args: []string{"git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"}})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(strings.Split(out, "\x00"), func(f string) bool { return f == "" }), nil
}

// checkTree looks at the text of the repository, one file after the other.
func (c *checker) checkTree(ctx context.Context) error {
	files, err := c.files(ctx)
	if err != nil {
		return err
	}
	home, _ := os.UserHomeDir() // without one there is nothing to give away
	places := newPlaces(exists, c.root, filepath.Dir(c.root), home)
	failed, read := 0, 0
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join(c.root, filepath.FromSlash(name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted, and not yet committed
		}
		if err != nil {
			return err
		}
		if bytes.IndexByte(data, 0) >= 0 {
			continue // no text
		}
		read++
		problems := places.problems(name, data)
		if strings.HasSuffix(name, ".go") {
			problems = append(problems, goProblems(name, data)...)
		}
		for _, p := range problems {
			c.say("%s", p)
		}
		failed += len(problems)
	}
	c.say("read %d text files", read)
	if failed > 0 {
		return fmt.Errorf("%d problems", failed)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// homes matches folders of a user, on whatever machine.
var homes = regexp.MustCompile(`(?:^|[^\w./-])(/(?:root|home/[\w.-]+|Users/[\w.-]+)/)`)

// places finds paths of this machine. Below its folders only what exists is
// one: a clone in a folder named like the path of a cookie is no reason to fail.
type places struct {
	below  *regexp.Regexp
	exists func(path string) bool
}

func newPlaces(exists func(string) bool, dirs ...string) places {
	// The shortest first: where a longer one exists, so does the shorter.
	slices.SortFunc(dirs, func(a, b string) int { return len(a) - len(b) })
	var quoted []string
	for _, dir := range dirs {
		if filepath.Dir(dir) != dir && filepath.IsAbs(dir) {
			quoted = append(quoted, regexp.QuoteMeta(filepath.ToSlash(dir)))
		}
	}
	if len(quoted) == 0 {
		return places{below: homes, exists: func(string) bool { return false }}
	}
	return places{
		below:  regexp.MustCompile(`(?:^|[^\w./-])((?:` + strings.Join(quoted, "|") + `)/[\w.-]+)`),
		exists: exists,
	}
}

func (p places) problems(name string, data []byte) []string {
	var found []string
	for i, line := range strings.Split(string(data), "\n") {
		for _, m := range homes.FindAllStringSubmatch(line, -1) {
			found = append(found, fmt.Sprintf("%s:%d: path of a machine: %s", name, i+1, m[1]))
		}
		for _, m := range p.below.FindAllStringSubmatch(line, -1) {
			if p.exists(m[1]) {
				found = append(found, fmt.Sprintf("%s:%d: path of this machine: %s", name, i+1, m[1]))
			}
		}
	}
	return found
}

var (
	// Written so that they do not match themselves.
	unfinished = regexp.MustCompile(`\b(?:TO[D]O|FIX[M]E|X[X]X)\b`)
	sleep      = regexp.MustCompile(`\btime\.[S]leep\(`)

	// vague are names that say nothing about what a package is for.
	vague = []string{"util", "utils", "common", "helper", "helpers"}
)

// goProblems holds a Go file to the rules that no linter knows.
func goProblems(name string, data []byte) []string {
	file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ImportsOnly)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	isTest := strings.HasSuffix(name, "_test.go")
	if n := bytes.Count(data, []byte("\n")); n > maxLines && !isTest {
		found = append(found, fmt.Sprintf("%s: %d lines, more than %d: split it by subject", name, n, maxLines))
	}
	if pkg := strings.TrimSuffix(file.Name.Name, "_test"); slices.Contains(vague, pkg) {
		found = append(found, fmt.Sprintf("%s: package %s: name it after what it is for", name, pkg))
	}
	bubble := false
	for _, imp := range file.Imports {
		bubble = bubble || imp.Path.Value == `"testing/synctest"`
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if m := unfinished.Find(line); m != nil {
			found = append(found, fmt.Sprintf("%s:%d: %s: finish it, or open an issue", name, i+1, m))
		}
		if isTest && !bubble && sleep.Match(line) {
			found = append(found, fmt.Sprintf("%s:%d: a test waits by sleeping: use testing/synctest, or wait for the event", name, i+1))
		}
	}
	return found
}
