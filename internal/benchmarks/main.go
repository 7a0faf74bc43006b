// Benchmarks compares this library with its peers, in one process and in turns,
// and prints the tables of docs/performance.md. From the root of the repository:
//
//	GOWORK=off go -C internal/benchmarks run .
//
// The same measurements are ordinary benchmarks, for profiles and for one scenario
// alone; peers then do not take turns:
//
//	GOWORK=off go -C internal/benchmarks test -bench Session/S4 -cpuprofile cpu.prof
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"testing"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 10, "how often everything is measured")
	each := flag.Duration("each", 100*time.Millisecond, "how long each measurement takes")
	flag.Parse()
	if err := run(os.Stdout, os.Stderr, *rounds, *each, usual); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out, progress io.Writer, rounds int, each time.Duration, l load) error {
	if err := checkAll(); err != nil {
		return err
	}
	if flag.Lookup("test.benchtime") == nil {
		testing.Init()
	}
	if err := flag.Set("test.benchtime", each.String()); err != nil {
		return err
	}
	results, err := measureAll(progress, rounds, l)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, tables(results, rounds, each))
	return err
}
