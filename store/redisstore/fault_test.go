package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// tapped returns a store behind a tap, and one beside it with the same records.
// The driver would repeat what it may.
func tapped(t testing.TB) (*redisstore.Store, *redisstore.Store, *tap) {
	t.Helper()
	addr := servers.Redis(t).DSN()
	tp := newTap(t, addr)
	p := redisstore.WithPrefix(prefix())
	c := clientOf(t, &redis.Options{Addr: tp.addr, MaxRetries: 5, MinRetryBackoff: time.Millisecond, MaxRetryBackoff: 2 * time.Millisecond})
	return redisstore.New(c, p), redisstore.New(clientOf(t, &redis.Options{Addr: addr}), p), tp
}

// requireUnknown checks an error that says nothing about the outcome.
func requireUnknown(t testing.TB, err error) {
	t.Helper()
	require.Error(t, err)
	for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrExists, store.ErrRefused} {
		require.NotErrorIs(t, err, answer)
	}
}

// A write whose answer is lost reaches the server once, and is done.
func TestLostReplyOfAWrite(t *testing.T) {
	t.Parallel()
	s, beside, tp := tapped(t)
	ctx := t.Context()

	r, key := record(""), newKey()
	tp.let(named(replyLost, "set"))
	requireUnknown(t, s.Insert(ctx, key, r))
	require.Equal(t, 1, tp.arrived("set"))
	poll(t, func() bool { _, err := beside.Load(ctx, key); return err == nil }, "it was inserted")
	tp.let(nil)
	require.ErrorIs(t, s.Insert(ctx, key, r), store.ErrExists)

	next := record("")
	tp.let(named(replyLost, "eval", "evalsha"))
	_, err := s.Swap(ctx, key, r.Version, next)
	requireUnknown(t, err)
	require.Equal(t, 1, tp.arrived("evalsha")+tp.arrived("eval"))
	// The script may not have been known: then nothing was done.
	tp.let(nil)
	_, err = s.Swap(ctx, key, r.Version, next)
	require.NoError(t, err, "the same swap is not done twice")
	last := record("")
	tp.let(named(replyLost, "evalsha"))
	_, err = s.Swap(ctx, key, next.Version, last)
	requireUnknown(t, err)
	require.Equal(t, 1, tp.arrived("evalsha"))
	poll(t, func() bool { got, err := beside.Load(ctx, key); return err == nil && got.Version == last.Version }, "it was swapped")
	tp.let(nil)
	_, err = s.Swap(ctx, key, next.Version, last)
	require.NoError(t, err, "it has happened before")

	require.NoError(t, s.Touch(ctx, key, last.Version, last.Expires.Add(time.Second)))
	last.Expires = last.Expires.Add(time.Minute)
	tp.let(named(replyLost, "evalsha"))
	requireUnknown(t, s.Touch(ctx, key, last.Version, last.Expires))
	require.Equal(t, 1, tp.arrived("evalsha"))
	poll(t, func() bool { got, _ := beside.Load(ctx, key); return got.Expires.Equal(last.Expires) }, "it was touched")
}

// What can be repeated is: reads, deletions, hints.
func TestDriverRepeatsTheRest(t *testing.T) {
	t.Parallel()
	s, beside, tp := tapped(t)
	ctx := t.Context()
	atFirst := func(f fate, names ...string) func([]string) fate {
		done := false
		return func(cmd []string) fate {
			if done || named(f, names...)(cmd) == passes {
				return passes
			}
			done = true
			return f
		}
	}
	r := record("ada")
	tp.let(atFirst(replyLost, "evalsha"))
	key := put(t, s, r)
	require.Equal(t, 2, tp.arrived("evalsha"), "the hint")
	require.Equal(t, 1, tp.arrived("set"))
	tp.let(atFirst(replyLost, "get"))
	requireHolds(t, s, key, r)
	require.Equal(t, 2, tp.arrived("get"))
	tp.let(atFirst(replyLost, "evalsha"))
	require.Equal(t, []store.Key{key}, listed(t, s, "ada", 10))
	tp.let(atFirst(replyLost, "del"))
	require.NoError(t, s.Delete(ctx, key))
	require.Equal(t, 2, tp.arrived("del"))
	requireGone(t, beside, key)
}

// A deletion of DeleteOwner is not repeated, as it would not be counted then.
func TestLostReplyOfDeleteOwner(t *testing.T) {
	t.Parallel()
	s, beside, tp := tapped(t)
	key := put(t, s, record("ada"))
	require.NotEmpty(t, listed(t, s, "ada", 10)) // its script is known: the next text is a deletion
	tp.let(named(replyLost, "eval"))
	n, err := s.DeleteOwner(t.Context(), "ada")
	requireUnknown(t, err)
	require.Zero(t, n)
	require.Equal(t, 1, tp.arrived("eval"))
	poll(t, func() bool { _, err := beside.Load(t.Context(), key); return err != nil }, "it was deleted")
	requireGone(t, beside, key)
}

// A hint that did not arrive, or may not have, leaves the record as it was: that
// is a refusal.
func TestLostHint(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"request": requestLost, "half of it": breaksInside, "reply": replyLost} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, beside, tp := tapped(t)
			ctx := t.Context()
			require.Empty(t, listed(t, s, "nobody", 1)) // the scripts are known
			r := record("")
			key := put(t, s, r)

			refuseHints := func() {
				tp.let(func(cmd []string) fate {
					if len(cmd) == 7 && (cmd[0] == "evalsha" || cmd[0] == "eval") && len(cmd[4]) == 32 {
						return f
					}
					return passes
				})
			}
			refuseHints()
			other := newKey()
			require.ErrorIs(t, s.Insert(ctx, other, record("ada")), store.ErrRefused)
			require.Zero(t, tp.arrived("set"), "the record was not sent")
			_, err := s.Swap(ctx, key, r.Version, record("ada"))
			require.ErrorIs(t, err, store.ErrRefused)
			requireGone(t, beside, other)
			requireHolds(t, beside, key, r)

			tp.let(nil)
			owned := record("ada")
			_, err = s.Swap(ctx, key, r.Version, owned)
			require.NoError(t, err)
			refuseHints()
			far := owned.Expires.Add(20 * 24 * time.Hour)
			require.ErrorIs(t, s.Touch(ctx, key, owned.Version, far), store.ErrRefused)
			requireHolds(t, beside, key, owned)
			require.Equal(t, []store.Key{key}, listed(t, beside, "ada", 10))
		})
	}
}

// A record that arrives long after its hint is listed all the same: nobody has
// removed the hint, although there was no record.
func TestLateRecord(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]struct {
		cmd string
		do  func(ctx context.Context, s *redisstore.Store, key store.Key, before int64) error
	}{
		"insert": {"set", func(ctx context.Context, s *redisstore.Store, _ store.Key, _ int64) error {
			return s.Insert(ctx, newKey(), record("ada"))
		}},
		"swap": {"evalsha", func(ctx context.Context, s *redisstore.Store, key store.Key, before int64) error {
			_, err := s.Swap(ctx, key, before, record("ada"))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := servers.Redis(t).DSN()
			tp := newTap(t, addr)
			p := redisstore.WithPrefix(prefix())
			s := redisstore.New(clientOf(t, &redis.Options{Addr: tp.addr, ReadTimeout: 200 * time.Millisecond}), p)
			beside := redisstore.New(clientOf(t, &redis.Options{Addr: addr}), p)
			r := record("")
			key := put(t, beside, r)
			_, err := beside.Swap(t.Context(), newKey(), 1, record("ada")) // the script is known
			require.ErrorIs(t, err, store.ErrNotFound)

			hinted := false
			tp.let(func(cmd []string) fate {
				if len(cmd) == 7 && len(cmd[4]) == 32 {
					hinted = true
					return passes
				}
				if hinted && cmd[0] == late.cmd {
					return isLate
				}
				return passes
			})
			requireUnknown(t, late.do(t.Context(), s, key, r.Version))
			require.Empty(t, listed(t, beside, "ada", 10))
			n, err := beside.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
			require.Zero(t, n)

			close(tp.release)
			poll(t, func() bool { return len(listed(t, beside, "ada", 10)) == 1 }, "it has arrived, and is listed")
			n, err = beside.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
			require.EqualValues(t, 1, n)
		})
	}
}

// Connections that broke while nobody used them do not fail a write; nor is
// anything done when there is no server.
func TestServerRestarted(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t, servers.Durable())
	c := clientOf(t, &redis.Options{Addr: server.DSN(), DialerRetries: 1, MaxRetries: -1})
	s := on(c)
	ctx := t.Context()
	r := record("ada")
	key := put(t, s, r)
	swap := func() error {
		next := record("ada")
		_, err := s.Swap(ctx, key, r.Version, next)
		if err == nil {
			r = next
		}
		return err
	}
	for name, end := range map[string]func() error{"stopped": server.Stop, "killed": server.Kill} {
		require.NoError(t, end())
		require.NoError(t, server.Start())
		require.NoError(t, swap(), "%s: the first call after that", name)
		put(t, s, record(""))

		require.NoError(t, end())
		for call, err := range everyMethod(ctx, s, key, r) {
			require.Error(t, err, "%s: %s", name, call)
			require.Equal(t, !isRead(call), errors.Is(err, store.ErrRefused), "%s: %s: %v", name, call, err)
		}
		require.NoError(t, server.Start())
		// The driver may remember for a second that it could not connect.
		poll(t, func() bool { return swap() == nil }, name)
		requireHolds(t, s, key, r)
		require.Contains(t, listed(t, s, "ada", 10), key)
	}
}

// methods returns each method, to call for a record that there is.
func methods(s *redisstore.Store, key store.Key, r store.Record) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Load":                 func(ctx context.Context) error { _, err := s.Load(ctx, key); return err },
		"Insert":               func(ctx context.Context) error { return s.Insert(ctx, newKey(), record("")) },
		"Insert with an owner": func(ctx context.Context) error { return s.Insert(ctx, newKey(), record("ada")) },
		"Swap":                 func(ctx context.Context) error { _, err := s.Swap(ctx, key, r.Version, record("ada")); return err },
		"Touch":                func(ctx context.Context) error { return s.Touch(ctx, key, r.Version, r.Expires.Add(time.Minute)) },
		"Delete":               func(ctx context.Context) error { return s.Delete(ctx, key) },
		"ListOwner":            func(ctx context.Context) error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 10); return err },
		"DeleteOwner":          func(ctx context.Context) error { _, err := s.DeleteOwner(ctx, "ada"); return err },
	}
}

func isRead(method string) bool { return method == "Load" || method == "ListOwner" }

func everyMethod(ctx context.Context, s *redisstore.Store, key store.Key, r store.Record) map[string]error {
	errs := map[string]error{}
	for name, do := range methods(s, key, r) {
		errs[name] = do(ctx)
	}
	return errs
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]redis.UniversalClient{"single": single(t), "cluster": cluster(t)} {
		s := on(c)
		r := record("ada")
		key := put(t, s, r)
		require.NoError(t, c.Close())
		for call, err := range everyMethod(t.Context(), s, key, r) {
			require.ErrorIs(t, err, redis.ErrClosed, "%s: %s", name, call)
			require.Equal(t, !isRead(call), errors.Is(err, store.ErrRefused), "%s: %s: %v", name, call, err)
		}
	}
}

// The pool of the client may be exhausted.
func TestNoConnectionInTime(t *testing.T) {
	t.Parallel()
	c := clientOf(t, &redis.Options{
		Addr: servers.Redis(t).DSN(), PoolSize: 1, PoolTimeout: 20 * time.Millisecond, PipelinePoolSize: -1, MaxRetries: -1,
	})
	s := on(c)
	r := record("ada")
	key := put(t, s, r)
	conn := c.Conn()
	require.NoError(t, conn.Ping(t.Context()).Err())
	for call, err := range everyMethod(t.Context(), s, key, r) {
		require.ErrorIs(t, err, redis.ErrPoolTimeout, call)
		require.Equal(t, !isRead(call), errors.Is(err, store.ErrRefused), "%s: %v", call, err)
	}
	require.NoError(t, conn.Close())
	requireHolds(t, s, key, r)
}

// How soon methods return when their context has ended while the server says
// nothing; doc.go has it.
func TestContextEndsMeanwhile(t *testing.T) {
	t.Parallel()
	const slack = 2 * time.Second // for a busy machine
	for _, cancels := range []bool{false, true} {
		for _, enabled := range []bool{false, true} {
			t.Run(fmt.Sprintf("cancels %v, enabled %v", cancels, enabled), func(t *testing.T) {
				t.Parallel()
				readTimeout, bound := 600*time.Millisecond, 600*time.Millisecond
				if enabled && !cancels {
					readTimeout, bound = 20*time.Second, 100*time.Millisecond
				}
				tp := newTap(t, servers.Redis(t).DSN())
				s := on(clientOf(t, &redis.Options{Addr: tp.addr, ReadTimeout: readTimeout, ContextTimeoutEnabled: enabled}))
				r := record("ada")
				key := put(t, s, r)
				defer close(tp.release)
				tp.let(named(isLate, "get", "set", "del", "eval", "evalsha"))
				var wg sync.WaitGroup
				for call, do := range methods(s, key, r) {
					wg.Go(func() {
						ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
						want := context.DeadlineExceeded
						if cancels {
							cancel()
							ctx, cancel = context.WithCancel(t.Context())
							defer time.AfterFunc(100*time.Millisecond, cancel).Stop()
							want = context.Canceled
						}
						defer cancel()
						begun := time.Now()
						err := do(ctx)
						assert.ErrorIs(t, err, want, call)
						for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrExists, store.ErrRefused} {
							assert.NotErrorIs(t, err, answer, call)
						}
						assert.Less(t, time.Since(begun), bound+slack, call)
					})
				}
				wg.Wait()
			})
		}
	}
}
