package mutant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/typedsession/session/internal/proofs/effort"
)

// Verdict is what a killer says of a mutant.
type Verdict int

// The verdicts.
const (
	Survived Verdict = iota // the killer has passed
	Killed                  // the killer has failed
	Skipped                 // the killer cannot run here: it lacks a server
)

// Errors of a killer that is not fit to judge.
var (
	// ErrNoTest says that its pattern names no test.
	ErrNoTest = errors.New("the killer runs no test")
	// ErrHangs says that it did not come to an end: that is no finding.
	ErrHangs = errors.New("the killer hangs")
	// ErrBroken says that it has failed, and no test has.
	ErrBroken = errors.New("the killer does not work")
)

// patience is how long one killer may take, and how long a build.
const (
	patience      = time.Minute
	buildPatience = 5 * time.Minute
)

// laboratory is where mutants are built and judged.
type laboratory struct {
	root string // of the repository
	turn chan struct{}
}

// newLaboratory returns one for the repository that has the folder of this package.
// Builds and killers run so many at a time.
func newLaboratory(folder string, atOnce int) (*laboratory, error) {
	root, err := filepath.Abs(filepath.Join(folder, "..", "..", ".."))
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(root, "go.work")); err != nil {
		return nil, fmt.Errorf("the source tree is not where this package is: %w", err)
	}
	return &laboratory{root: root, turn: make(chan struct{}, atOnce)}, nil
}

// take waits for a turn, which release ends.
func (l *laboratory) take(ctx context.Context) (release func(), err error) {
	select {
	case l.turn <- struct{}{}:
		return func() { <-l.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// environment is that of this process, less what is meant for its own test run:
// flags such as -race, and how much proofs try.
func (l *laboratory) environment(more ...string) []string {
	ours := []string{"GOFLAGS=", "GOWORK=" + filepath.Join(l.root, "go.work"), effort.ProofsVariable + "=", effort.SeedVariable + "="}
	env := slices.DeleteFunc(os.Environ(), func(have string) bool {
		return slices.ContainsFunc(ours, func(our string) bool {
			name, _, _ := strings.Cut(our, "=")
			return strings.HasPrefix(have, name+"=")
		})
	})
	return slices.Concat(env, ours, more)
}

// build compiles the tests of packages with a mutant, and returns the folder of the
// programs. dir is an empty folder for it.
func (l *laboratory) build(ctx context.Context, m *Mutant, dir string, packages ...string) (string, error) {
	overlay, err := m.overlay(l.root, dir)
	if err != nil {
		return "", err
	}
	programs := filepath.Join(dir, "programs")
	if err := os.Mkdir(programs, 0o700); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, buildPatience)
	defer cancel()
	args := []string{
		"test", "-c", "-race=false", "-vet=off", "-ldflags=-s -w",
		"-overlay", overlay, "-o", programs + string(filepath.Separator),
	}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // G204: of the table
	cmd.Dir, cmd.Env = l.root, l.environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %w\n%s", ErrDoesNotBuild, err, out)
	}
	return programs, nil
}

// programIn returns the program of a killer in the folder that build has returned.
func (k *Killer) programIn(programs string) string {
	name := path.Base(k.Package) + ".test"
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(programs, name)
}

// judge runs a killer, whose program is one of those that build has made. It also
// returns what the killer has printed.
func (l *laboratory) judge(ctx context.Context, k *Killer, programs string) (Verdict, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.programIn(programs), "-test.v", "-test.failfast", "-test.paniconexit0", //nolint:gosec // G204: it has just been built
		"-test.run="+k.Run, "-test.timeout="+patience.String())
	cmd.Dir, cmd.Env = filepath.Join(l.root, filepath.FromSlash(k.Package)), l.environment(k.Env...)
	cmd.WaitDelay = patience
	out, err := cmd.CombinedOutput()
	v, err := verdict(k, string(out), err)
	return v, string(out), err
}

var (
	started = regexp.MustCompile(`(?m)^=== RUN +(\S+)$`)
	failed  = regexp.MustCompile(`(?m)^\s*--- FAIL: |^panic: |^fatal error: `)
	passed  = regexp.MustCompile(`(?m)^\s*--- PASS: (\S+)`)
	skipped = regexp.MustCompile(`(?m)^\s*--- SKIP: (\S+)`)
)

// verdict reads what a test program has printed. end is the error of the program.
func verdict(k *Killer, out string, end error) (Verdict, error) {
	depth := strings.Count(k.Run, "/")
	// The one that the pattern means, not only those around it.
	meant := func(lines *regexp.Regexp) bool {
		return slices.ContainsFunc(lines.FindAllStringSubmatch(out, -1), func(m []string) bool {
			return strings.Count(m[1], "/") >= depth
		})
	}
	switch {
	case strings.Contains(out, "panic: test timed out after"):
		return Survived, ErrHangs
	case end != nil && failed.MatchString(out):
		return Killed, nil
	case end != nil:
		return Survived, fmt.Errorf("%w: %w", ErrBroken, end)
	case meant(passed):
		return Survived, nil
	case skipped.MatchString(out):
		return Skipped, nil
	case !meant(started):
		return Survived, fmt.Errorf("%w: -run %s in %s", ErrNoTest, k.Run, k.Package)
	default:
		return Survived, ErrBroken
	}
}
