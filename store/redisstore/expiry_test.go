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

// A record is there in the millisecond before its Expires, and not in that of its
// Expires, by the clock of the server: TIME before and after say which it was.
func TestExpiryToTheMillisecond(t *testing.T) {
	t.Parallel()
	c := single(t)
	s := on(c)
	now := func() int64 {
		at, err := c.Time(t.Context()).Result()
		require.NoError(t, err)
		return at.UnixMilli()
	}
	var before, at int
	for round := 0; (before < 3 || at < 3) && round < 3000; round++ {
		r := record("")
		end := now() + 15
		r.Expires = time.UnixMilli(end)
		key := put(t, s, r)
		for {
			first := now()
			_, err := s.Load(t.Context(), key)
			last := now()
			switch {
			case last < end:
				require.NoError(t, err, "%d ms before", end-last)
				if last == end-1 {
					before++
				}
			case first >= end:
				require.ErrorIs(t, err, store.ErrNotFound, "%d ms after", first-end)
				if first == end {
					at++
				}
			}
			if first >= end {
				break
			}
		}
	}
	require.GreaterOrEqual(t, before, 3, "the millisecond before was not met")
	require.GreaterOrEqual(t, at, 3, "the millisecond itself was not met")
}

// The server's expiry is that of the record, after each kind of write.
func TestServerKnowsTheExpiry(t *testing.T) {
	t.Parallel()
	c, p := single(t), prefix()
	s := redisstore.New(c, redisstore.WithPrefix(p))
	for _, owner := range []string{"", "ada"} {
		r := record(owner)
		key := put(t, s, r)
		var name string
		for _, k := range c.Keys(t.Context(), p+"*").Val() {
			if c.Type(t.Context(), k).Val() == "string" {
				name = k
			}
		}
		same := func() {
			t.Helper()
			requireHolds(t, s, key, r)
			require.Equal(t, r.Expires.UnixMilli()-1, c.PExpireTime(t.Context(), name).Val().Milliseconds())
		}
		same()
		for _, by := range []time.Duration{time.Minute, time.Millisecond, 40 * 24 * time.Hour} {
			r.Expires = r.Expires.Add(by)
			require.NoError(t, s.Touch(t.Context(), key, r.Version, r.Expires))
			same()
			require.NoError(t, s.Touch(t.Context(), key, r.Version, r.Expires.Add(-time.Second)))
			same()
		}
		for _, life := range []time.Duration{time.Minute, 400 * 24 * time.Hour} {
			next := record(owner)
			next.Expires = soon(life)
			_, err := s.Swap(t.Context(), key, r.Version, next)
			require.NoError(t, err)
			r = next
			same()
		}
		require.NoError(t, s.Delete(t.Context(), key))
	}
}

// Times that no clock shows end a record at once, or never.
func TestOddExpiries(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s := on(c)
		for _, exp := range []time.Time{{}, time.UnixMilli(0), time.UnixMilli(1), time.UnixMilli(-1), time.Unix(-1<<40, 0), soon(-time.Hour)} {
			r := record("ada")
			r.Expires = exp
			key := put(t, s, r)
			requireGone(t, s, key)
			live := record("ada")
			key = put(t, s, live)
			require.NoError(t, s.Touch(t.Context(), key, live.Version, exp))
			requireHolds(t, s, key, live)
			_, err := s.Swap(t.Context(), key, live.Version, r)
			require.NoError(t, err)
			requireGone(t, s, key)
		}
		for _, exp := range []time.Time{time.UnixMilli(1 << 53), time.UnixMilli(1 << 62)} {
			r := record("ada")
			r.Expires = exp
			key := put(t, s, r)
			_, err := s.Load(t.Context(), key)
			require.NoError(t, err)
			require.Contains(t, listed(t, s, "ada", 100), key)
		}
	})
}

// Whoever was told that a record has ended never sees it come back.
func TestNothingRevives(t *testing.T) {
	t.Parallel()
	s := on(single(t))
	for range 20 {
		r := record("ada")
		r.Expires = soon(20 * time.Millisecond)
		key := put(t, s, r)
		poll(t, func() bool { _, err := s.Load(t.Context(), key); return errors.Is(err, store.ErrNotFound) }, "it ends")
		require.NoError(t, s.Touch(t.Context(), key, r.Version, soon(time.Hour)))
		_, err := s.Swap(t.Context(), key, r.Version, record("ada"))
		require.ErrorIs(t, err, store.ErrNotFound)
		requireGone(t, s, key)
		n, err := s.DeleteOwner(t.Context(), "ada")
		require.NoError(t, err)
		require.Zero(t, n)
	}
}
