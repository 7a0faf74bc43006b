package main

import (
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// tables prints what was measured as Markdown.
func tables(all results, l load, rounds int, each time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s/%s, %d CPUs, %s, scs %s, sessions in %s, %d at once; %d rounds of %v.\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(),
		runtime.Version(), version("github.com/alexedwards/scs/v2"), l.at.name, l.workers, rounds, each)
	for _, gc := range collectors {
		r := all[gc]
		fmt.Fprintf(&b, "\n`GOGC=%d`; a handler without any middleware takes %s.\n\n", gc, duration(least(r.bare, nanoseconds)))
		first, second := l.peers[0].name, l.peers[1].name
		fmt.Fprintf(&b, "| | request | %s | %s | %[1]s / %[2]s | by CPU | allocations | bytes |\n", first, second)
		b.WriteString("|---|---|--:|--:|--:|--:|--:|--:|\n")
		for _, s := range scenarios {
			ours, theirs := r.by[s.name][first], r.by[s.name][second]
			a, c := least(ours, nanoseconds), least(theirs, nanoseconds)
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %d / %d | %d / %d |\n", s.name, s.about,
				duration(a), duration(c), ratio(a/c), ratio(medianRatio(ours, theirs)),
				int64(least(ours, allocations)), int64(least(theirs, allocations)),
				int64(least(ours, bytes)), int64(least(theirs, bytes)))
		}
	}
	return b.String()
}

func nanoseconds(s sample) float64 { return s.ns }
func allocations(s sample) float64 { return float64(s.allocs) }
func bytes(s sample) float64       { return float64(s.bytes) }

func least(samples []sample, of func(sample) float64) float64 {
	m := math.Inf(1)
	for _, s := range samples {
		m = min(m, of(s))
	}
	return m
}

// medianRatio compares the CPU times of each round, which were measured one right
// after the other.
func medianRatio(a, b []sample) float64 {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i].cpu / b[i].cpu
	}
	slices.Sort(ratios)
	n := len(ratios)
	return (ratios[(n-1)/2] + ratios[n/2]) / 2
}

func duration(ns float64) string {
	switch {
	case ns < 1000:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 10_000:
		return fmt.Sprintf("%.2f µs", ns/1000)
	default:
		return fmt.Sprintf("%.1f µs", ns/1000)
	}
}

// ratio prints two digits that count.
func ratio(x float64) string {
	if math.IsNaN(x) { // the CPU time is not known here
		return "-"
	}
	return fmt.Sprintf("%.*f", max(0, 1-int(math.Floor(math.Log10(x)))), x)
}

func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return ""
}
