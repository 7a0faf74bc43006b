package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"testing"
)

// collectors are the settings of the garbage collector. With the default a process
// as small as this one collects every few thousand requests, which a server with
// data of its own does not.
var collectors = []int{100, 800}

// sample is the result of one measurement.
type sample struct {
	ns, cpu       float64 // per request
	allocs, bytes int64
}

// results are the samples of all rounds, by setting of the collector.
type results map[int]*series

type series struct {
	bare []sample
	by   map[string]map[string][]sample // scenario, peer
}

// measureAll measures everything once in each round. What is compared runs side by
// side, in alternating order: noise then meets all of it.
func measureAll(progress io.Writer, rounds int, l load) (results, error) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	all := make(results)
	for _, gc := range collectors {
		all[gc] = &series{by: make(map[string]map[string][]sample)}
		for _, s := range scenarios {
			all[gc].by[s.name] = make(map[string][]sample)
		}
	}
	for round := range rounds {
		_, _ = fmt.Fprintf(progress, "round %d of %d\n", round+1, rounds)
		for _, gc := range collectors {
			debug.SetGCPercent(gc)
			if err := all[gc].measure(round, l); err != nil {
				return nil, err
			}
		}
	}
	return all, nil
}

func (r *series) measure(round int, l load) error {
	bare, err := take(measureBare)
	if err != nil {
		return err
	}
	r.bare = append(r.bare, bare)
	for i := range scenarios {
		s := &scenarios[i]
		for j := range l.peers {
			p := l.peers[(round+j)%len(l.peers)]
			got, err := take(func(b *testing.B) error { return measure(b, p, s, l) })
			if err != nil {
				return err
			}
			r.by[s.name][p.name] = append(r.by[s.name][p.name], got)
		}
	}
	return nil
}

func take(f func(b *testing.B) error) (sample, error) {
	var failed error
	r := testing.Benchmark(func(b *testing.B) { failed = f(b) })
	if failed != nil {
		return sample{}, failed
	}
	return sample{
		ns:     float64(r.T.Nanoseconds()) / float64(r.N),
		cpu:    r.Extra[cpuUnit],
		allocs: r.AllocsPerOp(),
		bytes:  r.AllocedBytesPerOp(),
	}, nil
}
