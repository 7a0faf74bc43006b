package redisstore_test

import (
	"errors"
	"math"
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

func TestLaws(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		for name, p := range map[string]string{
			"usual":      redisstore.DefaultPrefix,
			"odd":        "\x00\xff*?[a]{\r\n é'\\" + prefix(),
			"none":       "",
			"one slot":   "{" + prefix() + "}:",
			"empty slot": "{}" + prefix(),
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(*testing.T) store.Store {
					return redisstore.New(c, redisstore.WithPrefix(p))
				})
			})
		}
	})
}

// The laws hold while a client may be called before it has the last answer.
func TestLawsOfPipeliningClient(t *testing.T) {
	t.Parallel()
	c, err := single(t).AutoPipeline()
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	storetest.Run(t, func(*testing.T) store.Store { return on(c) })
}

func TestPrefixesAreApart(t *testing.T) {
	t.Parallel()
	c := single(t)
	a, b := on(c), on(c)
	key, r := newKey(), record("ada")
	require.NoError(t, a.Insert(t.Context(), key, r))
	requireGone(t, b, key)
	require.Empty(t, listed(t, b, "ada", 10))
	n, err := b.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.Zero(t, n)
	requireHolds(t, a, key, r)
}

// Two stores, as of two programs, count to 400 in one record.
func TestTwoStoresOneRecord(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		p := redisstore.WithPrefix(prefix())
		stores := []*redisstore.Store{redisstore.New(c, p), redisstore.New(c, p)}
		r := record("ada")
		r.Data = nil
		key := put(t, stores[0], r)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				s := stores[i%2]
				for range 25 {
					cur, err := s.Load(t.Context(), key)
					for err == nil || errors.Is(err, store.ErrConflict) {
						next := cur
						next.Data = append([]byte{1}, cur.Data...)
						next.Version = newVersion()
						next.Expires = cur.Expires.Add(time.Millisecond)
						if cur, err = s.Swap(t.Context(), key, cur.Version, next); err == nil {
							break
						}
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		got, err := stores[1].Load(t.Context(), key)
		require.NoError(t, err)
		require.Len(t, got.Data, 400)
	})
}

func TestLargeAndOddRecords(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s := on(c)
		big := make([]byte, 3<<20)
		for i := range big {
			big[i] = byte(i * i >> 3)
		}
		for name, r := range map[string]store.Record{
			"big":              {Data: big, Version: 1, Expires: soon(time.Hour), Owner: "ada"},
			"a long owner":     {Data: []byte("x"), Version: math.MaxInt64, Expires: soon(time.Hour), Owner: strings.Repeat("é", 256)},
			"nothing in it":    {Version: 255, Expires: soon(time.Hour)},
			"looks like a map": {Data: []byte("\r\n$-1\r\n"), Version: 1 << 62, Expires: soon(time.Hour), Owner: "\r\n*1"},
			"forever":          {Data: []byte("x"), Version: 1 << 32, Expires: time.UnixMilli(1 << 52), Owner: "ada"},
		} {
			key := put(t, s, r)
			if r.Data == nil {
				r.Data = []byte{}
			}
			requireHolds(t, s, key, r)
			next := r
			next.Version = r.Version ^ 0x7f
			_, err := s.Swap(t.Context(), key, r.Version, next)
			require.NoError(t, err, name)
			requireHolds(t, s, key, next)
			cur, err := s.Swap(t.Context(), key, r.Version, record(""))
			require.ErrorIs(t, err, store.ErrConflict, name)
			require.Equal(t, next.Version, cur.Version)
			require.Equal(t, next.Data, cur.Data)
			next.Expires = next.Expires.Add(time.Hour)
			require.NoError(t, s.Touch(t.Context(), key, next.Version, next.Expires))
			requireHolds(t, s, key, next)
			if r.Owner != "" {
				require.Contains(t, listed(t, s, r.Owner, 100), key, name)
			}
			require.NoError(t, s.Delete(t.Context(), key))
			requireGone(t, s, key)
		}
	})
}

func TestOwnerIsTooLong(t *testing.T) {
	t.Parallel()
	s := on(single(t))
	r := record(strings.Repeat("x", 513))
	require.ErrorIs(t, s.Insert(t.Context(), newKey(), r), store.ErrRefused)
	_, err := s.Swap(t.Context(), newKey(), 1, r)
	require.ErrorIs(t, err, store.ErrRefused)
}

// The server may forget its scripts at any time.
func TestScriptsAreForgotten(t *testing.T) {
	t.Parallel()
	c := clientOf(t, &redis.Options{Addr: servers.StartRedis(t).DSN()})
	s := on(c)
	r := record("ada")
	key := put(t, s, r)
	flush := func() { require.NoError(t, c.ScriptFlush(t.Context()).Err()) }
	for range 3 {
		flush()
		next := record("ada")
		next.Expires = r.Expires.Add(3 * time.Hour) // and a hint
		_, err := s.Swap(t.Context(), key, r.Version, next)
		require.NoError(t, err)
		r = next
		flush()
		r.Expires = r.Expires.Add(5 * time.Hour)
		require.NoError(t, s.Touch(t.Context(), key, r.Version, r.Expires))
		flush()
		require.Equal(t, []store.Key{key}, listed(t, s, "ada", 1))
		requireHolds(t, s, key, r)
	}
	flush()
	n, err := s.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// What somebody else has put under the key of a record is never "not found".
func TestForeignValues(t *testing.T) {
	t.Parallel()
	c := single(t)
	p := prefix()
	s := redisstore.New(c, redisstore.WithPrefix(p))
	r := record("ada")
	key := put(t, s, r)
	name := c.Keys(t.Context(), p+"*").Val()
	require.Len(t, name, 2)
	own := name[0]
	if strings.HasPrefix(own, p+"owner:") {
		own = name[1]
	}
	for what, set := range map[string]func() error{
		"text":         func() error { return c.Set(t.Context(), own, "hello", time.Hour).Err() },
		"empty":        func() error { return c.Set(t.Context(), own, "\x02", time.Hour).Err() },
		"a number":     func() error { return c.Set(t.Context(), own, 12345, time.Hour).Err() },
		"a later form": func() error { return c.Set(t.Context(), own, "\x02"+strings.Repeat("\x00", 60), time.Hour).Err() },
		"cut":          func() error { return c.Set(t.Context(), own, "\x01"+strings.Repeat("\x00", 20), time.Hour).Err() },
		"another type": func() error { return c.LPush(t.Context(), own, "x").Err() },
	} {
		require.NoError(t, c.Del(t.Context(), own).Err())
		require.NoError(t, set(), what)
		before := c.Dump(t.Context(), own).Val()
		_, loadErr := s.Load(t.Context(), key)
		_, swapErr := s.Swap(t.Context(), key, r.Version, record("ada"))
		touchErr := s.Touch(t.Context(), key, r.Version, soon(2*time.Hour))
		_, listErr := s.ListOwner(t.Context(), "ada", store.Key{}, 10)
		for call, err := range map[string]error{"load": loadErr, "swap": swapErr, "touch": touchErr, "list": listErr} {
			require.Error(t, err, "%s: %s", what, call)
			for _, answer := range []error{store.ErrNotFound, store.ErrConflict, store.ErrExists, store.ErrRefused} {
				require.NotErrorIs(t, err, answer, "%s: %s", what, call)
			}
		}
		require.ErrorIs(t, s.Insert(t.Context(), key, r), store.ErrExists, what)
		if what != "another type" {
			n, err := s.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
			require.Zero(t, n)
		}
		require.Equal(t, before, c.Dump(t.Context(), own).Val(), "%s: nothing has changed", what)
	}
	require.NoError(t, s.Delete(t.Context(), key))
	requireGone(t, s, key)
}
