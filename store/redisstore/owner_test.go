package redisstore_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// indexed is a store whose hints can be seen.
type indexed struct {
	*redisstore.Store

	client *redis.Client
	prefix string
}

func newIndexed(t testing.TB) indexed {
	t.Helper()
	c, p := single(t), prefix()
	return indexed{redisstore.New(c, redisstore.WithPrefix(p)), c, p}
}

// sets returns the names of the sets of owners.
func (x indexed) sets(t testing.TB) []string {
	t.Helper()
	names, err := x.client.Keys(t.Context(), x.prefix+"owner:*").Result()
	require.NoError(t, err)
	return names
}

// hints returns the times of the hints in the only set there is.
func (x indexed) hints(t testing.TB) map[store.Key][]time.Time {
	t.Helper()
	names := x.sets(t)
	require.Len(t, names, 1)
	members, err := x.client.ZRange(t.Context(), names[0], 0, -1).Result()
	require.NoError(t, err)
	found := map[store.Key][]time.Time{}
	for _, m := range members {
		require.Len(t, m, 40)
		key := store.Key([]byte(m[:32]))
		found[key] = append(found[key], time.UnixMilli(int64(binary.BigEndian.Uint64([]byte(m[32:])))))
	}
	return found
}

func (x indexed) swap(t testing.TB, key store.Key, old int64, r store.Record) {
	t.Helper()
	_, err := x.Swap(t.Context(), key, old, r)
	require.NoError(t, err)
}

// A swap or touch that stays below the time of the hint leaves it alone; one that
// goes beyond renews it first. There is one hint for a record at each time.
func TestHintIsRenewed(t *testing.T) {
	t.Parallel()
	x := newIndexed(t)
	r := record("ada")
	key := put(t, x.Store, r)
	first := x.hints(t)[key]
	require.Len(t, first, 1)
	require.WithinDuration(t, r.Expires.Add(time.Hour), first[0], time.Second)

	next := record("ada")
	next.Expires = first[0]
	x.swap(t, key, r.Version, next)
	require.Equal(t, first, x.hints(t)[key], "up to the very millisecond")

	later := next.Expires.Add(time.Millisecond)
	require.NoError(t, x.Touch(t.Context(), key, next.Version, later))
	second := x.hints(t)[key]
	require.Len(t, second, 1)
	require.WithinDuration(t, later.Add(time.Hour), second[0], time.Second)
	require.NoError(t, x.Touch(t.Context(), key, next.Version, second[0]))
	require.Equal(t, second, x.hints(t)[key])

	last := record("ada")
	last.Expires = second[0].Add(time.Millisecond)
	x.swap(t, key, next.Version, last)
	third := x.hints(t)[key]
	require.Len(t, third, 1)
	require.True(t, third[0].After(last.Expires))

	// A shorter life leaves what the record holds of the hint.
	short := record("ada")
	short.Expires = soon(time.Minute)
	x.swap(t, key, last.Version, short)
	require.NoError(t, x.Touch(t.Context(), key, short.Version, third[0]))
	require.Equal(t, third, x.hints(t)[key])
	require.Equal(t, []store.Key{key}, listed(t, x.Store, "ada", 10))
}

// How long a hint is for: half a life more, an hour at least, a week at most.
func TestTimeOfAHint(t *testing.T) {
	t.Parallel()
	for life, ahead := range map[time.Duration]time.Duration{
		-time.Minute:         time.Hour,
		time.Minute:          time.Hour,
		10 * time.Hour:       5 * time.Hour,
		300 * 24 * time.Hour: 7 * 24 * time.Hour,
	} {
		x := newIndexed(t)
		r := record("ada")
		r.Expires = soon(life)
		key := put(t, x.Store, r)
		hint := x.hints(t)[key]
		require.Len(t, hint, 1)
		require.WithinDuration(t, r.Expires.Add(ahead), hint[0], 5*time.Second, "%v", life)
		end, err := x.client.PExpireTime(t.Context(), x.sets(t)[0]).Result()
		require.NoError(t, err)
		require.Equal(t, hint[0].Add(time.Hour).UnixMilli(), end.Milliseconds(), "the set ends an hour after")
	}
}

// The set of an owner ends with the hint that lasts longest.
func TestSetEndsWithItsLastHint(t *testing.T) {
	t.Parallel()
	x := newIndexed(t)
	var last time.Time
	for _, life := range []time.Duration{time.Minute, 20 * time.Hour, time.Hour} {
		r := record("ada")
		r.Expires = soon(life)
		key := put(t, x.Store, r)
		if hint := x.hints(t)[key][0]; hint.After(last) {
			last = hint
		}
		end, err := x.client.PExpireTime(t.Context(), x.sets(t)[0]).Result()
		require.NoError(t, err)
		require.Equal(t, last.Add(time.Hour).UnixMilli(), end.Milliseconds())
	}
}

func TestOwnerGoesAndComesBack(t *testing.T) {
	t.Parallel()
	x := newIndexed(t)
	r := record("ada")
	r.Expires = soon(48 * time.Hour)
	key := put(t, x.Store, r)
	for _, owner := range []string{"bob", "ada", "", "ada", "bob", "ada"} {
		next := record(owner)
		next.Expires = r.Expires.Add(2 * 24 * time.Hour) // it needs a hint each time
		x.swap(t, key, r.Version, next)
		r = next
		for _, name := range []string{"ada", "bob"} {
			if name == owner {
				require.Equal(t, []store.Key{key}, listed(t, x.Store, name, 1))
			} else {
				require.Empty(t, listed(t, x.Store, name, 1))
			}
		}
		touched := r.Expires.Add(9 * 24 * time.Hour)
		require.NoError(t, x.Touch(t.Context(), key, r.Version, touched))
		r.Expires = touched
		requireHolds(t, x.Store, key, r)
	}
	n, err := x.DeleteOwner(t.Context(), "bob")
	require.NoError(t, err)
	require.Zero(t, n, "that hint is not true")
	n, err = x.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// Hints whose time has passed go when somebody reads the set, and little by
// little when somebody writes to it; others stay, whether or not they are true.
func TestOldHintsGo(t *testing.T) {
	t.Parallel()
	for name, collect := range map[string]func(t *testing.T, x indexed, keep store.Key){
		"read": func(t *testing.T, x indexed, keep store.Key) {
			require.Equal(t, []store.Key{keep}, listed(t, x.Store, "ada", 7))
		},
		"deleted": func(t *testing.T, x indexed, keep store.Key) {
			n, err := x.DeleteOwner(t.Context(), "ada", keep)
			require.NoError(t, err)
			require.Zero(t, n)
		},
		"written": func(t *testing.T, x indexed, _ store.Key) {
			for range 400 {
				r := record("ada")
				r.Expires = soon(-3 * time.Hour) // its hint is as old
				put(t, x.Store, r)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newIndexed(t)
			r := record("ada")
			keep := put(t, x.Store, r)
			set := x.sets(t)[0]
			hint := func(age time.Duration) store.Key {
				key := newKey()
				at := uint64(time.Now().Add(-age).UnixMilli())
				member := string(binary.BigEndian.AppendUint64(key[:], at))
				require.NoError(t, x.client.ZAdd(t.Context(), set, redis.Z{Member: member}).Err())
				return key
			}
			young := hint(50 * time.Minute) // clocks may differ by an hour
			for range 300 {
				hint(70 * time.Minute)
			}
			collect(t, x, keep)
			left := x.hints(t)
			require.Contains(t, left, keep)
			require.Contains(t, left, young)
			most := 2
			if name == "written" {
				most = 150
			}
			require.LessOrEqual(t, len(left), most)
		})
	}
}

// What is no hint does no harm.
func TestForeignMembersOfASet(t *testing.T) {
	t.Parallel()
	x := newIndexed(t)
	keys := map[store.Key]bool{}
	for range 3 {
		keys[put(t, x.Store, record("ada"))] = true
	}
	set := x.sets(t)[0]
	for _, m := range []string{"", "x", strings.Repeat("\x00", 33), strings.Repeat("\xff", 41), strings.Repeat("\x7f", 500)} {
		require.NoError(t, x.client.ZAdd(t.Context(), set, redis.Z{Member: m}).Err())
	}
	for range 50 { // they may be looked at by chance
		keys[put(t, x.Store, record("ada"))] = true
	}
	for key := range keys { // nor are two hints for one record
		member := string(binary.BigEndian.AppendUint64(key[:], 1<<52))
		require.NoError(t, x.client.ZAdd(t.Context(), set, redis.Z{Member: member}).Err())
	}
	for _, limit := range []int{1, 2, 16, 17, 53, 100} {
		got := listed(t, x.Store, "ada", limit)
		require.Len(t, got, len(keys))
		for _, key := range got {
			require.Contains(t, keys, key)
		}
	}
	n, err := x.DeleteOwner(t.Context(), "ada")
	require.NoError(t, err)
	require.EqualValues(t, len(keys), n)
}

// A hint that is repeated, or comes late, changes nothing: the later time wins.
func TestLateHint(t *testing.T) {
	t.Parallel()
	x := newIndexed(t)
	tr := watch(x.client)
	r := record("ada")
	key := put(t, x.Store, r)
	_, cmds := tr.take()
	var early []any
	for _, cmd := range cmds {
		if cmd[0] == "evalsha" {
			early = cmd
		}
	}
	require.Len(t, early, 7)
	r.Expires = r.Expires.Add(30 * time.Hour)
	require.NoError(t, x.Touch(t.Context(), key, r.Version, r.Expires))
	want := x.hints(t)
	end := x.client.PExpireTime(t.Context(), x.sets(t)[0]).Val()
	for range 2 {
		require.NoError(t, x.client.Do(t.Context(), early...).Err())
		require.Equal(t, want, x.hints(t))
		require.Equal(t, end, x.client.PExpireTime(t.Context(), x.sets(t)[0]).Val())
	}
}

// Many records, with hints of records that are gone between them.
func TestManyOfOneOwner(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		s := on(c)
		var keys []store.Key
		for i := range 400 {
			key := put(t, s, record("ada"))
			if i%3 == 0 {
				require.NoError(t, s.Delete(t.Context(), key))
				continue
			}
			keys = append(keys, key)
		}
		for _, limit := range []int{1, 20, 133, 266, 267, 1000} {
			require.ElementsMatch(t, keys, listed(t, s, "ada", limit), "limit %d", limit)
		}
		for _, limit := range []int{0, -1} {
			page, err := s.ListOwner(t.Context(), "ada", store.Key{}, limit)
			require.NoError(t, err)
			require.Empty(t, page)
		}
		n, err := s.DeleteOwner(t.Context(), "ada", keys[7], newKey())
		require.NoError(t, err)
		require.EqualValues(t, len(keys)-1, n)
		require.Equal(t, []store.Key{keys[7]}, listed(t, s, "ada", 10))
	})
}
