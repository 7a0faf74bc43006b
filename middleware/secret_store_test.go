package middleware_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
)

// captureLogs takes over the default loggers of a test that is not parallel.
func captureLogs(t *testing.T) *gateLog {
	var captured gateLog
	logger, out, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(&captured, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() {
		slog.SetDefault(logger)
		log.SetOutput(out)
		log.SetFlags(flags)
	})
	return &captured
}

// storeDump is everything that a store was given.
type storeDump struct {
	mu   sync.Mutex
	keys map[store.Key]bool
	data [][]byte
	all  []string
}

func (d *storeDump) note(c *spy.Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keys[c.Key] = true
	d.data = append(d.data, c.Arg.Data)
	d.all = append(d.all, string(c.Key[:]), c.Key.String(), string(c.Arg.Data), c.Arg.Owner,
		fmt.Sprintf("%x %d %d", c.Arg.Data, c.Arg.Version, c.Arg.Expires.UnixMilli()))
}

// wire is a visitor of a real server.
type wire struct {
	t       *testing.T
	srv     *httptest.Server
	secrets *secrets
	cookie  string
	do      atomic.Value // func(http.ResponseWriter, *http.Request) error
	bodies  []string
}

// visit lets the visitor's next request do something.
func (v *wire) visit(do func(w http.ResponseWriter, r *http.Request) error) {
	v.t.Helper()
	v.do.Store(do)
	req, err := http.NewRequestWithContext(v.t.Context(), http.MethodPost, v.srv.URL, nil)
	require.NoError(v.t, err)
	req.Host = "shop.test"
	if v.cookie != "" {
		req.Header.Set("Cookie", nameEq+v.cookie)
	}
	res, err := v.srv.Client().Do(req)
	if err != nil {
		return // the handler panicked
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(v.t, err)
	v.bodies = append(v.bodies, string(body))
	for _, c := range sessionCookies(&gateAnswer{Header: res.Header}) {
		if v.cookie = c.Value; v.cookie != "" {
			v.secrets.add(v.cookie)
		}
	}
}

// TestPromise9_NoCredentialInLogsErrorsAndStore runs a program into every
// failure there is, with the default loggers, and looks at all that it wrote.
func TestPromise9_NoCredentialInLogsErrorsAndStore(t *testing.T) { // not parallel: replaces the default loggers
	captured := captureLogs(t)
	var (
		s    secrets
		seen []error
		mu   sync.Mutex
	)
	dump := storeDump{keys: map[store.Key]bool{}}
	var broken spy.Op
	g := newGate(t, func(sc *session.Config, mc *middleware.Config) {
		sc.MaxBytes = 1000
		mc.Logger, mc.Report = nil, nil
	})
	g.spy.Hook(func(_ context.Context, c *spy.Call) {
		dump.note(c)
		if c.Op == broken {
			c.Err = fmt.Errorf("row %s of %d bytes: %w", c.Key, len(c.Arg.Data), errGateStore)
			return
		}
		c.Next()
	})
	v := &wire{t: t, secrets: &s}
	v.srv = httptest.NewServer(g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := v.do.Load().(func(http.ResponseWriter, *http.Request) error)(w, r)
		mu.Lock()
		seen = append(seen, err)
		mu.Unlock()
		if err != nil {
			slog.Error("handler", "error", err, "session", session.FromContext(r.Context()))
			_, _ = fmt.Fprintf(w, "%v %+v", err, session.FromContext(r.Context()))
		}
	})))
	defer v.srv.Close()
	sess := func(r *http.Request) *session.Session { return session.FromContext(r.Context()) }
	set := func(n int) func(http.ResponseWriter, *http.Request) error {
		return func(_ http.ResponseWriter, r *http.Request) error { return gateCount.Set(r.Context(), n) }
	}
	fails := func(op spy.Op, do func(w http.ResponseWriter, r *http.Request) error) {
		v.visit(func(w http.ResponseWriter, r *http.Request) error {
			if op == spy.Load {
				broken = op
			}
			_, err := gateName.Get(r.Context())
			broken = op
			return errors.Join(err, do(w, r))
		})
		broken = ""
	}

	v.visit(set(1))
	for range 3 { // visitors who never come back: the warning about plain HTTP
		known := v.cookie
		v.cookie = ""
		v.visit(set(1))
		v.cookie = known
	}
	v.visit(func(_ http.ResponseWriter, r *http.Request) error { return sess(r).Login(r.Context(), "ada") })
	v.visit(func(_ http.ResponseWriter, r *http.Request) error {
		return sess(r).SetExpiry(r.Context(), session.OnInactivity(time.Hour))
	})
	v.visit(func(_ http.ResponseWriter, r *http.Request) error { return sess(r).Elevate(r.Context()) })
	for _, op := range []spy.Op{spy.Load, spy.Insert, spy.Swap, spy.Delete} {
		fails(op, set(int(time.Now().UnixNano())))
		fails(op, func(_ http.ResponseWriter, r *http.Request) error { return sess(r).Destroy(r.Context()) })
		cookie := v.cookie
		v.cookie = ""
		fails(op, set(2))
		if v.cookie == "" {
			v.cookie = cookie
		}
	}
	if _, ok := g.count(v.cookie); !ok {
		v.cookie = ""
		v.visit(set(1))
	}
	racing := func(first, then func(r *http.Request) error) {
		v.visit(func(_ http.ResponseWriter, r *http.Request) error {
			err := first(r)
			g.visit(v.cookie, func(_ http.ResponseWriter, r *http.Request) { assert.NoError(t, then(r)) })
			return err
		})
	}
	change := func(r *http.Request) error { return gateCount.Set(r.Context(), int(time.Now().UnixNano())) }
	racing(func(r *http.Request) error { return errors.Join(gateErr(gateCount.Get(r.Context())), change(r)) }, change)
	runs := 0
	racing(func(r *http.Request) error {
		return gateErr(gateCount.Update(r.Context(), func(n *int) error {
			if runs++; runs > 1 {
				return errors.New("refused")
			}
			*n++
			return nil
		}))
	}, change)
	v.visit(func(_ http.ResponseWriter, r *http.Request) error {
		return gateName.Set(r.Context(), strings.Repeat("x", 2000))
	})
	v.visit(func(_ http.ResponseWriter, r *http.Request) error {
		return gateErr(session.Key[[]int](gateCount.Name()).Get(r.Context()))
	})
	v.visit(func(w http.ResponseWriter, r *http.Request) error { // both reports
		w.Header().Set("Cache-Control", "public")
		gateCount.Value(r.Context())
		return nil
	})
	v.visit(func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.WriteString(w, "x")
		return gateErr(gateCount.Get(r.Context()))
	})
	v.visit(func(_ http.ResponseWriter, r *http.Request) error { panic(fmt.Sprint("at ", sess(r), r.Context())) })
	info := ""
	v.visit(func(_ http.ResponseWriter, r *http.Request) error {
		i, err := sess(r).Info(r.Context())
		info = i.ID
		return err
	})
	racing(change, func(r *http.Request) error { return sess(r).Destroy(r.Context()) })
	last := v.cookie
	v.cookie = ""
	v.visit(set(42)) // a session that is there in the end
	require.NotEqual(t, last, v.cookie)

	v.srv.Close() // and with it, what it logs about the panic
	text := captured.String()
	for _, want := range []string{
		"session not committed", "Insecure", "panic serving", errGateStore.Error(),
		middleware.ErrPublic.Error(), middleware.ErrLateUse.Error(), session.ErrDestroyed.Error(), "changed since this request read it",
		"refused",
	} {
		require.True(t, strings.Contains(text, want), "the scenario does not reach %q", want)
	}
	require.Greater(t, len(s.forms), 8*15, "credentials that were issued")
	require.Empty(t, s.in(text), "the logs:\n%s", text)
	require.Empty(t, s.in(strings.Join(v.bodies, "\n")), "responses")
	for _, err := range seen {
		for how, text := range renderings(err) {
			require.Empty(t, s.in(text), "%T by %s: %s", err, how, text)
		}
	}
	require.Greater(t, len(dump.keys), 5)
	for _, text := range dump.all {
		require.Empty(t, s.in(text), "what the store was given: %q", text)
	}
	requireHashesOpenNothing(t, g, &dump, v.cookie, info)
}

func gateErr[T any](_ T, err error) error { return err }

// requireHashesOpenNothing plays a thief who has the whole store, and even one
// half of a credential: 16 bytes of anything stored in place of the other half
// open nothing.
func requireHashesOpenNothing(t *testing.T, g *gate, dump *storeDump, live, handle string) {
	t.Helper()
	n, ok := g.count(live)
	require.True(t, ok, "the test itself")
	require.Equal(t, 42, n)
	key, secret, _ := strings.Cut(live, ".")
	halves := map[string]bool{handle[:21] + "A": true}
	add := func(b []byte) {
		for i := range len(b) - 15 {
			halves[base64.RawURLEncoding.EncodeToString(b[i:i+16])] = true
		}
	}
	for k := range dump.keys {
		add(k[:])
	}
	for _, data := range dump.data[max(0, len(dump.data)-4):] { // the last holds the live session
		add(data)
	}
	require.Greater(t, len(halves), 100)
	tries := []string{handle, handle + ".", "." + handle}
	for half := range halves {
		tries = append(tries, key+"."+half, half+"."+secret, half+"."+half)
	}
	for k := range dump.keys {
		tries = append(tries, k.String(), string(k[:]),
			base64.RawURLEncoding.EncodeToString(k[:16])+"."+base64.RawURLEncoding.EncodeToString(k[16:]))
	}
	for _, try := range tries {
		_, ok := g.count(try)
		require.False(t, ok, "%q opens a session", try)
	}
}
