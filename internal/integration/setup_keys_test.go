package integration_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/storetest"
)

// What a login leaves in Redis is what docs/stores.md says.
func TestSetupRedisKeys(t *testing.T) {
	t.Parallel()
	r := newRedisRig(t)
	ada := r.known("ada")
	id, ctx := ada.must(r.nodes[0], readID), t.Context()
	rows := storesDoc(t).table(t, "schema Redis")
	require.Len(t, rows, 2)
	names := []string{"session:" + id, redisOwnerKey(":ada")}
	require.ElementsMatch(t, names, r.admin.Keys(ctx, "*").Val())
	for i, name := range names {
		prefix, _, _ := strings.Cut(strings.TrimPrefix(rows[i][0], "`"), "`")
		require.Len(t, strings.TrimPrefix(name, prefix), 43, "32 bytes in base64url")
		require.Equal(t, rows[i][1], strings.ReplaceAll(r.admin.Type(ctx, name).Val(), "zset", "sorted set"))
	}

	frame, err := r.admin.Get(ctx, names[0]).Bytes()
	require.NoError(t, err)
	require.EqualValues(t, 1, frame[0])
	require.Positive(t, int64(binary.BigEndian.Uint64(frame[1:])))
	expires, hinted := binary.BigEndian.Uint64(frame[9:]), binary.BigEndian.Uint64(frame[17:])
	require.EqualValues(t, expires-1, r.admin.PExpireTime(ctx, names[0]).Val().Milliseconds())
	size := binary.BigEndian.Uint16(frame[25:])
	require.Equal(t, ":ada", string(frame[27:27+size]), "the scope, which has no name, and the owner")
	require.Contains(t, string(frame[27+size:]), `"of ada"`)

	list := r.admin.ZRangeWithScores(ctx, names[1], 0, -1).Val()
	require.Len(t, list, 1)
	require.Zero(t, list[0].Score)
	hint := []byte(list[0].Member.(string))
	require.Len(t, hint, 32+8)
	require.Equal(t, hinted, binary.BigEndian.Uint64(hint[32:]))
	require.GreaterOrEqual(t, hinted, expires)
	require.Greater(t, r.admin.PExpireTime(ctx, names[1]).Val().Milliseconds(), int64(hinted))
}

// Whoever has the rights that docs/stores.md names has enough.
func TestSetupRedisRights(t *testing.T) {
	t.Parallel()
	doc := storesDoc(t)
	grant := strings.Fields(doc.block(t, "rights Redis"))
	require.Equal(t, []string{"ACL", "SETUSER", "web", "on", ">password", "~session:*"}, grant[:6])
	login := func(t *testing.T, admin *redis.Client, prefix string, more ...string) {
		t.Helper()
		args := make([]any, 0, len(grant)+len(more))
		for _, word := range slices.Concat(grant, more) {
			pattern := strings.ReplaceAll(prefix, " ", "?") // which has no spaces
			args = append(args, strings.Replace(word, "session:", pattern, 1))
		}
		require.NoError(t, admin.Do(t.Context(), args...).Err())
	}
	t.Run("Redis", func(t *testing.T) {
		t.Parallel()
		s := servers.StartRedis(t)
		login(t, newRedis(t, s.Addr()), redisstore.DefaultPrefix)
		c := redis.NewClient(&redis.Options{Addr: s.Addr(), Username: "web", Password: "password"})
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		storetest.Run(t, func(*testing.T) store.Store { return redisstore.New(c) })
		require.ErrorContains(t, c.Set(t.Context(), "other", "x", 0).Err(), "NOPERM")
	})
	t.Run("Redis Cluster", func(t *testing.T) {
		t.Parallel()
		const more = "+cluster +asking"
		require.Contains(t, string(doc), "`"+more+"`")
		cl := servers.RedisCluster(t)
		if !cl.Own() {
			t.Skip("its users are not for tests")
		}
		prefix := newPrefix(t, newRedisCluster(t, cl.Addrs()))
		for _, addr := range cl.Addrs() {
			login(t, newRedis(t, addr), prefix, strings.Fields(more)...)
		}
		c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cl.Addrs(), Username: "web", Password: "password"})
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		storetest.Run(t, func(*testing.T) store.Store { return redisstore.New(c, redisstore.WithPrefix(prefix)) })
	})
	t.Run("WithWait", func(t *testing.T) {
		t.Parallel()
		const more = "+wait"
		require.Contains(t, string(doc), "`"+more+"`")
		p := newRedisPair(t)
		login(t, p.admin, redisstore.DefaultPrefix, more)
		c := redis.NewClient(&redis.Options{Addr: p.Addr(), Username: "web", Password: "password"})
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		n := newNode(t, redisstore.New(c, redisstore.WithWait(1, time.Second)))
		ada := p.known("ada")
		ada.must(n, logOut)
		p.known("ada")
		require.NoError(t, n.manager.RevokeOwner(t.Context(), "ada"))
	})
}

// Redis removes what has expired: RunSweeper says so, and ends.
func TestSetupRedisIsNotSwept(t *testing.T) {
	t.Parallel()
	m, err := session.NewManager(session.Config{Store: redisstore.New(newRedis(t, "127.0.0.1:1"))})
	require.NoError(t, err)
	require.ErrorContains(t, m.RunSweeper(t.Context(), time.Hour), "cannot be swept: unsupported operation")
}
