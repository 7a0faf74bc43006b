package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

const (
	visits = 10_000
	atOnce = 20
)

// visitsBehindACache is how many there are there, unless proofs are to try for long.
const visitsBehindACache = 2_000

// Two programs count in one session, and no visit is lost or counted twice. Each
// answer is what was stored for that visit.
func TestPromise1_TwoPrograms(t *testing.T) {
	program := build(t)
	redis := func(t *testing.T) string { return "redis://" + servers.Redis(t).DSN() }
	postgres := func(t *testing.T) string { return servers.PostgreSQL(t).Database(t) }
	for name, c := range map[string]struct {
		store string
		dsn   func(t *testing.T) string
		cache bool
	}{
		"redis":                   {"redis", redis, false},
		"redis behind a cache":    {"redis", redis, true},
		"postgres":                {"postgres", postgres, false},
		"postgres behind a cache": {"postgres", postgres, true},
	} {
		t.Run(name, func(t *testing.T) {
			args, visits := []string{"-store", c.store, "-dsn", c.dsn(t)}, visits
			if c.cache {
				args = append(args, "-cache", "2s")
				if os.Getenv("SESSION_TEST_PROOFS") == "" {
					visits = visitsBehindACache
				}
			}
			nodes := []string{start(t, program, args...).url, start(t, program, args...).url}
			begin := time.Now()
			values, refused := hammer(t, nodes, visits)
			t.Logf("%d visits, %d at a time, in %v; %d were told to come again", visits, atOnce, time.Since(begin).Round(time.Millisecond), refused)
			if err := judge(values); err != nil {
				t.Error(err)
			}
			if refused > visits/100 {
				t.Errorf("%d of %d visits were refused at first", refused, visits)
			}
		})
	}
}

// hammer makes n visits in one session, on all nodes in turn, and returns what was
// answered, and how often it had to repeat a visit that was not counted.
func hammer(t *testing.T, nodes []string, n int) (values []int, refused int) {
	t.Helper()
	b := newBrowser(t, nodes[0])
	if status, body := b.do("GET", "/"); status != http.StatusOK || body != "1" {
		t.Fatalf("first visit: %d %q", status, body)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	values = make([]int, n)
	values[0] = 1
	var next, again atomic.Int64
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for turn := int(next.Add(1)); turn < n; turn = int(next.Add(1)) {
				value, repeats, err := insist(ctx, client, nodes[turn%len(nodes)], b.cookies)
				if again.Add(int64(repeats)); err != nil {
					t.Errorf("visit %d: %v", turn, err)
					cancel()
					return
				}
				values[turn] = value
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return values, int(again.Load())
}

// insist repeats a visit for as long as the answer is that nothing was counted.
func insist(ctx context.Context, client *http.Client, url string, cookies map[string]string) (value, repeats int, err error) {
	for {
		status, body, err := fetch(ctx, client, url, cookies)
		switch {
		case err != nil:
			return 0, repeats, err
		case status == http.StatusOK:
			value, err = strconv.Atoi(body)
			return value, repeats, err
		case status != http.StatusServiceUnavailable || repeats == visits:
			return 0, repeats, fmt.Errorf("%d %q after %d repetitions", status, body, repeats)
		}
		repeats++
	}
}

func fetch(ctx context.Context, client *http.Client, url string, cookies map[string]string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		return 0, "", err
	}
	for name, value := range cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, strings.TrimSpace(string(text)), err
}

// judge reports whether values are 1 to their number, each once.
func judge(values []int) error {
	n, sum := len(values), 0
	seen := make(map[int]int, n)
	var errs []error
	for _, v := range values {
		sum += v
		if seen[v]++; (seen[v] > 1 || v < 1 || v > n) && len(errs) < 5 {
			errs = append(errs, fmt.Errorf("%d of %d was answered, time %d", v, n, seen[v]))
		}
	}
	if want := n * (n + 1) / 2; sum != want {
		errs = append(errs, fmt.Errorf("the sum of %d answers is %d, short of %d by %d", n, sum, want, want-sum))
	}
	return errors.Join(errs...)
}

// The proof above rejects programs in which the last writer wins.
func TestTwoProgramsOfLastWriters(t *testing.T) {
	blindly := session.Key[int]("counter").WithLastWriteWins()
	for name, broken := range map[string]struct {
		store func(store.Store) store.Store
		page  http.HandlerFunc
	}{
		"sound": {store: func(s store.Store) store.Store { return s }, page: count},
		"store": {store: func(s store.Store) store.Store { return lastWriter{s} }, page: count},
		"page": {store: func(s store.Store) store.Store { return s }, page: func(w http.ResponseWriter, r *http.Request) {
			n, err := blindly.Get(r.Context())
			if err == nil {
				err = blindly.Set(r.Context(), n+1)
			}
			if err != nil {
				fail(w, err)
				return
			}
			fmt.Fprintln(w, n+1)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 200
			m := meeting{make(chan struct{}), make(chan struct{})}
			shared := broken.store(memory.New())
			nodes := make([]string, len(m))
			for i := range nodes {
				nodes[i] = serveNode(t, &meetingStore{Store: shared, arrive: sync.OnceFunc(func() { close(m[i]) }), meeting: m}, broken.page)
			}
			values, _ := hammer(t, nodes, n)
			err := judge(values)
			switch {
			case name == "sound" && err != nil:
				t.Error(err)
			case name != "sound" && (err == nil || !strings.Contains(err.Error(), "short of 20100")):
				t.Errorf("lost visits were not found: %v", err)
			}
		})
	}
}

// serveNode serves a page on a node of its own, and returns its URL.
func serveNode(t *testing.T, s store.Store, page http.HandlerFunc) string {
	t.Helper()
	manager, err := session.NewManager(session.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := middleware.New(manager, middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sessions.Handler(page))
	t.Cleanup(server.Close)
	return server.URL
}

// lastWriter is a store that replaces a record whatever it has become since.
type lastWriter struct{ store.Store }

func (s lastWriter) Swap(ctx context.Context, key store.Key, _ int64, r store.Record) (store.Record, error) {
	for {
		cur, err := s.Load(ctx, key)
		if err != nil {
			return cur, err
		}
		if cur, err = s.Store.Swap(ctx, key, cur.Version, r); !errors.Is(err, store.ErrConflict) {
			return cur, err
		}
	}
}

// meeting is where each node waits until both have read the session, so that both
// write what they made of the same value: on a machine of any speed.
type meeting [2]chan struct{}

type meetingStore struct {
	store.Store
	arrive  func()
	meeting meeting
}

func (s *meetingStore) Load(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := s.Store.Load(ctx, key)
	s.arrive()
	for _, arrived := range s.meeting {
		select {
		case <-arrived:
		case <-ctx.Done():
			return store.Record{}, ctx.Err()
		}
	}
	return r, err
}
