package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

// flatWriter is a response writer that is used again and again, and allocates
// nothing.
type flatWriter struct{ header http.Header }

func (w *flatWriter) Header() http.Header         { return w.header }
func (w *flatWriter) WriteHeader(int)             {}
func (w *flatWriter) Write(p []byte) (int, error) { return len(p), nil }

func addOne(n *int) error { *n++; return nil }

// budgets are the allocations of one request, memory store included.
var budgets = []struct {
	name    string
	most    float64
	visitor bool // has a session
	do      func(r *http.Request, run int) error
}{
	{"untouched, no cookie", 3, false, func(*http.Request, int) error { return nil }},
	{"untouched, cookie", 3, true, func(*http.Request, int) error { return nil }},
	{"FromContext", 3, true, func(r *http.Request, _ int) error { session.FromContext(r.Context()); return nil }},
	{"read an int", 3, true, func(r *http.Request, _ int) error { _, err := gateCount.Get(r.Context()); return err }},
	{"read a string", 4, true, func(r *http.Request, _ int) error { _, err := gateName.Get(r.Context()); return err }},
	{"read what is not there", 3, false, func(r *http.Request, _ int) error { _, err := gateCount.Get(r.Context()); return err }},
	{"increment by Update", 8, true, func(r *http.Request, _ int) error {
		_, err := gateCount.Update(r.Context(), addOne)
		return err
	}},
	{"Set of an int", 8, true, func(r *http.Request, run int) error { return gateCount.Set(r.Context(), run) }},
}

// budgetRun returns a function that serves one request.
func budgetRun(t testing.TB, visitor bool, do func(r *http.Request, run int) error) func() {
	m, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
	mw, err := middleware.New(m, middleware.Config{})
	require.NoError(t, err)
	r := httptest.NewRequest(http.MethodGet, "https://shop.test/", nil)
	if visitor {
		rec := httptest.NewRecorder()
		mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			require.NoError(t, gateCount.Set(r.Context(), 1))
			require.NoError(t, gateName.Set(r.Context(), "ada lovelace"))
		})).ServeHTTP(rec, r)
		r.Header.Set("Cookie", middleware.HostName+"="+issuedCookie(t, recorded(rec)))
	}
	run := 1000 // beyond the ints that need no memory
	w := &flatWriter{header: make(http.Header, 8)}
	body := []byte("ok")
	h := mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		run++
		if err := do(r, run); err != nil {
			panic(err)
		}
		_, _ = w.Write(body)
	}))
	return func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
}

func TestAllocations(t *testing.T) { // not parallel: AllocsPerRun counts everybody's
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, b := range budgets {
		serve := budgetRun(t, b.visitor, b.do)
		got := testing.AllocsPerRun(1000, serve)
		t.Logf("%-24s %v of %v", b.name, got, b.most)
		if got > b.most {
			t.Errorf("%s: %v allocations, want at most %v", b.name, got, b.most)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	for _, c := range budgets {
		b.Run(c.name, func(b *testing.B) {
			serve := budgetRun(b, c.visitor, c.do)
			b.ReportAllocs()
			for b.Loop() {
				serve()
			}
		})
	}
}
