package main

import (
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
)

// load is how much is put into a store before the measurement, and what is
// dropped during it.
type load struct {
	at       place
	peers    [2]peer // the first against the second
	workers  int     // who send requests at once, each those of its own sessions
	sessions int
	laps     int // requests per session before the first that counts
	turnover int // sessions after which a scenario that creates some gets an empty store
}

// usual has enough sessions that they do not fit into the nearest caches, and
// enough laps for records that grow with the first changes to have grown.
var usual = load{at: inMemory, peers: peers, workers: 1, sessions: 256, laps: 20, turnover: 10_000}

// measure runs the request of a scenario against a new program of a peer, from one
// goroutine.
func measure(b *testing.B, p peer, s *scenario, l load) error {
	c, requests, err := prepare(p, s, l)
	if err != nil {
		return err
	}
	runtime.GC() // the garbage of the preparation is nobody's
	if l.workers > 1 {
		return measureAtOnce(b, p, s, l, c.handler, requests)
	}
	i, created := 0, 0
	begin := cpuTime()
	for b.Loop() {
		if err := c.do(requests[i]); err != nil {
			return fmt.Errorf("%s, %s: %w", p.name, s.name, err)
		}
		if i++; i == len(requests) {
			i = 0
		}
		if created++; s.creates && created%l.turnover == 0 {
			if c.handler, err = newHandler(p, s, l.at); err != nil {
				return err
			}
		}
	}
	report(b, cpuTime()-begin)
	return nil
}

// measureAtOnce is measure with several workers: where requests wait for a server
// the CPU time of one worker alone is mostly that of falling asleep and waking up.
func measureAtOnce(b *testing.B, p peer, s *scenario, l load, h http.Handler, requests []*http.Request) error {
	var workers atomic.Int64
	var failed atomic.Pointer[error]
	b.SetParallelism(l.workers / runtime.GOMAXPROCS(0))
	b.ResetTimer() // unlike b.Loop, this one counts the preparation
	begin := cpuTime()
	b.RunParallel(func(pb *testing.PB) {
		c := newClient(h)
		for i := int(workers.Add(1)) - 1; pb.Next(); i += l.workers {
			if err := c.do(requests[i%len(requests)]); err != nil {
				err = fmt.Errorf("%s, %s: %w", p.name, s.name, err)
				failed.Store(&err)
				return
			}
		}
	})
	report(b, cpuTime()-begin)
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// measureBare runs a handler without any session, to tell what a client costs.
func measureBare(b *testing.B) error {
	c := newClient(http.HandlerFunc(untouched))
	r := newRequest("id", "")
	begin := cpuTime()
	for b.Loop() {
		if err := c.do(r); err != nil {
			return err
		}
	}
	report(b, cpuTime()-begin)
	return nil
}

func report(b *testing.B, cpu int64) {
	b.ReportAllocs()
	if cpu > 0 {
		b.ReportMetric(float64(cpu)/float64(b.N), cpuUnit)
	}
}

const cpuUnit = "cpu-ns/op"

func newHandler(p peer, s *scenario, at place) (http.Handler, error) {
	a, err := p.new(at)
	if err != nil {
		return nil, err
	}
	return a.middleware(http.HandlerFunc(s.handler(a))), nil
}

// prepare returns the requests of a scenario, one for each session, which a
// measurement repeats in turn and as they are.
func prepare(p peer, s *scenario, l load) (*client, []*http.Request, error) {
	a, err := p.new(l.at)
	if err != nil {
		return nil, nil, err
	}
	c := newClient(a.middleware(http.HandlerFunc(s.handler(a))))
	if s.anonymous {
		return c, []*http.Request{newRequest(a.cookie(), "")}, nil
	}
	requests := make([]*http.Request, l.sessions)
	for i := range requests {
		v, err := newVisitor(a, s.data.contents(s.data.first))
		if err != nil {
			return nil, nil, err
		}
		requests[i] = newRequest(a.cookie(), v.credential)
	}
	laps := 1
	if s.changes {
		laps = l.laps
	}
	for range laps {
		for _, r := range requests {
			if err := c.do(r); err != nil {
				return nil, nil, err
			}
		}
	}
	return c, requests, nil
}
