// Benchmarks compares this library with its peers, in one process and in turns,
// and prints the tables of docs/performance.md. From the root of the repository:
//
//	GOWORK=off go -C internal/benchmarks run .
//
// With -redis localhost:6379 the sessions are in Redis, and 16 requests are under
// way at once. With -cached a near cache in front of that is compared with sessions
// in memory.
//
// The same measurements are ordinary benchmarks, for profiles and for one scenario
// alone; peers then do not take turns:
//
//	GOWORK=off go -C internal/benchmarks test -bench Session/S4 -cpuprofile cpu.prof
package main

import (
	"context"
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
	server := flag.String("redis", "", "the address of an empty Redis server to keep the sessions in, instead of in memory")
	nearby := flag.Bool("cached", false, "compare this library behind a near cache with itself on sessions in memory")
	flag.Parse()
	l := usual
	err := error(nil)
	if *server != "" {
		l.at, err = inRedis(context.Background(), *server)
		l.workers = 16
	}
	if *nearby {
		l.peers = stores
	}
	if err == nil {
		err = run(os.Stdout, os.Stderr, *rounds, *each, l)
	}
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(out, progress io.Writer, rounds int, each time.Duration, l load) error {
	if err := checkAll(l.at, l.peers[:]); err != nil {
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
	_, err = io.WriteString(out, tables(results, l, rounds, each))
	return err
}
