package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// grace is how long an interrupted child may take to end by itself.
const grace = 5 * time.Second

// shell starts the commands of the checks.
type shell struct {
	root string
	out  io.Writer
}

// command is one child process. Its standard input is closed.
type command struct {
	dir  string // relative to the root; empty is the root
	env  []string
	args []string
}

func (c command) String() string {
	line := strings.Join(append(append([]string{}, c.env...), c.args...), " ")
	if c.dir != "" && c.dir != "." {
		line = "(" + c.dir + ") " + line
	}
	return line
}

func (s shell) say(format string, args ...any) {
	_, _ = fmt.Fprintf(s.out, format+"\n", args...)
}

// run shows the command, and what it prints as it comes.
func (s shell) run(ctx context.Context, c command) error {
	s.say("$ %s", c)
	return s.start(ctx, c, s.out)
}

// output returns what the command printed on its standard output.
func (s shell) output(ctx context.Context, c command) (string, error) {
	var b strings.Builder
	err := s.start(ctx, c, &b)
	return strings.TrimSpace(b.String()), err
}

func (s shell) start(ctx context.Context, c command, stdout io.Writer) error {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir = filepath.Join(s.root, filepath.FromSlash(c.dir))
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Stdout, cmd.Stderr = stdout, s.out
	cmd.WaitDelay = grace
	ownGroup(cmd)
	err := cmd.Run()
	if ctx.Err() != nil {
		killGroup(cmd)
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}
