package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// step is one check. A later step runs whether or not an earlier one failed.
type step struct {
	name string
	run  func(context.Context) error
}

type result struct {
	name string
	err  error
	took time.Duration
}

var errNotRun = errors.New("not run")

// runSteps runs the steps in order. After an interrupt it starts none.
func runSteps(ctx context.Context, w io.Writer, steps []step) []result {
	results := make([]result, 0, len(steps))
	for _, s := range steps {
		if ctx.Err() != nil {
			results = append(results, result{name: s.name, err: errNotRun})
			continue
		}
		_, _ = fmt.Fprintf(w, "\n=== %s\n", s.name)
		begin := time.Now()
		err := s.run(ctx)
		if err != nil {
			_, _ = fmt.Fprintf(w, "FAILED %s: %v\n", s.name, err)
		}
		results = append(results, result{name: s.name, err: err, took: time.Since(begin)})
	}
	return results
}

// summarize prints a line for each step and fails if any step did.
func summarize(w io.Writer, results []result) error {
	_, _ = fmt.Fprintln(w, "\n=== summary")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var failed []string
	for _, r := range results {
		state := "ok"
		switch {
		case errors.Is(r.err, errNotRun):
			state = "not run"
		case r.err != nil:
			state = "FAILED"
		}
		if r.err != nil {
			failed = append(failed, r.name)
		}
		_, _ = fmt.Fprintf(table, "%s\t%.1fs\t%s\n", state, r.took.Seconds(), r.name)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d steps did not pass: %s", len(failed), len(results), strings.Join(failed, ", "))
	}
	return nil
}
