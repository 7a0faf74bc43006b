package redisstore_test

import (
	"context"
	"errors"
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

// A deletion that is done, and whose answer is lost, is not refused, whatever the
// next attempt meets.
func TestDeleteWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	tp := newTap(t, servers.Redis(t).DSN())
	var away atomic.Bool
	c := clientOf(t, &redis.Options{Addr: tp.addr, DialerRetries: 1, Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away.Load() {
			addr = "127.0.0.1:1"
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	p := redisstore.WithPrefix(prefix())
	s, beside := redisstore.New(c, p), redisstore.New(single(t), p)
	key := put(t, s, record(""))
	var dels atomic.Int64
	tp.let(func(cmd []string) fate {
		if cmd[0] == "del" && dels.Add(1) == 1 {
			return replyLost
		}
		return passes
	})
	require.NoError(t, s.Delete(t.Context(), key))
	require.EqualValues(t, 2, dels.Load(), "it is sent once more")
	requireGone(t, beside, key)

	key = put(t, s, record(""))
	tp.let(func(cmd []string) fate {
		if cmd[0] != "del" {
			return passes
		}
		away.Store(true)
		return replyLost
	})
	err := s.Delete(t.Context(), key)
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrRefused)
	poll(t, func() bool { _, err := beside.Load(t.Context(), key); return errors.Is(err, store.ErrNotFound) }, "it is deleted")
}

// With a part of a cluster away DeleteOwner deletes what it can reach.
func TestDeleteOwnerWithAShardAway(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t)
	c := clusterOf(t, cl.Addrs())
	for _, n := range cl.Nodes() {
		node := clientOf(t, &redis.Options{Addr: n.Addr()})
		require.NoError(t, node.ConfigSet(t.Context(), "cluster-require-full-coverage", "no").Err())
		require.NoError(t, node.ConfigSet(t.Context(), "cluster-node-timeout", "1000").Err())
	}
	p := prefix()
	s := redisstore.New(c, redisstore.WithPrefix(p))
	r := record("ada")
	for range 300 {
		put(t, s, r)
	}
	// The list is on one of the nodes that stay.
	var list *redis.Client
	require.NoError(t, c.ForEachMaster(t.Context(), func(ctx context.Context, m *redis.Client) error {
		names, err := m.Keys(ctx, p+"owner:*").Result()
		if len(names) > 0 {
			list = m
		}
		return err
	}))
	var away *servers.Server
	healthy := map[string]*redis.Client{}
	for _, n := range cl.Nodes() {
		if n.Addr() != list.Options().Addr && away == nil {
			away = n
			continue
		}
		healthy[n.Addr()] = clientOf(t, &redis.Options{Addr: n.Addr()})
	}
	require.NoError(t, away.Kill())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := s.DeleteOwner(ctx, "ada")
	require.Error(t, err)
	for _, node := range healthy {
		names, err := node.Keys(t.Context(), p+"*").Result()
		require.NoError(t, err)
		if node.Options().Addr == list.Options().Addr {
			require.Len(t, names, 1, "the list alone")
			continue
		}
		require.Empty(t, names)
	}
}
