package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// cachingDoc is docs/caching.md.
func cachingDoc(t *testing.T) document {
	t.Helper()
	return document(readFile(t, "../../docs/caching.md"))
}

// What the page shows is what TestCachingDocSetup runs, or a part of an example.
func TestCachingDocSnippets(t *testing.T) {
	t.Parallel()
	doc, all := cachingDoc(t), snippets(t, "cache_setup_test.go")
	require.Len(t, all, 4)
	for name, source := range all {
		require.Equal(t, source, doc.block(t, "setup "+name), name)
	}
	require.Equal(t, len(all), strings.Count(string(doc), "<!-- setup "), "each is from a test")

	live := readFile(t, "../../examples/live/main.go")
	var shown strings.Builder // as it is indented there
	for line := range strings.Lines(doc.block(t, "live")) {
		shown.WriteString("\t" + line)
	}
	require.Contains(t, live, shown.String())
}

func TestCachingDocLinks(t *testing.T) {
	t.Parallel()
	require.Greater(t, followLinks(t, cachingDoc(t)), 5)
}

// The defaults are those of the code.
func TestCachingDocDefaults(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"`cached.WithTTL`":        fmt.Sprint(cached.DefaultTTL),
		"`cached.WithMaxEntries`": fmt.Sprintf("%d,000", cached.DefaultMaxEntries/1000),
		"`cached.WithMaxBytes`":   fmt.Sprintf("%d MiB", cached.DefaultMaxBytes>>20),
		"`cached.WithNegative`":   "off",
		"`Config.WatchInterval`":  fmt.Sprint(session.DefaultWatchInterval),
		"`store.WatchPatience`":   fmt.Sprint(store.WatchPatience),
	}
	rows := cachingDoc(t).table(t, "defaults")
	require.Len(t, rows, len(want))
	for _, row := range rows {
		require.Equal(t, want[row[0]], row[1], row[0])
	}
}

// A store tells of changes, and has to be set up for it, as the page says.
func TestCachingDocNotification(t *testing.T) {
	t.Parallel()
	rows := map[string][]string{}
	for _, row := range cachingDoc(t).table(t, "notification") {
		for name := range strings.SplitSeq(row[0], ", ") {
			rows[name] = row
		}
	}
	tells := func(st store.Store) bool {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w, ok := st.(store.Watcher)
		return ok && !errors.Is(w.Watch(ctx, func() {}, func(store.Change) {}), errors.ErrUnsupported)
	}
	for _, b := range backends { // as they are without an option
		require.Contains(t, rows, b.name)
		require.Equal(t, rows[b.name][1] == "always", tells(b.site(t).node(t)), b.name)
	}
	for _, k := range tellingKinds {
		require.NotEqual(t, "never", rows[k.name][1], k.name)
		require.True(t, tells(k.site(t).node(t)), k.name)
		delete(rows, k.name)
	}
	for name, row := range rows {
		require.Equal(t, "never", row[1], name)
	}
}

// The code of the page works.
func TestCachingDocSetup(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memory.New() },
		"Redis":  func(t *testing.T) store.Store { return newTellingRedis(newRedis(t, servers.StartRedis(t).Addr())) },
		"PostgreSQL": func(t *testing.T) store.Store {
			direct := servers.PostgreSQL(t).Database(t)
			st, err := newTellingPostgreSQL(t.Context(), postgres.open(t, direct), direct)
			require.NoError(t, err)
			return st
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := open(t)
			other, err := session.NewManager(session.Config{Store: st})
			require.NoError(t, err)
			require.NoError(t, serveNear(t.Context(), st, func(m *session.Manager) error {
				credential, err := visit(t.Context(), other, "", func(ctx context.Context) error { return counter.Set(ctx, 1) })
				require.NoError(t, err)
				read := func() (n int) {
					_, err := visit(t.Context(), m, credential, func(ctx context.Context) error {
						var err error
						n, err = counter.Get(ctx)
						return err
					})
					require.NoError(t, err)
					return n
				}
				require.Equal(t, 1, read())
				_, err = visit(t.Context(), other, credential, addOne)
				require.NoError(t, err)
				eventually(t, func() bool { return read() == 2 })
				return nil
			}))
		})
	}
}

// A socket outlives its request, and ends with the session.
func TestCachingDocSocket(t *testing.T) {
	t.Parallel()
	m, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
	mw, err := middleware.New(m, middleware.Config{Insecure: true})
	require.NoError(t, err)
	over := make(chan error, 1)
	server := httptest.NewServer(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := session.FromContext(r.Context()).Login(r.Context(), "ada"); err != nil {
			t.Error(err)
			return
		}
		serveSocket(w, r, func(ctx context.Context, conn net.Conn) {
			_, _ = io.WriteString(conn, "hello\n")
			_, err := io.Copy(io.Discard, conn) // until it is closed
			over <- errors.Join(err, context.Cause(ctx))
		})
	})))
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patient)))
	_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	lines := bufio.NewReader(conn)
	for text := ""; text != "hello\n"; {
		text, err = lines.ReadString('\n')
		require.NoError(t, err)
	}
	require.Empty(t, over)
	require.NoError(t, m.RevokeOwner(t.Context(), "ada"))
	_, err = lines.ReadByte()
	require.Error(t, err)
	require.ErrorIs(t, <-over, session.ErrDestroyed)
}
