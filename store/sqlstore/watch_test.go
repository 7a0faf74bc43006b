package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// notifier stands in for PostgreSQL as far as Watch can see: it shows triggers, and
// passes on what is notified.
type notifier struct {
	schema  string
	source  string // of the function; empty: there is none
	rows    [][]driver.Value
	failing error // of every statement
	lost    bool  // notifications go nowhere
	stuck   bool  // so do statements that notify

	mu        sync.Mutex
	queries   int
	listeners []chan [2]string // channel, payload
}

// newNotifier has all that Migrate creates for the default table.
func newNotifier() *notifier {
	return &notifier{schema: "public", rows: [][]driver.Value{{"sessions_swapped", true, true}, {"sessions_deleted", true, true}}}
}

func (n *notifier) Connect(context.Context) (driver.Conn, error) { return notifierConn{n}, nil }
func (n *notifier) Driver() driver.Driver                        { return nil }

func (n *notifier) notify(channel, payload string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.listeners {
		l <- [2]string{channel, payload}
	}
}

// listen is a Listener.
func (n *notifier) listen(ctx context.Context, channel string, ready func(), notify func(payload string)) error {
	l := make(chan [2]string, 100)
	n.mu.Lock()
	n.listeners = append(n.listeners, l)
	n.mu.Unlock()
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case news := <-l:
			if news[0] == channel {
				notify(news[1])
			}
		}
	}
}

// store returns one that listens with l.
func (n *notifier) store(t *testing.T, l sqlstore.Listener) *sqlstore.Store {
	t.Helper()
	db := sql.OpenDB(n)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(l))
	require.NoError(t, err)
	return s
}

type notifierConn struct{ *notifier }

func (notifierConn) Close() error                        { return nil }
func (notifierConn) Begin() (driver.Tx, error)           { panic("unused") }
func (notifierConn) Prepare(string) (driver.Stmt, error) { panic("unused") }

func (c notifierConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if !strings.Contains(query, "pg_notify") {
		panic("unexpected: " + query)
	}
	switch {
	case c.failing != nil:
		return nil, c.failing
	case c.stuck:
		<-ctx.Done()
		return nil, ctx.Err()
	case !c.lost:
		c.notify(args[0].Value.(string), args[1].Value.(string))
	}
	return driver.ResultNoRows, nil
}

func (c notifierConn) QueryContext(_ context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !strings.Contains(query, "pg_trigger") || args[0].Value != `"sessions"` {
		panic("unexpected: " + query)
	}
	c.mu.Lock()
	c.queries++
	c.mu.Unlock()
	if c.failing != nil {
		return nil, c.failing
	}
	rows := &triggerRows{}
	source := driver.Value(sqlstore.NotifyBody(c.schema, "sessions"))
	if c.source == "none" {
		source = nil
	} else if c.source != "" {
		source = c.source
	}
	for _, trigger := range c.rows {
		rows.left = append(rows.left, append([]driver.Value{c.schema, source}, trigger...))
	}
	return rows, nil
}

type triggerRows struct{ left [][]driver.Value }

func (*triggerRows) Columns() []string {
	return []string{"schema", "source", "trigger", "calls", "enabled"}
}
func (*triggerRows) Close() error { return nil }

func (r *triggerRows) Next(row []driver.Value) error {
	if len(r.left) == 0 {
		return io.EOF
	}
	copy(row, r.left[0])
	r.left = r.left[1:]
	return nil
}

const channel = "typedsession.public.sessions"

// payload is that of a change of the key {1}.
func payload(version string) string { return "01" + strings.Repeat("00", 31) + ":" + version }

func unexpected(store.Change) { panic("nothing has changed") }

func TestWatchTellsWhatIsNotified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier()
		s := n.store(t, n.listen)
		ctx, cancel := context.WithCancel(t.Context())
		ready, told, ended := 0, []store.Change(nil), make(chan error, 1)
		go func() {
			ended <- s.Watch(ctx, func() { ready++ }, func(c store.Change) { told = append(told, c) })
		}()
		synctest.Wait()
		require.Equal(t, 1, ready)
		for _, text := range []string{payload("7"), "nonsense", "", "probe:somebody else's", payload("0"), payload("x")} {
			n.notify(channel, text)
		}
		n.notify("another", payload("8"))
		synctest.Wait()
		require.Equal(t, []store.Change{{Key: store.Key{1}, Version: 7}, {Key: store.Key{1}}}, told)
		time.Sleep(time.Hour)
		require.Empty(t, ended, "it has been ready, and waits as long as it takes")
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
		require.Equal(t, 1, ready)
	})
}

// What was notified before ready is nobody's business.
func TestWatchIsReadyWhenItHearsItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier()
		ctx, cancel := context.WithCancel(t.Context())
		ready := false
		s := n.store(t, func(ctx context.Context, channel string, listening func(), notify func(string)) error {
			return n.listen(ctx, channel, func() {
				notify(payload("1")) // of whoever was faster
				require.False(t, ready)
				listening()
				listening()
				notify(payload("1")) // of whoever was faster than the store
				require.False(t, ready)
			}, notify)
		})
		ended := make(chan error, 1)
		go func() { ended <- s.Watch(ctx, func() { ready = true }, unexpected) }()
		synctest.Wait()
		require.True(t, ready)
		time.Sleep(time.Hour)
		require.Empty(t, ended)
		cancel()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

// A listener that goes on when it should have ended is not passed on.
func TestWatchIsOverForItsListenerToo(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	ctx, cancel := context.WithCancel(t.Context())
	s := n.store(t, func(ctx context.Context, channel string, ready func(), notify func(string)) error {
		err := n.listen(ctx, channel, ready, notify)
		notify(payload("1"))
		return err
	})
	require.ErrorIs(t, s.Watch(ctx, cancel, unexpected), context.Canceled)
}

func TestWatchThatHearsNothingIsNeverReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newNotifier()
		n.lost = true
		begun := time.Now()
		err := n.store(t, n.listen).Watch(t.Context(), func() { panic("it is deaf") }, unexpected)
		require.ErrorContains(t, err, "does not reach the listener")
		require.NotErrorIs(t, err, errors.ErrUnsupported, "it may have been a failover")
		require.Equal(t, store.WatchPatience, time.Since(begun))

		n.lost, n.stuck = false, true
		begun = time.Now()
		err = n.store(t, n.listen).Watch(t.Context(), func() { panic("it is deaf") }, unexpected)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, store.WatchPatience, time.Since(begun))
	})
}

func TestWatchErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("the connection broke")
	for name, c := range map[string]struct {
		change      func(n *notifier)
		listen      sqlstore.Listener // nil: the notifier's
		want        string
		unsupported bool
	}{
		"no function":        {change: func(n *notifier) { n.source = "none" }, want: "call Store.Migrate", unsupported: true},
		"another function":   {change: func(n *notifier) { n.source = "BEGIN END" }, want: `"sessions_notify" is not what notifies`, unsupported: true},
		"no trigger":         {change: func(n *notifier) { n.rows = [][]driver.Value{{"", false, false}} }, want: "no triggers", unsupported: true},
		"one trigger":        {change: func(n *notifier) { n.rows = n.rows[1:] }, want: "no triggers", unsupported: true},
		"another trigger":    {change: func(n *notifier) { n.rows[0][1] = false }, want: `"sessions_swapped" is not what notifies`, unsupported: true},
		"a disabled one":     {change: func(n *notifier) { n.rows[1][2] = false }, want: "disabled", unsupported: true},
		"statements fail":    {change: func(n *notifier) { n.failing = broken }, want: "the connection broke"},
		"the listener ends":  {listen: func(context.Context, string, func(), func(string)) error { return nil }, want: "without an error"},
		"the listener fails": {listen: func(context.Context, string, func(), func(string)) error { return broken }, want: "the connection broke"},
		"it cannot help": {
			listen: func(context.Context, string, func(), func(string)) error { return errors.ErrUnsupported }, want: "unsupported", unsupported: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotifier()
			if c.change != nil {
				c.change(n)
			}
			if c.listen == nil {
				c.listen = n.listen
			}
			err := n.store(t, c.listen).Watch(t.Context(), func() { panic("not ready") }, unexpected)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "sqlstore: watch: ")
			require.Equal(t, 1, strings.Count(err.Error(), "sqlstore:"), "%v", err)
			require.Equal(t, c.unsupported, errors.Is(err, errors.ErrUnsupported), "%v", err)
			require.NotErrorIs(t, err, store.ErrRefused)
		})
	}
}

// The notification that proves it cannot be made.
func TestWatchWhoseProbeFails(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	broken := errors.New("the connection broke")
	s := n.store(t, func(ctx context.Context, channel string, ready func(), notify func(string)) error {
		n.failing = broken
		return n.listen(ctx, channel, ready, notify)
	})
	err := s.Watch(t.Context(), func() { panic("not ready") }, unexpected)
	require.ErrorIs(t, err, broken)
	require.NotErrorIs(t, err, context.Canceled)
}

func TestWatchWithAnEndedContext(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := n.store(t, n.listen).Watch(ctx, func() { panic("not ready") }, unexpected)
	require.ErrorIs(t, err, context.Canceled)
	require.Zero(t, n.queries)
}

func TestWatchWithoutNotify(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.PostgreSQL, sqlstore.MySQL} {
		f := &fake{}
		err := onFakeOf(t, d, f).Watch(t.Context(), func() { panic("not ready") }, unexpected)
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, "WithNotify")
		require.Zero(t, f.called())
	}
}

func TestWithNotifyIsForPostgreSQL(t *testing.T) {
	t.Parallel()
	n := newNotifier()
	db := sql.OpenDB(n)
	defer func() { require.NoError(t, db.Close()) }()
	for _, d := range []sqlstore.Dialect{sqlstore.SQLite, sqlstore.MySQL} {
		_, err := sqlstore.New(db, d, sqlstore.WithTable("a b"), sqlstore.WithNotify(n.listen))
		require.ErrorContains(t, err, d.String()+" cannot notify")
		require.ErrorContains(t, err, `"a b" is no name for a table`)
	}
	_, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(nil))
	require.ErrorContains(t, err, "the listener is nil")
	_, err = sqlstore.New(db, 0, sqlstore.WithNotify(n.listen))
	require.ErrorContains(t, err, "unknown dialect")
	require.NotContains(t, err.Error(), "WithNotify")
}

func TestChannels(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 48)
	seen := make(map[string]string)
	for _, table := range [][2]string{
		{"public", "sessions"},
		{"public", "Sessions"},
		{"Public", "sessions"},
		{"", "sessions"},
		{"a", "b_c"},
		{"a_b", "c"},
		{"a.b", "c"},
		{`a"b`, "c"},
		{"a'b", "c"},
		{"ä", "c"},
		{long, long},
		{long + "x", long},
		{long, "y" + long[1:]},
		{strings.Repeat("ä", 31), "c"},
		{"a", strings.Repeat("y", 48)},
		{"ab", strings.Repeat("y", 47)},
		{"abc", strings.Repeat("y", 47)},
	} {
		name := sqlstore.ChannelOf(table[0], table[1])
		require.LessOrEqual(t, len(name), 63)
		require.Regexp(t, `^typedsession\.[A-Za-z0-9_.]+$`, name)
		require.NotContains(t, seen, name)
		seen[name] = table[0]
	}
	require.Contains(t, seen, channel)
}

func FuzzParseChange(f *testing.F) {
	for _, seed := range []string{
		"", ":", "probe:x", payload("0"), payload("7"), payload("9223372036854775807"), payload("9223372036854775808"), payload("-1"), payload("+1"),
		payload(""), payload("1:2"), payload(" 1"), payload("0x1"), payload("1_0"), strings.ToUpper(payload("1")), payload("1")[1:], "0" + payload("1"),
		strings.Repeat("g", 64) + ":1", strings.Repeat("ä", 32) + ":1", strings.Repeat("0", 64),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := sqlstore.ParseChange(text)
		if !ok {
			require.Zero(t, c)
			return
		}
		require.GreaterOrEqual(t, c.Version, int64(0))
		key, version, _ := strings.Cut(text, ":")
		require.Equal(t, strings.ToLower(key), c.Key.String())
		require.Regexp(t, `^[0-9]+$`, version)
	})
}

func TestParseChange(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		payload("0"): 0, payload("7"): 7, payload("9223372036854775807"): 1<<63 - 1,
		"": -1, payload(""): -1, payload("-1"): -1, payload("+1"): -1, payload("9223372036854775808"): -1, payload("1")[2:]: -1, "00" + payload("1"): -1,
		strings.Repeat("g", 64) + ":1": -1, payload("1:2"): -1,
	} {
		c, ok := sqlstore.ParseChange(text)
		require.Equal(t, want >= 0, ok, text)
		if ok {
			require.Equal(t, store.Change{Key: store.Key{1}, Version: want}, c)
		}
	}
}
