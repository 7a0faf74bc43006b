package redisstore_test

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// wrapped is a client of somebody else.
type wrapped struct{ redis.UniversalClient }

func TestUselessConfiguration(t *testing.T) {
	t.Parallel()
	simple := clientOf(t, &redis.Options{ReadTimeout: time.Second})
	clusterWith := func(o redis.ClusterOptions) *redis.ClusterClient {
		o.Addrs = []string{"127.0.0.1:1"}
		c := redis.NewClusterClient(&o)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { _ = ring.Close() })
	wait := func(n int, d time.Duration) []redisstore.Option {
		return []redisstore.Option{redisstore.WithWait(n, d)}
	}
	for name, c := range map[string]struct {
		client redis.UniversalClient
		opts   []redisstore.Option
		want   []string
	}{
		"nil":                      {nil, nil, []string{"client is nil"}},
		"nil client":               {(*redis.Client)(nil), nil, []string{"client is nil"}},
		"nil cluster":              {(*redis.ClusterClient)(nil), nil, []string{"client is nil"}},
		"ring":                     {ring, nil, []string{"redis.Ring"}},
		"cache":                    {clientOf(t, &redis.Options{ClientSideCacheConfig: &redis.ClientSideCacheConfig{}}), nil, []string{"ClientSideCache"}},
		"replicas":                 {clusterWith(redis.ClusterOptions{ReadOnly: true}), nil, []string{"ReadOnly"}},
		"replicas by latency":      {clusterWith(redis.ClusterOptions{RouteByLatency: true}), nil, []string{"RouteByLatency"}},
		"replicas at random":       {clusterWith(redis.ClusterOptions{RouteRandomly: true}), nil, []string{"RouteRandomly"}},
		"wait for nobody":          {simple, wait(0, time.Millisecond), []string{"WithWait for 0 replicas"}},
		"wait for less":            {simple, wait(-1, -time.Second), []string{"WithWait for -1 replicas", "WithWait for -1s"}},
		"wait for no time":         {simple, wait(1, 999*time.Microsecond), []string{"at least a millisecond"}},
		"wait for too long":        {simple, wait(1, time.Second), []string{"ReadTimeout of 1s"}},
		"wait with whatever":       {wrapped{simple}, wait(1, time.Millisecond), []string{"cannot pick"}},
		"several things are wrong": {nil, wait(0, 0), []string{"client is nil", "WithWait for 0 replicas", "WithWait for 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redisstore.New(c.client, c.opts...)
			for call, err := range everyMethod(t.Context(), s, newKey(), record("ada")) {
				require.Error(t, err, call)
				for _, want := range c.want {
					require.ErrorContains(t, err, want, call)
				}
				require.Equal(t, !isRead(call), errors.Is(err, store.ErrRefused), call)
				require.NotErrorIs(t, err, store.ErrNotFound, call)
			}
		})
	}
}

func TestUsableConfiguration(t *testing.T) {
	t.Parallel()
	c := single(t)
	for name, s := range map[string]*redisstore.Store{
		"plain":   redisstore.New(c),
		"options": redisstore.New(c, redisstore.WithPrefix(prefix()), redisstore.WithWait(1, time.Millisecond)),
		"wrapped": redisstore.New(wrapped{c}, redisstore.WithPrefix(prefix())),
	} {
		_, err := s.Load(t.Context(), newKey())
		require.ErrorIs(t, err, store.ErrNotFound, name)
	}
	// Without a limit of its own the client waits as long as it takes.
	patient := clientOf(t, &redis.Options{Addr: c.Options().Addr, ReadTimeout: -1})
	_, err := redisstore.New(patient, redisstore.WithWait(1, time.Hour)).Load(t.Context(), newKey())
	require.ErrorIs(t, err, store.ErrNotFound)
}
