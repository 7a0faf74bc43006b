package redisstore_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// Without enough replicas a deletion says so, and is done.
func TestTooFewReplicas(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		p := redisstore.WithPrefix(prefix())
		plain, s := redisstore.New(c, p), redisstore.New(c, p, redisstore.WithWait(2, 20*time.Millisecond))
		requireTooFew := func(err error) {
			t.Helper()
			few, ok := errors.AsType[*redisstore.ReplicasError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, redisstore.ReplicasError{Asked: 2, Got: 0}, *few)
			require.ErrorContains(t, err, "0 of 2 replicas")
		}
		key := put(t, plain, record("ada"))
		for range 2 {
			err := s.Delete(t.Context(), key)
			requireTooFew(err)
			requireUnknown(t, err)
			requireGone(t, s, key)
		}
		// All are deleted at once, beyond the first page too.
		const many = 300
		keys := make([]store.Key, many)
		for i := range keys {
			keys[i] = put(t, plain, record("ada"))
		}
		n, err := s.DeleteOwner(t.Context(), "ada")
		requireTooFew(err)
		requireUnknown(t, err)
		require.EqualValues(t, many, n)
		for _, key := range keys {
			requireGone(t, s, key)
		}
		_, err = s.DeleteOwner(t.Context(), "ada")
		requireTooFew(err)
	})
}

// A session whose owner's list could lose it at a failover is not given to him.
func TestTooFewReplicasForAHint(t *testing.T) {
	t.Parallel()
	ofEach(t, func(t *testing.T, c redis.UniversalClient) {
		p := redisstore.WithPrefix(prefix())
		plain, s := redisstore.New(c, p), redisstore.New(c, p, redisstore.WithWait(1, 20*time.Millisecond))
		visitor, r := newKey(), record("")
		require.NoError(t, s.Insert(t.Context(), visitor, r), "that of nobody is in no list")
		_, swapped := s.Swap(t.Context(), visitor, r.Version, record("ada"))
		key := newKey()
		owned := record("ada")
		mine := put(t, plain, owned)
		for _, err := range []error{
			swapped, s.Insert(t.Context(), key, record("ada")),
			s.Touch(t.Context(), mine, owned.Version, owned.Expires.Add(24*time.Hour)),
		} {
			_, ok := errors.AsType[*redisstore.ReplicasError](err)
			require.True(t, ok, "%v", err)
			require.ErrorIs(t, err, store.ErrRefused)
		}
		requireHolds(t, s, visitor, r)
		requireHolds(t, s, mine, owned)
		requireGone(t, s, key)
		next := record("ada")
		_, err := s.Swap(t.Context(), mine, owned.Version, next)
		require.NoError(t, err, "the list knows it")
	})
}

// What is deleted has got to the replica when the method returns, whichever
// connection has deleted it: a replica that says nothing is waited for.
func TestWaitsForTheReplica(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	p := prefix()
	s := redisstore.New(master, redisstore.WithPrefix(p), redisstore.WithWait(1, 2*time.Second))
	atReplica := redisstore.New(replica, redisstore.WithPrefix(p))
	for range 20 {
		key := put(t, s, record("ada"))
		poll(t, func() bool { _, err := atReplica.Load(t.Context(), key); return err == nil }, "it is replicated")
		require.NoError(t, s.Delete(t.Context(), key))
		requireGone(t, atReplica, key)
	}
	for _, n := range []int64{30, 0} {
		for range n {
			put(t, s, record("bob"))
		}
		got, err := s.DeleteOwner(t.Context(), "bob")
		require.NoError(t, err)
		require.Equal(t, n, got)
		require.Empty(t, listed(t, atReplica, "bob", 100))
	}

	// Where nothing is to be deleted, something is written that WAIT is about.
	sets := func() string {
		_, rest, _ := strings.Cut(master.Info(t.Context(), "commandstats").Val(), "cmdstat_set:calls=")
		calls, _, _ := strings.Cut(rest, ",")
		return calls
	}
	before := sets()
	require.NoError(t, redisstore.New(master, redisstore.WithPrefix(p)).Delete(t.Context(), newKey()))
	require.Equal(t, before, sets())
	require.NoError(t, s.Delete(t.Context(), newKey()))
	require.NotEqual(t, before, sets())
	before = sets()
	_, err := s.DeleteOwner(t.Context(), "bob")
	require.NoError(t, err)
	require.NotEqual(t, before, sets())

	// Others have deleted it, and the replica does not know yet.
	for name, again := range map[string]func(ctx context.Context, s *redisstore.Store, key store.Key) error{
		"Delete": func(ctx context.Context, s *redisstore.Store, key store.Key) error { return s.Delete(ctx, key) },
		"DeleteOwner": func(ctx context.Context, s *redisstore.Store, _ store.Key) error {
			_, err := s.DeleteOwner(ctx, "eve")
			return err
		},
	} {
		key := put(t, s, record("eve"))
		require.NoError(t, replica.Do(t.Context(), "replicaof", "127.0.0.1", "1").Err())
		hasty := redisstore.New(master, redisstore.WithPrefix(p))
		require.NoError(t, hasty.Delete(t.Context(), key))
		fresh := clientOf(t, &redis.Options{Addr: master.Options().Addr})
		patient := redisstore.New(fresh, redisstore.WithPrefix(p), redisstore.WithWait(1, 50*time.Millisecond))
		_, ok := errors.AsType[*redisstore.ReplicasError](again(t.Context(), patient, key))
		require.True(t, ok, "%s of what is gone", name)
		host, port, err := net.SplitHostPort(master.Options().Addr)
		require.NoError(t, err)
		require.NoError(t, replica.ReplicaOf(t.Context(), host, port).Err())
		poll(t, func() bool { return again(t.Context(), patient, key) == nil }, name)
		requireGone(t, atReplica, key)
	}
	names, err := master.Keys(t.Context(), p+"*").Result()
	require.NoError(t, err)
	for _, name := range names {
		require.Contains(t, name, "owner:", "nothing is left of what was written to wait")
	}
}

// Waiting works while the memory is full, and where WAIT is forbidden the deletion
// is done, and no refusal.
func TestWaitInTrouble(t *testing.T) {
	t.Parallel()
	master, _ := replicated(t)
	p := redisstore.WithPrefix(prefix())
	s := redisstore.New(master, p, redisstore.WithWait(1, time.Second))
	key := put(t, s, record("ada"))
	require.NoError(t, master.ConfigSet(t.Context(), "maxmemory", "1mb").Err())
	for range 2 {
		require.NoError(t, s.Delete(t.Context(), key))
		_, err := s.DeleteOwner(t.Context(), "ada")
		require.NoError(t, err)
	}
	require.NoError(t, master.ConfigSet(t.Context(), "maxmemory", "0").Err())
	key = put(t, s, record("ada"))
	require.NoError(t, master.Do(t.Context(), "acl", "setuser", "web", "on", ">x", "~*", "+@all", "-wait").Err())
	web := clientOf(t, &redis.Options{Addr: master.Options().Addr, Username: "web", Password: "x"})
	err := redisstore.New(web, p, redisstore.WithWait(1, time.Second)).Delete(t.Context(), key)
	requireUnknown(t, err)
	require.ErrorContains(t, err, "waiting for replicas: NOPERM")
	requireGone(t, s, key)
}

// moving moves the slot of a key of a cluster to another node, in two steps.
type moving struct {
	t        *testing.T
	cluster  *servers.Cluster
	from, to *redis.Client
	slot     int64
}

func newMoving(t *testing.T, cl *servers.Cluster, c *redis.ClusterClient, key string) *moving {
	t.Helper()
	m := &moving{t: t, cluster: cl}
	ctx := t.Context()
	var err error
	m.from, err = c.MasterForKey(ctx, key)
	require.NoError(t, err)
	m.slot, err = c.ClusterKeySlot(ctx, key).Result()
	require.NoError(t, err)
	for _, n := range cl.Nodes() {
		if n.Addr() != m.from.Options().Addr {
			m.to = clientOf(t, &redis.Options{Addr: n.Addr()})
		}
	}
	return m
}

// keys moves the keys of the slot: for the rest one has to ASK.
func (m *moving) keys() {
	m.t.Helper()
	ctx := m.t.Context()
	from, err := m.from.Do(ctx, "cluster", "myid").Text()
	require.NoError(m.t, err)
	to, err := m.to.Do(ctx, "cluster", "myid").Text()
	require.NoError(m.t, err)
	require.NoError(m.t, m.to.Do(ctx, "cluster", "setslot", m.slot, "importing", from).Err())
	require.NoError(m.t, m.from.Do(ctx, "cluster", "setslot", m.slot, "migrating", to).Err())
	host, port, err := net.SplitHostPort(m.to.Options().Addr)
	require.NoError(m.t, err)
	keys, err := m.from.Do(ctx, "cluster", "getkeysinslot", m.slot, 100).StringSlice()
	require.NoError(m.t, err)
	for _, key := range keys {
		require.NoError(m.t, m.from.Do(ctx, "migrate", host, port, key, 0, 5000).Err())
	}
}

// rest ends it: others are told that it has MOVED.
func (m *moving) rest() {
	m.t.Helper()
	to, err := m.to.Do(m.t.Context(), "cluster", "myid").Text()
	require.NoError(m.t, err)
	for _, n := range m.cluster.Nodes() {
		c := clientOf(m.t, &redis.Options{Addr: n.Addr()})
		require.NoError(m.t, c.Do(m.t.Context(), "cluster", "setslot", m.slot, "node", to).Err())
	}
}

// While a slot moves, and after that, each operation finds its record; waiting
// ones too.
func TestSlotMoves(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t)
	for step := range 2 {
		for _, waits := range []bool{false, true} {
			t.Run(strconv.Itoa(step)+" "+strconv.FormatBool(waits), func(t *testing.T) {
				c := clusterOf(t, cl.Addrs())
				p := "{" + prefix() + "}" // one slot
				var opts []redisstore.Option
				if waits {
					opts = []redisstore.Option{redisstore.WithWait(1, 10*time.Millisecond)}
				}
				plain, s := redisstore.New(c, redisstore.WithPrefix(p)), redisstore.New(c, append(opts, redisstore.WithPrefix(p))...)
				m := newMoving(t, cl, c, p)
				gone := func(err error) {
					t.Helper()
					if _, ok := errors.AsType[*redisstore.ReplicasError](err); ok && waits {
						return // there are none
					}
					require.NoError(t, err)
				}
				r := record("ada")
				key, other, third := put(t, plain, r), put(t, plain, record("ada")), put(t, plain, record("ada"))
				m.keys()
				if step == 1 {
					m.rest()
				}
				require.Len(t, listed(t, clusterStore(t, cl, p), "ada", 2), 3)
				fresh := record("bob")
				require.NoError(t, clusterStore(t, cl, p).Insert(t.Context(), newKey(), fresh))
				next := record("ada")
				_, err := clusterStore(t, cl, p).Swap(t.Context(), key, r.Version, next)
				require.NoError(t, err)
				next.Expires = next.Expires.Add(50 * time.Hour)
				require.NoError(t, clusterStore(t, cl, p).Touch(t.Context(), key, next.Version, next.Expires))
				requireHolds(t, clusterStore(t, cl, p), key, next)
				gone(s.Delete(t.Context(), other)) // with a client that has known the old place
				requireGone(t, s, other)
				n, err := s.DeleteOwner(t.Context(), "ada", third)
				gone(err)
				require.EqualValues(t, 1, n)
				require.Equal(t, []store.Key{third}, listed(t, s, "ada", 10))
				m.rest()
			})
		}
	}
}

// A node that joins has no slots of its own, so that nobody can wait there.
func TestSlotMovesToANodeThatJoins(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t)
	c, p, ctx := clusterOf(t, cl.Addrs()), "{"+prefix()+"}", t.Context()
	m := newMoving(t, cl, c, p)
	nodes, ids := make([]*redis.Client, 3), make([]string, 3)
	home, joins := 0, 0
	for i, n := range cl.Nodes() {
		nodes[i] = clientOf(t, &redis.Options{Addr: n.Addr()})
		var err error
		ids[i], err = nodes[i].Do(ctx, "cluster", "myid").Text()
		require.NoError(t, err)
		switch n.Addr() {
		case m.from.Options().Addr:
			home = i
		case m.to.Options().Addr:
			joins = i
		}
		require.NoError(t, nodes[i].ConfigSet(ctx, "cluster-allow-replica-migration", "no").Err())
	}
	poll(t, func() bool {
		left := 0
		for _, node := range nodes {
			shards, err := node.ClusterShards(ctx).Result()
			require.NoError(t, err)
			at := slices.IndexFunc(shards, func(s redis.ClusterShard) bool {
				return slices.ContainsFunc(s.Nodes, func(n redis.Node) bool { return n.ID == ids[joins] })
			})
			require.GreaterOrEqual(t, at, 0)
			for _, r := range shards[at].Slots {
				for slot := r.Start; slot <= r.End; slot++ {
					left++
					for _, i := range []int{home, joins, 3 - home - joins} {
						require.NoError(t, nodes[i].Do(ctx, "cluster", "setslot", slot, "node", ids[home]).Err())
					}
				}
			}
		}
		return left == 0
	}, "it has no slots")
	c.ReloadState(ctx)
	plain := redisstore.New(c, redisstore.WithPrefix(p))
	var key store.Key
	poll(t, func() bool { key = newKey(); return plain.Insert(ctx, key, record("")) == nil }, "the client knows")
	m.keys()
	_, err := plain.Load(ctx, key)
	require.NoError(t, err, "the driver follows")
	s := redisstore.New(c, redisstore.WithPrefix(p), redisstore.WithWait(1, 5*time.Millisecond))
	err = s.Delete(ctx, key)
	few, ok := errors.AsType[*redisstore.ReplicasError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, redisstore.ReplicasError{Asked: 1}, *few)
	requireGone(t, plain, key)
}

func clusterStore(t testing.TB, cl *servers.Cluster, prefix string) *redisstore.Store {
	t.Helper()
	return redisstore.New(clusterOf(t, cl.Addrs()), redisstore.WithPrefix(prefix))
}

// A replica takes over: what was waited for is still gone, and the store goes on.
func TestReplicaTakesOver(t *testing.T) {
	t.Parallel()
	cl := servers.StartRedisCluster(t, servers.WithReplicas(1))
	c := clusterOf(t, cl.Addrs())
	p := redisstore.WithPrefix(prefix())
	s := redisstore.New(c, p, redisstore.WithWait(1, 2*time.Second))
	ctx := t.Context()
	var keys, gone []store.Key
	for range 30 {
		keys = append(keys, put(t, s, record("ada")))
		gone = append(gone, put(t, s, record("ada")))
	}
	for _, key := range gone {
		require.NoError(t, s.Delete(ctx, key))
	}
	other := clientOf(t, &redis.Options{Addr: cl.Nodes()[1].Addr()})
	require.NoError(t, cl.Nodes()[0].Kill())
	poll(t, func() bool {
		state, err := other.ClusterInfo(ctx).Result()
		return err == nil && strings.Contains(state, "cluster_state:ok") && allLoad(ctx, s, keys)
	}, "a replica has taken over, and the client knows")
	for _, key := range gone {
		requireGone(t, s, key)
	}
	require.ElementsMatch(t, keys, listed(t, s, "ada", 7))
	plain := redisstore.New(c, p) // the new master has no replica
	r := record("bob")
	key := put(t, plain, r)
	_, err := plain.Swap(ctx, key, r.Version, record("bob"))
	require.NoError(t, err)
}

func allLoad(ctx context.Context, s *redisstore.Store, keys []store.Key) bool {
	for _, key := range keys {
		if _, err := s.Load(ctx, key); err != nil {
			return false
		}
	}
	return true
}
