package redisstore_test

import (
	"context"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// ofEach runs a test on one server and on a cluster.
func ofEach(t *testing.T, f func(t *testing.T, c redis.UniversalClient)) {
	t.Helper()
	t.Run("single", func(t *testing.T) { t.Parallel(); f(t, single(t)) })
	t.Run("cluster", func(t *testing.T) { t.Parallel(); f(t, cluster(t)) })
}

// single returns a client of the server that tests share.
func single(t testing.TB) *redis.Client {
	t.Helper()
	return clientOf(t, &redis.Options{Addr: servers.Redis(t).DSN()})
}

func clientOf(t testing.TB, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// cluster returns a client of the cluster that tests share.
func cluster(t testing.TB) *redis.ClusterClient {
	t.Helper()
	return clusterOf(t, servers.RedisCluster(t).Addrs())
}

func clusterOf(t testing.TB, addrs []string) *redis.ClusterClient {
	t.Helper()
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// prefix returns one that nothing else has.
func prefix() string { return "test-" + rand.Text()[:10] + ":" }

// on returns a store with a prefix of its own.
func on(c redis.UniversalClient) *redisstore.Store {
	return redisstore.New(c, redisstore.WithPrefix(prefix()))
}

func newKey() (k store.Key) {
	_, _ = rand.Read(k[:]) // never fails
	return k
}

func newVersion() int64 { return 1 + mathrand.Int64N(1<<62) }

func soon(d time.Duration) time.Time { return time.Now().Add(d).Truncate(time.Millisecond) }

// record returns a record that lives for an hour.
func record(owner string) store.Record {
	return store.Record{Data: []byte("some data"), Version: newVersion(), Expires: soon(time.Hour), Owner: owner}
}

func put(t testing.TB, s *redisstore.Store, r store.Record) store.Key {
	t.Helper()
	key := newKey()
	require.NoError(t, s.Insert(t.Context(), key, r))
	return key
}

func requireHolds(t testing.TB, s *redisstore.Store, key store.Key, want store.Record) {
	t.Helper()
	got, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, want.Data, got.Data)
	require.Equal(t, want.Version, got.Version)
	require.Equal(t, want.Owner, got.Owner)
	require.Equal(t, want.Expires.UnixMilli(), got.Expires.UnixMilli())
}

func requireGone(t testing.TB, s *redisstore.Store, key store.Key) {
	t.Helper()
	_, err := s.Load(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound)
}

// listed returns the keys that are listed, in pages.
func listed(t testing.TB, s *redisstore.Store, owner string, limit int) []store.Key {
	t.Helper()
	var keys []store.Key
	var after store.Key
	for {
		page, err := s.ListOwner(t.Context(), owner, after, limit)
		require.NoError(t, err)
		for _, e := range page {
			keys = append(keys, e.Key)
			after = e.Key
		}
		if len(page) < limit {
			return keys
		}
	}
}

// traffic is a hook that notes what a client sends.
type traffic struct {
	mu    sync.Mutex
	trips int
	cmds  [][]any
}

func watch(c redis.UniversalClient) *traffic {
	tr := &traffic{}
	c.AddHook(tr)
	return tr
}

func (tr *traffic) DialHook(next redis.DialHook) redis.DialHook { return next }

func (tr *traffic) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		tr.note(cmd)
		return next(ctx, cmd)
	}
}

func (tr *traffic) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		tr.note(cmds...)
		return next(ctx, cmds)
	}
}

func (tr *traffic) note(cmds ...redis.Cmder) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.trips++
	for _, cmd := range cmds {
		tr.cmds = append(tr.cmds, slices.Clone(cmd.Args()))
	}
}

// take returns what was noted since the last call.
func (tr *traffic) take() (trips int, cmds [][]any) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	trips, cmds = tr.trips, tr.cmds
	tr.trips, tr.cmds = 0, nil
	return trips, cmds
}

// keysOf returns the names of the keys that a command has.
func keysOf(t testing.TB, cmd []any) []string {
	t.Helper()
	name := fmt.Sprint(cmd[0])
	switch name {
	case "get", "set", "del":
		return []string{cmd[1].(string)}
	case "eval", "evalsha":
		require.Equal(t, "1", cmd[2])
		return []string{cmd[3].(string)}
	case "wait":
		return nil
	}
	t.Fatalf("what is %v", name)
	return nil
}

// poll waits for a condition, which is looked at every few milliseconds.
func poll(t testing.TB, ok func() bool, what string) {
	t.Helper()
	require.Eventually(t, ok, 20*time.Second, 2*time.Millisecond, what)
}
