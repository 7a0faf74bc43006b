package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// publishes counts the messages that nodes of a cluster are sent by a client, and the
// round trips of them.
type publishes struct {
	traffic // for its other methods

	mu              sync.Mutex
	trips, messages int
}

func (p *publishes) count(cmds ...redis.Cmder) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cmds[0].Name() == "spublish" {
		p.trips++
		p.messages += len(cmds)
	}
}

func (p *publishes) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { p.count(cmd); return next(ctx, cmd) }
}

func (p *publishes) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { p.count(cmds...); return next(ctx, cmds) }
}

// What telling adds: nothing on one server, a round trip for each change on a
// cluster. Without WithNotify there is no telling.
func TestRoundTripsOfTelling(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		told := &publishes{}
		cl, isCluster := c.(*redis.ClusterClient)
		if isCluster { // of which hooks see the messages
			cl = redis.NewClusterClient(&redis.ClusterOptions{Addrs: cl.Options().Addrs, ContextTimeoutEnabled: true})
			t.Cleanup(func() { _ = cl.Close() })
			c = cl
			cl.OnNewNode(func(node *redis.Client) { node.AddHook(told) })
		}
		s, p := telling(c)
		for range 50 { // scripts are known then, on each node
			require.NoError(t, everything(t, redisstore.New(c, redisstore.WithPrefix(prefix()), redisstore.WithNotify())))
			require.NoError(t, everything(t, on(c)))
		}
		quiet := redisstore.New(c, p)
		ctx := t.Context()
		tr := watch(c)
		r, next := record(""), record("")
		key, other := newKey(), put(t, quiet, record(""))
		many := record("ada")
		for range 40 {
			put(t, quiet, many)
		}
		for _, step := range []struct {
			name            string
			trips           int
			told, toldTrips int // on a cluster
			do              func() error
		}{
			{"insert", 1, 0, 0, func() error { return s.Insert(ctx, key, r) }},
			{"load", 1, 0, 0, func() error { _, err := s.Load(ctx, key); return err }},
			{"touch", 1, 0, 0, func() error { return s.Touch(ctx, key, r.Version, r.Expires.Add(time.Minute)) }},
			{"swap", 1, 1, 1, func() error { _, err := s.Swap(ctx, key, r.Version, next); return err }},
			{"the same swap", 1, 1, 1, func() error { _, err := s.Swap(ctx, key, r.Version, next); return err }},
			{"conflict", 1, 0, 0, func() error { _, _ = s.Swap(ctx, key, 1, record("")); return nil }},
			{"delete", 1, 1, 1, func() error { return s.Delete(ctx, key) }},
			{"delete owner", 2, 40, 4, func() error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
			{"delete owner of nothing", 2, 0, 0, func() error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
			{"quiet swap", 1, 0, 0, func() error { _, err := quiet.Swap(ctx, other, 1, record("")); return ignoreConflict(err) }},
			{"quiet delete", 1, 0, 0, func() error { return quiet.Delete(ctx, other) }},
			{"quiet delete owner", 2, 0, 0, func() error { _, err := quiet.DeleteOwner(ctx, "ada"); return err }},
		} {
			tr.take()
			told.trips, told.messages = 0, 0
			require.NoError(t, step.do(), step.name)
			trips, cmds := tr.take()
			require.Equal(t, step.trips, trips, "%s: %q", step.name, cmds)
			for _, cmd := range cmds {
				keysOf(t, cmd)
				last, _ := cmd[len(cmd)-1].(string)
				mayTell := step.told > 0 || step.name == "conflict"
				if !strings.HasPrefix(step.name, "delete owner") { // its first command reads
					require.Equal(t, mayTell && !isCluster, strings.HasSuffix(last, "changes"), "%s: %q", step.name, cmd)
				}
			}
			if isCluster {
				require.Equal(t, step.told, told.messages, step.name)
				require.LessOrEqual(t, told.trips, step.toldTrips, step.name)
			}
		}
	})
}

func ignoreConflict(err error) error {
	if errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// The rights that doc.go names are enough to tell and to watch. Without them writes
// are done, and Watch says why it does not hear.
func TestRightsToTell(t *testing.T) {
	t.Parallel()
	server, cl := servers.StartRedis(t), servers.StartRedisCluster(t)
	p := prefix()
	for name, c := range map[string]struct {
		addrs  []string
		rights []any
	}{
		"single":  {[]string{server.DSN()}, []any{"&" + p + "changes*", "+publish", "+subscribe"}},
		"cluster": {cl.Addrs(), []any{"&" + p + "changes*", "+spublish", "+ssubscribe", "+cluster"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for missing := -1; missing < 3; missing++ {
				rights := []any{
					"acl", "setuser", "web", "reset", "on", ">secret", "~" + p + "*", "+get", "+set", "+del", "+eval", "+evalsha", "+getrange",
					"+setrange", "+pexpireat", "+pexpiretime", "+zadd", "+zrem", "+zrangebylex", "+zrandmember", "+time",
				}
				for i, right := range c.rights {
					if i != missing {
						rights = append(rights, right)
					}
				}
				for _, addr := range c.addrs {
					require.NoError(t, clientOf(t, &redis.Options{Addr: addr}).Do(t.Context(), rights...).Err())
				}
				var client redis.UniversalClient = clientOf(t, &redis.Options{Addr: c.addrs[0], Username: "web", Password: "secret"})
				if name == "cluster" {
					client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.addrs, Username: "web", Password: "secret"})
					defer func() { _ = client.Close() }()
				}
				s := redisstore.New(client, redisstore.WithPrefix(p), redisstore.WithNotify())
				begun := time.Now()
				requireWrites(t, s)
				require.Less(t, time.Since(begun), busy)
				if missing < 0 {
					requireTells(t, s, listen(t, s))
					continue
				}
				err := s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) { t.Error("changed") })
				require.ErrorContains(t, err, "NOPERM", "without %v", c.rights[missing])
				require.NotErrorIs(t, err, errors.ErrUnsupported, "rights may be given")
				require.NotContains(t, err.Error(), "secret")
			}
		})
	}
}

// requireWrites checks that changes are made.
func requireWrites(t testing.TB, s *redisstore.Store) {
	t.Helper()
	ctx := t.Context()
	for range 8 { // on each channel of a cluster, most likely
		r, next := record("ada"), record("ada")
		key, other := put(t, s, r), put(t, s, record("ada"))
		_, err := s.Swap(ctx, key, r.Version, next)
		require.NoError(t, err)
		requireHolds(t, s, key, next)
		require.NoError(t, s.Delete(ctx, other))
		requireGone(t, s, other)
		n, err := s.DeleteOwner(ctx, "ada")
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		requireGone(t, s, key)
	}
}

// Deletions are done, and told, while the memory is full.
func TestTellingWithFullMemory(t *testing.T) {
	t.Parallel()
	c := clientOf(t, &redis.Options{Addr: servers.StartRedis(t).DSN()})
	s, p := telling(c)
	waits := redisstore.New(c, p, redisstore.WithNotify(), redisstore.WithWait(1, time.Millisecond))
	l := listen(t, s)
	r := record("ada")
	first, second, third := put(t, s, r), put(t, s, r), put(t, s, r)
	require.NoError(t, c.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	require.NoError(t, s.Delete(t.Context(), first))
	require.ErrorContains(t, waits.Delete(t.Context(), second), "0 of 1 replicas")
	n, err := s.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	l.requireHears(t, store.Change{Key: first}, store.Change{Key: second}, store.Change{Key: third})
}

// The server may forget its scripts at any time, and nobody may listen.
func TestTellingScriptsAreForgotten(t *testing.T) {
	t.Parallel()
	c := clientOf(t, &redis.Options{Addr: servers.StartRedis(t).DSN()})
	s, _ := telling(c)
	requireWrites(t, s)
	l := listen(t, s)
	for range 3 {
		r := record("ada")
		key, other := put(t, s, r), put(t, s, r)
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		told := swapOnce(t, s, key, r.Version)
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		require.NoError(t, s.Delete(t.Context(), key))
		require.NoError(t, c.ScriptFlush(t.Context()).Err())
		_, err := s.DeleteOwner(t.Context(), "ada")
		require.NoError(t, err)
		l.requireHears(t, told, store.Change{Key: key}, store.Change{Key: other})
	}
}

// What was changed is told where its answer is lost, and a deletion that is repeated
// too.
func TestTellingOfLostReplies(t *testing.T) {
	t.Parallel()
	addr := servers.Redis(t).DSN()
	tp := newTap(t, addr)
	tapped, taps := tappedCluster(t, redis.ClusterOptions{MaxRetries: -1})
	for name, c := range map[string]struct {
		beside, through redis.UniversalClient
		taps            []*tap
		swap, del       string
	}{
		"single":  {single(t), clientOf(t, &redis.Options{Addr: tp.addr, MaxRetries: -1}), []*tap{tp}, "evalsha", "evalsha"},
		"cluster": {cluster(t), tapped, taps, "evalsha", "del"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			beside, p := telling(c.beside)
			s := redisstore.New(c.through, p, redisstore.WithNotify())
			for range 20 {
				requireWrites(t, s) // the scripts are known
			}
			l := listen(t, beside)
			r := record("")
			key := put(t, beside, r)
			let := func(f func(cmd []string) fate) {
				for _, tp := range c.taps {
					tp.let(f)
				}
			}
			let(named(replyLost, c.swap))
			next := record("")
			_, err := s.Swap(t.Context(), key, r.Version, next)
			requireUnknown(t, err)
			l.requireHears(t, store.Change{Key: key, Version: next.Version})
			requireHolds(t, beside, key, next)

			var mu sync.Mutex
			lost := 0
			let(func(cmd []string) fate {
				mu.Lock()
				defer mu.Unlock()
				if cmd[0] != c.del || lost > 0 {
					return passes
				}
				lost++
				return replyLost
			})
			require.NoError(t, s.Delete(t.Context(), key))
			require.Equal(t, 1, lost)
			l.requireHears(t, store.Change{Key: key})

			owned := put(t, beside, record("eve")) // the one record of hers that there ever was
			require.Len(t, listed(t, s, "eve", 10), 1)
			let(named(replyLost, "eval"))
			_, err = s.DeleteOwner(t.Context(), "eve")
			requireUnknown(t, err)
			poll(t, func() bool { _, err := beside.Load(t.Context(), owned); return err != nil }, "it was deleted")
			l.requireHears(t, store.Change{Key: owned})
			let(nil)
		})
	}
}

// On a cluster, telling that fails fails no write, is repeated once, and takes a
// second at most: also when the client would wait for longer, and the context has
// ended.
func TestTellingInTrouble(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fate{"request lost": requestLost, "reply lost": replyLost, "silent": isLate} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, taps := tappedCluster(t, redis.ClusterOptions{ReadTimeout: 20 * time.Second})
			s, p := telling(c)
			requireWrites(t, s)
			l := listen(t, redisstore.New(cluster(t), p, redisstore.WithNotify()))
			asked := 0
			var mu sync.Mutex
			for _, tp := range taps {
				defer close(tp.release)
				tp.let(func(cmd []string) fate {
					if cmd[0] != "spublish" {
						return passes
					}
					mu.Lock()
					defer mu.Unlock()
					asked++
					return f
				})
			}
			take := func() int {
				mu.Lock()
				defer mu.Unlock()
				defer func() { asked = 0 }()
				return asked
			}
			r := record("ada")
			key := put(t, s, r)
			begun := time.Now()
			told := swapOnce(t, s, key, r.Version)
			t.Logf("the swap took %v", time.Since(begun))
			require.Less(t, time.Since(begun), time.Second+busy)
			require.Equal(t, 2, take(), "it is repeated once")
			if f == replyLost {
				l.requireHears(t, told)
			}
			begun = time.Now()
			require.NoError(t, s.Delete(t.Context(), key))
			require.Less(t, time.Since(begun), time.Second+busy)
			require.Equal(t, 2, take())
			for range 20 {
				put(t, s, r)
			}
			begun = time.Now()
			n, err := s.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
			require.EqualValues(t, 20, n)
			require.Less(t, time.Since(begun), time.Second+busy)
		})
	}
}

// A change is told although its context ends while it is made.
func TestTellingSurvivesTheContext(t *testing.T) {
	t.Parallel()
	c, taps := tappedCluster(t, redis.ClusterOptions{ContextTimeoutEnabled: true})
	s, p := telling(c)
	for range 20 {
		requireWrites(t, s)
	}
	beside := redisstore.New(cluster(t), p, redisstore.WithNotify())
	l := listen(t, beside)
	r, next := record(""), record("")
	key := put(t, s, r)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	for _, tp := range taps {
		defer close(tp.release)
		tp.let(func(cmd []string) fate {
			if cmd[0] == "evalsha" {
				<-ctx.Done()
				return replyLost
			}
			return passes
		})
	}
	_, err := s.Swap(ctx, key, r.Version, next)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	l.requireHears(t, store.Change{Key: key, Version: next.Version})
}
