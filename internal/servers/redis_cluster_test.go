package servers

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSharedRedisCluster(t *testing.T) {
	c := RedisCluster(t)
	require.Same(t, c, RedisCluster(t), "it is started once")
	require.True(t, c.Own())
	require.Len(t, c.Addrs(), 3)
	require.NoError(t, c.Await())
	seen := map[int]bool{}
	for i, key := range []string{"ready:a", "ready:d", "ready:b"} { // what Await writes
		s := c.Nodes()[i]
		require.ErrorIs(t, s.Kill(), errNotOurs)
		answer, err := s.ask(short(t), "CLUSTER", "KEYSLOT", key)
		require.NoError(t, err)
		slot, err := strconv.Atoi(answer)
		require.NoError(t, err)
		seen[slot*clusterMasters/clusterSlots] = true
		node := s.engine.(*clusterNode)
		require.Less(t, node.bus, endPort, "it is not the port and 10,000")
		slots, err := s.ask(short(t), "CLUSTER", "NODES")
		require.NoError(t, err)
		require.Contains(t, slots, s.Addr()+"@"+strconv.Itoa(node.bus))
	}
	require.Len(t, seen, clusterMasters, "each key is on another node")
}

func TestRedisClusterOfTheEnvironment(t *testing.T) {
	t.Setenv(clusterVariable, "a:1,b:2")
	c := RedisCluster(t)
	require.Equal(t, []string{"a:1", "b:2"}, c.Addrs())
	require.False(t, c.Own())
	require.Empty(t, c.Nodes())
}

func TestRedisClusterIsMissing(t *testing.T) {
	t.Setenv(installVariable, "")
	v := judge(t, func(t testing.TB) {
		_, err := empty().startCluster(false, clusterConfig{})
		demand(t, err)
	})
	require.Empty(t, v.failed)
	require.Contains(t, v.skipped, "Redis is not installed")
	if supported {
		require.Contains(t, v.skipped, clusterVariable)
	}
}

func TestRedisClusterNodesComeBack(t *testing.T) {
	long(t)
	var c *Cluster
	t.Run("inner", func(t *testing.T) {
		c = StartRedisCluster(t)
		s := c.Nodes()[1]
		addr, bus := s.Addr(), s.engine.(*clusterNode).bus
		for _, end := range []func() error{s.Kill, s.Stop} {
			require.NoError(t, end())
			require.Error(t, c.Nodes()[0].inCluster(short(t), 4))
			require.NoError(t, s.Start())
			require.NoError(t, c.Await())
			require.Equal(t, addr, s.Addr())
			require.Equal(t, bus, s.engine.(*clusterNode).bus)
		}
	})
	if c == nil {
		t.Skip("no server")
	}
	for _, s := range c.Nodes() {
		require.NoDirExists(t, s.dir)
		require.Empty(t, processes(t, s.dir))
	}
}

func TestRedisClusterReplicaTakesOver(t *testing.T) {
	long(t)
	c := StartRedisCluster(t, WithReplicas(1))
	require.Len(t, c.Addrs(), 6)
	role := func(s *Server) string {
		info, err := s.ask(short(t), "INFO", "replication")
		if err != nil {
			return err.Error()
		}
		_, rest, _ := strings.Cut(info, "role:")
		role, _, _ := strings.Cut(rest, "\r\n")
		return role
	}
	master, replica := c.Nodes()[0], c.Nodes()[3]
	require.Equal(t, "master", role(master))
	require.Equal(t, "slave", role(replica))
	require.NoError(t, master.Kill())
	require.Eventually(t, func() bool { return role(replica) == "master" }, 30*time.Second, 50*time.Millisecond)
	require.NoError(t, master.Start())
	require.NoError(t, c.Await())
	require.Equal(t, "slave", role(master))
}
