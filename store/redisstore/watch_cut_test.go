package redisstore_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// busy is how much longer than promised something may take on a busy machine.
const busy = 5 * time.Second

// requireTells checks that a Watch hears of a change.
func requireTells(t testing.TB, s *redisstore.Store, l *listener) {
	t.Helper()
	for range 8 { // on each channel of a cluster, most likely
		r := record("")
		l.requireHears(t, swapOnce(t, s, put(t, s, r), r.Version))
	}
}

// When its connection is closed Watch ends, and a later one works.
func TestWatchIsKilled(t *testing.T) {
	t.Parallel()
	server, cl := servers.StartRedis(t), servers.StartRedisCluster(t)
	for name, c := range map[string]redis.UniversalClient{
		"single": clientOf(t, &redis.Options{Addr: server.DSN()}), "cluster": clusterOf(t, cl.Addrs()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := telling(c)
			first, second := listen(t, s), listen(t, s)
			requireTells(t, s, first)
			addr := server.DSN()
			if cluster, ok := c.(*redis.ClusterClient); ok {
				addr = cluster.Options().Addrs[1] // one of its connections
			}
			killed, err := clientOf(t, &redis.Options{Addr: addr}).Do(t.Context(), "client", "kill", "type", "pubsub").Int()
			require.NoError(t, err)
			require.GreaterOrEqual(t, killed, 2)
			for _, l := range []*listener{first, second} {
				require.ErrorContains(t, l.requireEnds(t, busy), "EOF")
			}
			requireTells(t, s, listen(t, s))
		})
	}
}

// When nothing passes any more, and no connection breaks, Watch notices in time;
// also while it connects.
func TestWatchOfABlackHole(t *testing.T) {
	t.Parallel()
	addr := servers.Redis(t).DSN()
	cl := servers.RedisCluster(t)
	for name, open := range map[string]func(v *valve) redis.UniversalClient{
		"single": func(v *valve) redis.UniversalClient {
			return clientOf(t, &redis.Options{Addr: v.addr, ReadTimeout: 20 * time.Second})
		},
		"cluster": func(v *valve) redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{
				Addrs: cl.Addrs(), ReadTimeout: 20 * time.Second, Dialer: through(map[string]string{cl.Addrs()[0]: v.addr}),
			})
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := addr
			if name == "cluster" {
				server = cl.Addrs()[0]
			}
			v := newValve(t, server)
			s, _ := telling(open(v))
			l := listen(t, s)
			requireTells(t, s, l)
			begun := time.Now()
			v.set(true)
			err := l.requireEnds(t, store.WatchPatience+busy)
			t.Logf("noticed after %v: %v", time.Since(begun), err)
			require.ErrorContains(t, err, "cut off")
			v.set(false)
			requireTells(t, s, listenAgain(t, s))
		})
	}
}

// A quiet time is not taken for a cut.
func TestWatchIsPatient(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s, _ := telling(c)
		l := listen(t, s)
		quiet := time.After(store.WatchPatience + 2*time.Second)
		select {
		case <-quiet:
		case <-l.done:
			t.Fatalf("Watch has ended: %v", l.err)
		}
		requireTells(t, s, l)
	})
}

// The server that a Watch has subscribed at is there, and changes go to another one:
// so it is where a proxy, or the name of a host, has been switched, and where a
// master was replaced that does not know it yet.
func TestWatchOfAServerThatWasReplaced(t *testing.T) {
	t.Parallel()
	one, two := servers.StartRedis(t), servers.StartRedis(t)
	var replaced atomic.Bool
	c := clientOf(t, &redis.Options{Addr: one.DSN(), Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if replaced.Load() {
			addr = two.DSN()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	s, _ := telling(c)
	l := listen(t, s)
	replaced.Store(true)
	begun := time.Now()
	require.NoError(t, clientOf(t, &redis.Options{Addr: one.DSN()}).Do(t.Context(), "client", "kill", "type", "normal").Err())
	err := l.requireEnds(t, store.WatchPatience+busy)
	t.Logf("noticed after %v", time.Since(begun))
	require.ErrorContains(t, err, "cut off")
	requireTells(t, s, listenAgain(t, s))
}

// A Sentinel promotes another master. The old one is not away, and knows nothing of it.
func TestWatchOfAFailover(t *testing.T) {
	t.Parallel()
	one, two := servers.StartRedis(t), servers.StartRedis(t)
	sent := newSentinel(t, one.DSN())
	c := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: "sessions", SentinelAddrs: []string{sent.addr}})
	t.Cleanup(func() { _ = c.Close() })
	s, p := telling(c)
	l := listen(t, s)
	requireTells(t, s, l)
	sent.promote(two.DSN())
	begun := time.Now()
	poll(t, func() bool { // the client knows
		key := newKey()
		_ = s.Insert(t.Context(), key, record(""))
		_, err := redisstore.New(clientOf(t, &redis.Options{Addr: two.DSN()}), p).Load(t.Context(), key)
		return err == nil
	}, "writes go to the new master")
	require.ErrorContains(t, l.requireEnds(t, store.WatchPatience+busy), "cut off")
	t.Logf("noticed after %v", time.Since(begun))
	again := listen(t, s)
	requireTells(t, s, again)
	require.NoError(t, two.Kill())
	_ = again.requireEnds(t, store.WatchPatience+busy)
}

// Watch ends when it is told that a subscription is over, or has begun once more: the
// driver has connected anew then.
func TestWatchIsToldOfAnotherSubscription(t *testing.T) {
	t.Parallel()
	for want, kind := range map[string]string{"ended the subscription": "unsubscribe", "connected anew": "subscribe"} {
		addr := speaking(t, func(_ net.Conn, cmd []string) string {
			switch cmd[0] {
			case "subscribe":
				return confirmed("subscribe", cmd[1:]...) + confirmed(kind, cmd[1])
			case "publish":
				return ":1\r\n"
			}
			return ""
		})
		s, _ := telling(clientOf(t, &redis.Options{Addr: addr, Protocol: 2}))
		err := s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) { t.Error("changed") })
		require.ErrorContains(t, err, want)
	}
}

// The master of a channel is killed, and its replica takes over.
func TestWatchOfAClusterFailover(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t, servers.WithReplicas(1))
	s, p := telling(clusterOf(t, cl.Addrs()))
	other := redisstore.New(clusterOf(t, cl.Addrs()), p, redisstore.WithNotify())
	l := listen(t, s)
	requireTells(t, other, l)
	require.NoError(t, cl.Nodes()[0].Kill())
	t.Logf("ended with: %v", l.requireEnds(t, store.WatchPatience+busy))
	again := listenAgain(t, s)
	poll(t, func() bool { // the other client has heard of the new master
		for range 8 {
			if other.Insert(t.Context(), newKey(), record("")) != nil {
				return false
			}
		}
		return true
	}, "the cluster serves")
	requireTells(t, other, again)
	again.requireGoesOn(t)
}

// The slot of a channel moves: Watch ends, a later one finds it, and a writer that
// knows the old place only is heard all the same.
func TestWatchOfASlotThatMoves(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t)
	p := "{" + prefix() + "}" // one slot
	c := clusterOf(t, cl.Addrs())
	s := redisstore.New(c, redisstore.WithPrefix(p), redisstore.WithNotify())
	stale := redisstore.New(clusterOf(t, cl.Addrs()), redisstore.WithPrefix(p), redisstore.WithNotify())
	r := record("")
	key := put(t, stale, r)
	l := listen(t, s)
	first := swapOnce(t, stale, key, r.Version)
	l.requireHears(t, first)
	m := newMoving(t, cl, c, p)
	m.keys()
	second := swapOnce(t, stale, key, first.Version)
	l.requireHears(t, second)
	l.requireGoesOn(t)
	m.rest()
	require.ErrorContains(t, l.requireEnds(t, busy), "ended the subscription")
	again := listenAgain(t, s)
	again.requireHears(t, swapOnce(t, stale, key, second.Version))
}

// Watch ends when the client is closed, and says that it is.
func TestWatchOfAClosedClient(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]redis.UniversalClient{"single": single(t), "cluster": cluster(t)} {
		s, _ := telling(c)
		l := listen(t, s)
		require.NoError(t, c.Close())
		_ = l.requireEnds(t, store.WatchPatience+busy)
		err := s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) {})
		require.ErrorIs(t, err, redis.ErrClosed, name)
	}
}

// Where there is no server Watch says so soon.
func TestWatchOfNobody(t *testing.T) {
	t.Parallel()
	s, _ := telling(clientOf(t, &redis.Options{Addr: "127.0.0.1:1", DialerRetries: 1}))
	begun := time.Now()
	err := s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) {})
	require.ErrorContains(t, err, "connection refused")
	require.Less(t, time.Since(begun), busy)
	// Nor is it ready where it can subscribe, and its own messages are refused.
	tp := newTap(t, servers.Redis(t).DSN())
	tp.let(named(requestLost, "publish"))
	s, _ = telling(clientOf(t, &redis.Options{Addr: tp.addr, MaxRetries: -1}))
	require.ErrorContains(t, s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) {}), "cut off")
	// Also where that is so of one of several channels.
	c, taps := tappedCluster(t, redis.ClusterOptions{MaxRetries: -1})
	taps[0].let(named(requestLost, "spublish"))
	s, _ = telling(c)
	require.ErrorContains(t, s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) {}), "cut off")
}

// While the server says nothing, Watch ends with its context.
func TestWatchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	v := newValve(t, servers.Redis(t).DSN())
	s, _ := telling(clientOf(t, &redis.Options{Addr: v.addr, ReadTimeout: time.Second}))
	for _, isReady := range []bool{true, false} {
		v.set(false)
		l := begin(t, s)
		if isReady {
			<-l.ready
		}
		v.set(true)
		begun := time.Now()
		l.cancel()
		<-l.done
		require.ErrorIs(t, l.err, context.Canceled)
		require.Less(t, time.Since(begun), busy)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, s.Watch(ctx, func() { t.Error("ready") }, func(store.Change) {}), context.DeadlineExceeded)
}
