package main

import (
	"flag"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every measurement works; the times of so small a load mean nothing.
func TestRun(t *testing.T) {
	before := flag.Lookup("test.benchtime").Value.String()
	t.Cleanup(func() { require.NoError(t, flag.Set("test.benchtime", before)) }) // of the benchmarks behind the tests
	for workers, compared := range map[int][2]peer{1: stores, 2 * runtime.GOMAXPROCS(0): peers} {
		var out strings.Builder
		l := load{at: inMemory, peers: compared, workers: workers, sessions: 8 * workers, laps: 2, turnover: 7}
		require.NoError(t, run(&out, io.Discard, 2, 100*time.Microsecond, l))
		for _, s := range scenarios {
			require.Equal(t, len(collectors), strings.Count(out.String(), "\n| "+s.name+" |"), out.String())
		}
		require.NotContains(t, out.String(), "NaN")
		require.NotContains(t, out.String(), "Inf")
	}
}

// A peer that answers an error is not measured.
func TestErrorsAreNotMeasured(t *testing.T) {
	s := scenarios[0]
	s.handler = func(app) handlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }
	}
	for _, workers := range []int{1, 2} {
		l := load{at: inMemory, workers: workers, sessions: 2, laps: 1}
		_, err := take(func(b *testing.B) error { return measure(b, peers[0], &s, l) })
		require.ErrorContains(t, err, "418")
	}
}

func TestMedianRatio(t *testing.T) {
	of := func(cpu ...float64) (samples []sample) {
		for _, c := range cpu {
			samples = append(samples, sample{cpu: c})
		}
		return samples
	}
	require.InDelta(t, 0.5, medianRatio(of(1, 9, 2), of(2, 9, 5)), 1e-9)
	require.InDelta(t, 0.25, medianRatio(of(1, 2), of(5, 5))-0.05, 1e-9)
}

func TestRatio(t *testing.T) {
	for x, want := range map[float64]string{12.3: "12", 1.26: "1.3", 0.126: "0.13", 0.00126: "0.0013"} {
		require.Equal(t, want, ratio(x))
	}
}
