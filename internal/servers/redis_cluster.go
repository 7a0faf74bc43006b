package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// clusterVariable of the environment names a cluster to use.
const clusterVariable = "SESSION_TEST_REDIS_CLUSTER_ADDRS"

const (
	clusterMasters = 3 // fewer elect no master
	clusterSlots   = 16384
)

// Cluster is a Redis Cluster of three masters. It is safe for concurrent use.
type Cluster struct {
	given []string // from the environment; nil if the cluster was started here
	nodes []*Server
}

// ClusterOption changes how a cluster is started.
type ClusterOption func(*clusterConfig)

type clusterConfig struct{ replicas int }

// WithReplicas gives each master n replicas, one of which takes over when the
// master has been away for two seconds. The default is none.
func WithReplicas(n int) ClusterOption { return func(c *clusterConfig) { c.replicas = n } }

// sharedCluster is started by the first test that asks for it.
var sharedCluster struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// RedisCluster is like Redis for a cluster and SESSION_TEST_REDIS_CLUSTER_ADDRS,
// which are addresses with commas between them. It keeps nothing.
func RedisCluster(t testing.TB) *Cluster {
	t.Helper()
	if addrs := os.Getenv(clusterVariable); addrs != "" {
		return &Cluster{given: strings.Split(addrs, ",")}
	}
	one := &sharedCluster
	one.once.Do(func() { one.cluster, one.err = here.startCluster(false, clusterConfig{}) })
	demand(t, one.err)
	return one.cluster
}

// StartRedisCluster starts a cluster for this test only, which may stop its nodes.
// The cluster ends with the test.
func StartRedisCluster(t testing.TB, opts ...ClusterOption) *Cluster {
	t.Helper()
	var config clusterConfig
	for _, opt := range opts {
		opt(&config)
	}
	c, err := here.startCluster(true, config)
	demand(t, err)
	for _, s := range c.nodes {
		s.closeAfter(t)
	}
	return c
}

// Addrs returns the addresses of all nodes, as redis.NewUniversalClient takes
// them: those of the masters first.
func (c *Cluster) Addrs() []string {
	if c.given != nil {
		return c.given
	}
	addrs := make([]string, len(c.nodes))
	for i, s := range c.nodes {
		addrs[i] = s.Addr()
	}
	return addrs
}

// Own says whether the cluster was started here: it is not one from the
// environment.
func (c *Cluster) Own() bool { return c.given == nil }

// Nodes returns the servers of a cluster that was started here, in the order of
// Addrs, and nothing for one from the environment. What they are called by says
// nothing about who is the master after one was killed.
func (c *Cluster) Nodes() []*Server { return c.nodes }

// Await waits until each node serves, agrees that the cluster is whole, and has
// what its master has; for a minute at most. It is for after a Start of a node.
func (c *Cluster) Await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	return untilOK(ctx, func(ctx context.Context) error {
		for _, s := range c.nodes {
			if err := s.inCluster(ctx, len(c.nodes)); err != nil {
				return fmt.Errorf("servers: Redis on port %d: %w", s.port, err)
			}
		}
		return c.writable(ctx)
	})
}

// clusterNode is the engine of one node.
type clusterNode struct {
	redis

	timeout time.Duration // until a node that is away is said to have failed
	port    int           // for which bus was chosen
	bus     int           // port for the other nodes
}

func (e *clusterNode) command(s *Server) []string {
	if e.port != s.port { // its own is fixed, or would be the port and 10,000: others use those
		bus, err := freePort(context.Background())
		if err != nil {
			bus = s.port + 10_000
		}
		e.port, e.bus = s.port, bus
	}
	return append(e.redis.command(s),
		"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", strconv.Itoa(e.bus),
		"--cluster-node-timeout", strconv.FormatInt(e.timeout.Milliseconds(), 10), "--repl-diskless-sync-delay", "0")
}

// startCluster starts the nodes and makes a cluster of them. redis-cli does the
// same, and may not be there.
func (h *host) startCluster(private bool, config clusterConfig) (*Cluster, error) {
	p := redisProduct()
	p.variable = ""
	if !private {
		p.variable = clusterVariable
	}
	timeout := 15 * time.Second // a busy machine is no failure
	if config.replicas > 0 {
		timeout = 2 * time.Second
	}
	locate := p.locate
	p.locate = func(where places) (engine, bool) {
		found, ok := locate(where)
		program, _ := found.(redis)
		return &clusterNode{redis: program, timeout: timeout}, ok
	}
	c := &Cluster{}
	if err := c.start(h, p, private, config); err != nil {
		errs := []error{err}
		for _, s := range c.nodes {
			errs = append(errs, s.close())
		}
		return nil, errors.Join(errs...)
	}
	return c, nil
}

func (c *Cluster) start(h *host, p product, private bool, config clusterConfig) error {
	for range clusterMasters * (1 + config.replicas) {
		s, err := h.start(&Server{kind: KindRedis, private: private}, p)
		if err != nil {
			return err
		}
		c.nodes = append(c.nodes, s)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := c.form(ctx); err != nil {
		return fmt.Errorf("servers: forming a cluster of Redis: %w", err)
	}
	return c.Await()
}

// form gives the slots to the masters, lets the nodes meet, and tells replicas
// whose they are.
func (c *Cluster) form(ctx context.Context) error {
	for i, s := range c.nodes[:clusterMasters] {
		first, last := i*clusterSlots/clusterMasters, (i+1)*clusterSlots/clusterMasters-1
		err := cmp.Or(
			s.tell(ctx, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(last)),
			s.tell(ctx, "CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1)),
		)
		if err != nil {
			return err
		}
	}
	for _, s := range c.nodes[1:] {
		node, ok := s.engine.(*clusterNode)
		if !ok {
			return fmt.Errorf("a node is run by %T", s.engine)
		}
		if err := c.nodes[0].tell(ctx, "CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(s.port), strconv.Itoa(node.bus)); err != nil {
			return err
		}
	}
	for i, s := range c.nodes[clusterMasters:] {
		id, err := c.nodes[i%clusterMasters].ask(ctx, "CLUSTER", "MYID")
		if err != nil {
			return err
		}
		// It has to hear of its master first.
		err = untilOK(ctx, func(ctx context.Context) error { return s.tell(ctx, "CLUSTER", "REPLICATE", id) })
		if err != nil {
			return err
		}
	}
	return nil
}

// inCluster says whether a node sees n nodes and all slots, and follows its master.
func (s *Server) inCluster(ctx context.Context, n int) error {
	info, err := s.ask(ctx, "CLUSTER", "INFO")
	if err != nil {
		return err
	}
	for _, want := range []string{
		"cluster_state:ok", "cluster_slots_ok:" + strconv.Itoa(clusterSlots), "cluster_known_nodes:" + strconv.Itoa(n),
	} {
		if !strings.Contains(info, want+"\r\n") {
			return fmt.Errorf("not %s", want)
		}
	}
	if info, err = s.ask(ctx, "INFO", "replication"); err != nil {
		return err
	}
	if strings.Contains(info, "role:slave") && !strings.Contains(info, "master_link_status:up") {
		return errors.New("it has no link to its master")
	}
	return nil
}

// writable checks that there is a master for each third of the slots that takes writes.
func (c *Cluster) writable(ctx context.Context) error {
	for _, key := range []string{"ready:a", "ready:d", "ready:b"} { // slots 2165, 6352 and 14358
		var refused error
		for _, s := range c.nodes {
			if refused = s.tell(ctx, "SET", key, "1", "PX", "1"); refused == nil {
				break
			}
		}
		if refused != nil {
			return fmt.Errorf("servers: writing to a cluster of Redis: %w", refused)
		}
	}
	return nil
}

// untilOK calls do until it returns nil, and returns its error when ctx ends.
func untilOK(ctx context.Context, do func(context.Context) error) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := do(attempt)
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}
