package redisstore_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/storetest"
)

// The laws hold while changes are told.
func TestLawsWithNotify(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		for name, p := range map[string]string{
			"usual":      prefix(),
			"odd":        "\x00\xff*?[a]{\r\n é'\\" + prefix(),
			"one slot":   "{" + prefix() + "}:",
			"empty slot": "{}" + prefix(),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(*testing.T) store.Store {
					return redisstore.New(c, redisstore.WithPrefix(p), redisstore.WithNotify())
				})
			})
		}
	})
}

// What another program changes is told, once it can be seen; what a store says that
// does not tell is not.
func TestWatchTells(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		for name, opts := range map[string][]redisstore.Option{
			"plain": nil,
			"waits": {redisstore.WithWait(1, 5*time.Millisecond)}, // for nobody: there are no replicas
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				s, p := telling(c, opts...)
				quiet := redisstore.New(c, p)
				done := func(err error) {
					t.Helper()
					if _, few := errors.AsType[*redisstore.ReplicasError](err); !few || opts == nil {
						require.NoError(t, err)
					}
				}
				l := listen(t, redisstore.New(another(t, c), p, redisstore.WithNotify()))
				if _, ok := c.(*redis.Client); ok {
					done(s.Delete(t.Context(), newKey())) // on a cluster that may be told
				}
				var want []store.Change
				for range 20 { // on each channel of a cluster
					r := record("")
					key := put(t, s, r)
					require.NoError(t, s.Touch(t.Context(), key, r.Version, r.Expires.Add(time.Minute)))
					_, err := s.Swap(t.Context(), key, r.Version+1, record(""))
					require.ErrorIs(t, err, store.ErrConflict)
					swapped := swapOnce(t, s, key, r.Version)
					gone := store.Change{Key: key}
					done(s.Delete(t.Context(), key))
					l.requireHears(t, swapped, gone)
					_, err = s.Swap(t.Context(), key, r.Version, record(""))
					require.ErrorIs(t, err, store.ErrNotFound)
					want = append(want, swapped, gone)
				}
				require.Equal(t, want, l.heard(), "and nothing else")

				var deleted []store.Change
				for range 150 { // two pages
					deleted = append(deleted, store.Change{Key: put(t, quiet, record("ada"))})
				}
				kept := put(t, quiet, record("ada"))
				n, err := s.DeleteOwner(t.Context(), "ada", kept)
				done(err)
				require.EqualValues(t, 150, n)
				l.requireHears(t, deleted...)
				require.False(t, l.has(store.Change{Key: kept}))
				require.Zero(t, l.early)

				before := len(l.heard())
				secret := record("")
				key := put(t, quiet, secret)
				silent := swapOnce(t, quiet, key, secret.Version)
				loud := swapOnce(t, s, key, silent.Version)
				l.requireHears(t, loud)
				require.Equal(t, []store.Change{loud}, l.heard()[before:])
			})
		}
	})
}

// another returns a client of the same servers, as of another program.
func another(t testing.TB, c redis.UniversalClient) redis.UniversalClient {
	t.Helper()
	if c, ok := c.(*redis.ClusterClient); ok {
		return clusterOf(t, c.Options().Addrs)
	}
	return clientOf(t, &redis.Options{Addr: c.(*redis.Client).Options().Addr})
}

// What a Watch hears can be seen by then.
func TestWatchTellsWhatCanBeSeen(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s, p := telling(c)
		quiet := redisstore.New(another(t, c), p)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ready, seen := make(chan struct{}), make(chan error, 1000)
		var wg sync.WaitGroup
		wg.Go(func() {
			_ = s.Watch(ctx, func() { close(ready) }, func(c store.Change) {
				r, err := quiet.Load(t.Context(), c.Key)
				if c.Version == 0 && errors.Is(err, store.ErrNotFound) || err == nil && r.Version == c.Version {
					err = nil
				} else {
					err = errors.Join(errors.New("it is told too early"), err)
				}
				seen <- err
			})
		})
		<-ready
		const rounds = 50
		r := record("ada")
		for i := range rounds {
			key := put(t, s, r)
			swapOnce(t, s, key, r.Version)
			require.NoError(t, <-seen)
			if i%2 == 0 {
				require.NoError(t, s.Delete(t.Context(), key))
			} else {
				next := record("ada")
				key := put(t, s, next)
				n, err := s.DeleteOwner(t.Context(), "ada")
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
				requireGone(t, s, key)
			}
			require.NoError(t, <-seen)
		}
		cancel()
		wg.Wait()
	})
}

// How long it takes until another program has heard.
func TestWatchIsSoon(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s, p := telling(c)
		l := listen(t, redisstore.New(another(t, c), p, redisstore.WithNotify()))
		r := record("")
		key, version := put(t, s, r), r.Version
		var took []time.Duration
		for range 101 {
			begun := time.Now()
			change := swapOnce(t, s, key, version)
			version = change.Version
			l.requireHears(t, change)
			took = append(took, l.at[change].Sub(begun))
		}
		slices.Sort(took)
		t.Logf("told after %v, the median of %d; %v at most", took[len(took)/2], len(took), took[len(took)-1])
		require.Less(t, took[len(took)/2], 2*time.Second)
	})
}

// Stores with other prefixes, one of which begins with the other, do not hear each
// other; those in other databases of a server do.
func TestWatchHearsItsPrefix(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		for _, p := range []string{prefix(), "{" + prefix() + "}"} {
			s := redisstore.New(c, redisstore.WithPrefix(p), redisstore.WithNotify())
			other := redisstore.New(c, redisstore.WithPrefix(p+"x:"), redisstore.WithNotify())
			mine, others := listen(t, s), listen(t, other)
			r := record("")
			told := swapOnce(t, s, put(t, s, r), r.Version)
			toldOthers := swapOnce(t, other, put(t, other, r), r.Version)
			mine.requireHears(t, told)
			others.requireHears(t, toldOthers)
			require.Equal(t, []store.Change{told}, mine.heard())
			require.Equal(t, []store.Change{toldOthers}, others.heard())
		}
	})
	c := single(t)
	s, p := telling(c)
	elsewhere := redisstore.New(clientOf(t, &redis.Options{Addr: c.Options().Addr, DB: 3}), p, redisstore.WithNotify())
	l := listen(t, elsewhere)
	r := record("")
	key := put(t, s, r)
	l.requireHears(t, swapOnce(t, s, key, r.Version))
	requireGone(t, elsewhere, key)
}

// A message that is none is passed over.
func TestWatchPassesOverMessages(t *testing.T) {
	t.Parallel()
	c := single(t)
	p := prefix()
	s := redisstore.New(c, redisstore.WithPrefix(p), redisstore.WithNotify())
	l := listen(t, s)
	for _, payload := range []string{"", "hello", "\x01" + strings.Repeat("=", 51), strings.Repeat("x", 1<<20)} {
		n, err := c.Publish(t.Context(), p+"changes", payload).Result()
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
	r := record("")
	told := swapOnce(t, s, put(t, s, r), r.Version)
	l.requireHears(t, told)
	require.Equal(t, []store.Change{told}, l.heard())
}

// Both protocols of Redis, a pool of one connection, and several Watches at once:
// none takes a connection from the pool for long.
func TestWatchesWithASmallPool(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{2, 3} {
		for name, c := range map[string]redis.UniversalClient{
			"single": clientOf(t, &redis.Options{Addr: servers.Redis(t).DSN(), Protocol: protocol, PoolSize: 1, PipelinePoolSize: -1}),
			"cluster": func() redis.UniversalClient {
				c := redis.NewClusterClient(&redis.ClusterOptions{
					Addrs: servers.RedisCluster(t).Addrs(), Protocol: protocol, PoolSize: 1, PipelinePoolSize: -1,
				})
				t.Cleanup(func() { _ = c.Close() })
				return c
			}(),
		} {
			s, _ := telling(c)
			listeners := []*listener{listen(t, s), listen(t, s), listen(t, s)}
			r := record("")
			key, version := put(t, s, r), r.Version
			var told []store.Change
			for range 100 {
				change := swapOnce(t, s, key, version)
				told, version = append(told, change), change.Version
			}
			for _, l := range listeners {
				l.requireHears(t, told...)
			}
			listeners[0].cancel()
			<-listeners[0].done
			require.ErrorIs(t, listeners[0].err, context.Canceled, name)
			last := swapOnce(t, s, key, version)
			for _, l := range listeners[1:] {
				l.requireHears(t, last)
				l.requireGoesOn(t)
			}
			require.False(t, listeners[0].has(last))
		}
	}
}

// Writers at once lose no telling.
func TestWatchMissesNothing(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s, p := telling(c)
		l := listen(t, redisstore.New(another(t, c), p, redisstore.WithNotify()))
		var wg sync.WaitGroup
		var mu sync.Mutex
		var told []store.Change
		for range 8 {
			wg.Go(func() {
				r := record("ada")
				key, version := newKey(), r.Version
				err := s.Insert(t.Context(), key, r)
				var mine []store.Change
				for range 50 {
					next := record("ada")
					if err == nil {
						_, err = s.Swap(t.Context(), key, version, next)
					}
					version = next.Version
					mine = append(mine, store.Change{Key: key, Version: version})
				}
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				told = append(told, mine...)
			})
		}
		wg.Wait()
		l.requireHears(t, told...)
		l.requireGoesOn(t)
	})
}

// What has not been set up says so at once, and so does what cannot be.
func TestWatchIsUnsupported(t *testing.T) {
	t.Parallel()
	c := single(t)
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	t.Cleanup(func() { _ = ring.Close() })
	notify := redisstore.WithNotify()
	for want, s := range map[string]*redisstore.Store{
		"made without WithNotify":         redisstore.New(c),
		"not a redisstore_test.wrapped":   redisstore.New(wrapped{c}, notify),
		"redis.Ring looks for a key":      redisstore.New(ring, notify),
		"the client is nil":               redisstore.New(nil, notify),
		"is nil: make one with redis.New": redisstore.New((*redis.ClusterClient)(nil), notify),
	} {
		err := s.Watch(t.Context(), func() { t.Error("ready") }, func(store.Change) { t.Error("changed") })
		require.ErrorIs(t, err, errors.ErrUnsupported)
		require.ErrorContains(t, err, want)
	}
	// A client of another kind writes as ever.
	s := redisstore.New(wrapped{c}, notify, redisstore.WithPrefix(prefix()))
	require.NoError(t, everything(t, s))
}

// A Watch leaves nothing behind.
func TestWatchLeavesNothing(t *testing.T) { // not parallel: it looks at all goroutines
	for name, open := range map[string]func(name string) redis.UniversalClient{
		"single": func(name string) redis.UniversalClient {
			return clientOf(t, &redis.Options{Addr: servers.Redis(t).DSN(), ClientName: name})
		},
		"cluster": func(name string) redis.UniversalClient {
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: servers.RedisCluster(t).Addrs(), ClientName: name})
			t.Cleanup(func() { _ = c.Close() })
			return c
		},
	} {
		mark := "watch-" + name
		c := open(mark)
		s, _ := telling(c)
		for range 3 {
			first, second := listen(t, s), listen(t, s)
			require.Positive(t, subscribers(t, c, mark))
			for _, l := range []*listener{first, second} {
				l.cancel()
				<-l.done
			}
			require.NotContains(t, stacks(), "redisstore.(*watch)", name)
			require.NotContains(t, stacks(), "redis.(*PubSub)", name)
			poll(t, func() bool { return subscribers(t, c, mark) == 0 }, name)
		}
		// Nor one that had no time.
		for range 20 {
			l := begin(t, s)
			l.cancel()
			<-l.done
			require.ErrorIs(t, l.err, context.Canceled)
		}
		require.NotContains(t, stacks(), "redisstore.(*watch)", name)
		poll(t, func() bool { return subscribers(t, c, mark) == 0 }, name)
	}
}

func stacks() string {
	buf := make([]byte, 1<<22)
	return string(buf[:runtime.Stack(buf, true)])
}

// subscribers returns how many connections with that name have subscribed.
func subscribers(t testing.TB, c redis.UniversalClient, name string) (n int) {
	t.Helper()
	addrs := []string{}
	switch c := c.(type) {
	case *redis.Client:
		addrs = append(addrs, c.Options().Addr)
	case *redis.ClusterClient:
		addrs = c.Options().Addrs
	}
	for _, addr := range addrs {
		list, err := clientOf(t, &redis.Options{Addr: addr}).Do(t.Context(), "client", "list", "type", "pubsub").Text()
		require.NoError(t, err)
		n += strings.Count(list, "name="+name+" ")
	}
	return n
}
