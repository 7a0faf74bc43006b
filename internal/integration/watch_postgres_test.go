package integration_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/pgxlisten"
	"github.com/typedsession/session/store/sqlstore"
	"github.com/typedsession/session/store/storetest"
)

// telling returns a store on the table of a subject that listens on a connection
// with another DSN.
func (sub *subject) telling(t testing.TB, dsn string) *sqlstore.Store {
	t.Helper()
	listen, err := pgxlisten.New(dsn)
	require.NoError(t, err)
	s, err := sqlstore.New(sub.server.open(t, sub.dsn), sub.server.dialect, sqlstore.WithTable(sub.table), sqlstore.WithNotify(listen))
	require.NoError(t, err)
	return s
}

// newTelling returns a subject whose table notifies, and a store that listens.
func (srv server) newTelling(t testing.TB) (*subject, *sqlstore.Store) {
	t.Helper()
	sub := srv.newSubject(t) // a table made without the option
	s := sub.telling(t, sub.dsn)
	require.NoError(t, s.Migrate(t.Context()))
	return sub, s
}

// watching is one Watch.
type watching struct {
	changes chan store.Change
	ended   chan error
	cancel  context.CancelFunc
}

// patient is how long a test waits for what is to happen soon: the machine is busy.
const patient = 30 * time.Second

// watch starts a Watch and returns when it is ready. It ends with the test.
func watch(t *testing.T, s store.Watcher) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{changes: make(chan store.Change, 10_000), ended: make(chan error, 1), cancel: cancel}
	ready := make(chan struct{})
	go func() { w.ended <- s.Watch(ctx, func() { close(ready) }, func(c store.Change) { w.changes <- c }) }()
	select {
	case <-ready:
	case err := <-w.ended:
		cancel()
		require.NoError(t, err)
	case <-time.After(patient):
		cancel()
		t.Fatal("it does not become ready")
	}
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-w.ended:
			require.Error(t, err)
		case <-time.After(patient):
			t.Error("it does not end")
		}
	})
	return w
}

// tells returns the next changes.
func (w *watching) tells(t *testing.T, n int) (all []store.Change) {
	t.Helper()
	timer := time.NewTimer(patient)
	defer timer.Stop()
	for range n {
		select {
		case c := <-w.changes:
			all = append(all, c)
		case err := <-w.ended:
			w.ended <- err
			t.Fatalf("it ended: %v", err)
		case <-timer.C:
			t.Fatalf("it told %d of %d changes", len(all), n)
		}
	}
	return all
}

// ends returns after how long it ends, and the error.
func (w *watching) ends(t *testing.T) (time.Duration, error) {
	t.Helper()
	begun := time.Now()
	select {
	case err := <-w.ended:
		w.ended <- err
		return time.Since(begun), err
	case <-time.After(patient):
		t.Fatal("it does not end")
		return 0, nil
	}
}

func TestPostgreSQLWatchTellsOfAnotherNode(t *testing.T) {
	t.Parallel()
	sub, s := postgres.newTelling(t)
	ctx := t.Context()
	w := watch(t, s)
	other := sub.another(t) // without the option
	for i := range 6 {
		require.NoError(t, other.Insert(ctx, key(i), owned(1, "ada")))
	}
	swap := func(i int, old int64, r store.Record) {
		t.Helper()
		_, err := other.Swap(ctx, key(i), old, r)
		require.NoError(t, err)
	}
	swap(1, 1, owned(2, "ada"))
	require.Equal(t, []store.Change{{Key: key(1), Version: 2}}, w.tells(t, 1), "inserts are not told")
	swap(1, 2, owned(1<<62, "bob")) // an index changes
	require.Equal(t, []store.Change{{Key: key(1), Version: 1 << 62}}, w.tells(t, 1))
	require.NoError(t, other.Delete(ctx, key(1)))
	require.Equal(t, []store.Change{{Key: key(1)}}, w.tells(t, 1))
	n, err := other.DeleteOwner(ctx, "ada", key(5))
	require.NoError(t, err)
	require.EqualValues(t, 4, n)
	require.ElementsMatch(t, []store.Change{{Key: key(0)}, {Key: key(2)}, {Key: key(3)}, {Key: key(4)}}, w.tells(t, 4))

	// Nothing is told of these.
	require.NoError(t, other.Touch(ctx, key(5), 1, time.Now().Add(2*time.Hour)))
	swap(5, 1, owned(1, "ada")) // it has happened before
	_, err = other.Swap(ctx, key(5), 9, owned(2, "ada"))
	require.ErrorIs(t, err, store.ErrConflict)
	require.NoError(t, other.Delete(ctx, key(1)))
	for i := range 3 {
		require.NoError(t, other.Insert(ctx, key(10+i), record(1, -time.Minute)))
	}
	require.NoError(t, other.Delete(ctx, key(10)))
	sub.exec(t, "UPDATE "+sub.table+" SET due = 0") // the sweep puts off what is alive
	n, err = other.DeleteExpired(ctx, 100)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	require.Zero(t, sub.number(t, "SELECT count(*) FROM "+sub.table+" WHERE due = 0"))

	swap(5, 1, owned(3, "ada"))
	require.Equal(t, []store.Change{{Key: key(5), Version: 3}}, w.tells(t, 1))
	w.cancel()
	took, err := w.ends(t)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, took, store.WatchPatience)
	require.Zero(t, sub.listeners(t))
}

// listeners counts the connections that listen in the database of a subject.
func (sub *subject) listeners(t *testing.T) (n int64) {
	t.Helper()
	// The server notices a moment later that a connection has ended.
	for deadline := time.Now().Add(patient); time.Now().Before(deadline); {
		n = sub.number(t, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND (query LIKE 'LISTEN %' OR query = '-- ping')")
		if n == 0 {
			break
		}
	}
	return n
}

func TestPostgreSQLWatchKeepsTheLaws(t *testing.T) {
	t.Parallel()
	for name, params := range map[string]string{
		"":                        "",
		"exec":                    "default_query_exec_mode=exec",
		"serializable and simple": "default_transaction_isolation=serializable&default_query_exec_mode=simple_protocol",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, s := postgres.with(params).newTelling(t)
			storetest.Run(t, func(*testing.T) store.Store { return s })
		})
	}
}

// A connection that the server ends, as it does when it is restarted.
func TestPostgreSQLWatchIsCut(t *testing.T) {
	t.Parallel()
	sub, s := postgres.newTelling(t)
	for range 3 {
		w := watch(t, s)
		sub.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND (query LIKE 'LISTEN %' OR query = '-- ping')`)
		took, err := w.ends(t)
		require.ErrorContains(t, err, "57P01")
		require.NotErrorIs(t, err, errors.ErrUnsupported)
		require.Less(t, took, store.WatchPatience)
	}
	w := watch(t, s)
	require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
	require.NoError(t, s.Delete(t.Context(), key(1)))
	require.Equal(t, []store.Change{{Key: key(1)}}, w.tells(t, 1))
}

// A connection on which nothing arrives any more, and nobody says so.
func TestPostgreSQLWatchInABlackHole(t *testing.T) {
	t.Parallel()
	sub, _ := postgres.newTelling(t)
	addr := servers.PostgreSQL(t).Addr()
	line := newWire(t, addr)
	s := sub.telling(t, strings.Replace(sub.dsn, addr, line.Addr().String(), 1))
	w := watch(t, s)
	require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
	require.NoError(t, s.Delete(t.Context(), key(1)))
	require.Equal(t, []store.Change{{Key: key(1)}}, w.tells(t, 1))

	hole := func(bool) *disturbance { return &disturbance{stall: time.Hour} }
	line.disturb.Store(&hole)
	took, err := w.ends(t)
	require.ErrorIs(t, err, pgxlisten.ErrSilent)
	t.Logf("noticed after %v", took)
	require.Less(t, took, store.WatchPatience+2*time.Second, "a busy machine takes a little longer")

	// Nor does a new one get through, and it does not hang.
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	defer cancel()
	err = s.Watch(ctx, func() { t.Error("it is not ready") }, func(store.Change) {})
	require.NoError(t, ctx.Err())
	require.Error(t, err)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
	line.disturb.Store(nil)
	watch(t, s)
}

// The store goes through PgBouncer in transaction mode, the listener does not.
func TestPostgreSQLWatchBesidePgBouncer(t *testing.T) {
	t.Parallel()
	long(t)
	pg := servers.PostgreSQL(t)
	bouncer := servers.StartPgBouncer(t, pg)
	direct := pg.Database(t)
	pooled := strings.Replace(direct, pg.Addr(), bouncer.Addr(), 1)
	require.NotEqual(t, direct, pooled)
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			sub := &subject{server: postgres, dsn: addParam(pooled, "default_query_exec_mode="+mode), db: postgres.open(t, direct)}
			sub.table = newTable(t, sub.db)
			s := sub.telling(t, direct)
			require.NoError(t, s.Migrate(t.Context()))
			storetest.Run(t, func(*testing.T) store.Store { return s })

			// Who listens through it is told that this is of no use.
			begun := time.Now()
			err := sub.telling(t, pooled).Watch(t.Context(), func() { t.Error("it hears nothing") }, func(store.Change) {})
			require.ErrorContains(t, err, "does not reach the listener")
			require.Less(t, time.Since(begun), store.WatchPatience+2*time.Second)
		})
	}
}

// A listener on another database hears nothing of this one.
func TestPostgreSQLWatchOnAnotherDatabase(t *testing.T) {
	t.Parallel()
	sub, _ := postgres.newTelling(t)
	err := sub.telling(t, postgresDSN(t)).Watch(t.Context(), func() { t.Error("it hears nothing") }, func(store.Change) {})
	require.ErrorContains(t, err, "does not reach the listener")
}

// The password of the listener is in no error.
func TestPostgreSQLWatchKeepsThePassword(t *testing.T) {
	t.Parallel()
	sub, _ := postgres.newTelling(t)
	const password = "hunter2-hunter2"
	u, err := url.Parse(sub.dsn)
	require.NoError(t, err)
	for _, change := range []func(u *url.URL){
		func(u *url.URL) { u.User = url.UserPassword("nobody-of-this-name", password) },
		func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), password); u.Path = "/no_such_database" },
		func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), password); u.Host = "127.0.0.1:1" },
	} {
		other := *u
		change(&other)
		err := sub.telling(t, other.String()).Watch(t.Context(), func() { t.Error("it is not ready") }, func(store.Change) {})
		require.Error(t, err)
		require.NotContains(t, err.Error(), password)
	}
}

// What a swap costs and does is the same, and it is told soon.
func TestPostgreSQLWatchLatency(t *testing.T) {
	t.Parallel()
	sub, s := postgres.newTelling(t)
	w := watch(t, s)
	addr := servers.PostgreSQL(t).Addr()
	line := newWire(t, addr)
	writer := *sub
	writer.dsn = addParam(strings.Replace(sub.dsn, addr, line.Addr().String(), 1), "default_query_exec_mode=exec")
	other := writer.another(t)
	require.NoError(t, other.Insert(t.Context(), key(1), record(1, time.Hour)))
	line.took()
	var took []time.Duration
	const swaps = 200
	for i := range int64(swaps) {
		_, err := other.Swap(t.Context(), key(1), i+1, record(i+2, 2*time.Hour))
		require.NoError(t, err)
		written := time.Now()
		require.Equal(t, []store.Change{{Key: key(1), Version: i + 2}}, w.tells(t, 1))
		took = append(took, time.Since(written))
	}
	trips := line.took()
	require.InDelta(t, swaps, trips, 5, "one round trip each, and pings of what was idle")
	slices.Sort(took)
	t.Logf("told %v after the answer to the swap in the median, %v at most", took[swaps/2], took[swaps-1])
	require.Less(t, took[swaps/2], time.Second)
}
