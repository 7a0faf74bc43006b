package integration_test

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store/redisstore"
)

// redisPair is a rig on a master, and its replica.
type redisPair struct {
	*redisRig
	replica *redisRig
}

func newRedisPair(t *testing.T) *redisPair {
	t.Helper()
	p := &redisPair{newRedisRig(t), newRedisRig(t)}
	p.set("repl-diskless-sync-delay", "0")
	host, port, err := net.SplitHostPort(p.Addr())
	require.NoError(t, err)
	require.NoError(t, p.replica.admin.ReplicaOf(t.Context(), host, port).Err())
	eventually(t, func() bool {
		return strings.Contains(p.replica.admin.Info(t.Context(), "replication").Val(), "master_link_status:up")
	})
	return p
}

// part ends the replication, and nobody notices.
func (p *redisPair) part() {
	p.t.Helper()
	require.NoError(p.t, p.replica.admin.ReplicaOf(p.t.Context(), "127.0.0.1", "1").Err())
}

// promote makes the replica the master, as Sentinel does, and returns nodes that
// know.
func (p *redisPair) promote(opts ...redisstore.Option) []*node {
	p.t.Helper()
	require.NoError(p.t, p.Kill())
	require.NoError(p.t, p.replica.admin.ReplicaOf(p.t.Context(), "NO", "ONE").Err())
	return p.replica.more(opts...)
}

// arrived waits until the replica shows what a visitor has stored last.
func (p *redisPair) arrived(b *browser, want string) {
	p.t.Helper()
	eventually(p.t, func() bool {
		a := b.try(p.replica.nodes[0], both(readOwner, readNote))
		return a.status == http.StatusOK && a.text == want
	})
}

func redisPromoted(t *testing.T) {
	p := newRedisPair(t)
	ada, bob := p.known("ada"), p.known("bob")
	thief := newBrowser(t)
	thief.present(p.nodes[0], ada.credential(p.nodes[0]))
	bob.must(p.nodes[0], countUp)
	p.arrived(bob, "bobof bob")
	p.part()
	bob.must(p.nodes[0], countUp)
	bob.must(p.nodes[1], both(countUp, writeNote("changed")))
	ada.must(p.nodes[0], logOut)
	eve := p.known("eve")

	nodes := p.promote()
	requireVisitor(t, nodes, thief, "adaof ada")
	requireVisitor(t, nodes, bob, "bobof bob")
	requireVisitor(t, nodes, eve, "")
	for i := range 6 { // one session, not two
		require.Equal(t, strconv.Itoa(2+i), bob.must(nodes[i%2], countUp))
	}
	require.NoError(t, nodes[0].manager.RevokeOwner(t.Context(), "ada"), "what has come back can be found")
	requireVisitor(t, nodes, thief, "")
}

func redisPromotedWaiting(t *testing.T) {
	p := newRedisPair(t)
	wait := redisstore.WithWait(1, 200*time.Millisecond)
	nodes := p.more(wait)
	ada, bob, eve := p.known("ada"), p.known("bob"), p.known("eve")
	eveID, thieves := eve.must(nodes[0], readID), map[*browser]*browser{}
	for _, b := range []*browser{ada, bob, eve} {
		thieves[b] = newBrowser(t)
		thieves[b].present(nodes[0], b.credential(nodes[0]))
	}
	p.arrived(eve, "eveof eve")
	ada.must(nodes[0], logOut)
	require.NoError(t, nodes[0].manager.RevokeOwner(t.Context(), "bob"))
	p.part()
	a := eve.try(nodes[1], logOut)
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.text)
	require.Contains(t, a.text, "it is done, and 0 of 1 replicas have that")
	requireVisitor(t, nodes, thieves[eve], "")
	// She has no session to end any more. Who knows its ID can see to it again.
	eve.must(nodes[0], logOut)
	require.ErrorContains(t, nodes[0].manager.Revoke(t.Context(), eveID), "0 of 1 replicas")
	require.ErrorContains(t, nodes[0].manager.RevokeOwner(t.Context(), "eve"), "0 of 1 replicas")

	nodes = p.promote(wait)
	requireVisitor(t, nodes, thieves[ada], "")
	requireVisitor(t, nodes, thieves[bob], "")
	requireVisitor(t, nodes, thieves[eve], "eveof eve")
}

func redisReplica(t *testing.T) {
	p := newRedisPair(t)
	ada := p.known("ada")
	p.arrived(ada, "adaof ada")
	for _, page := range []page{countUp, logOut, logIn("eve")} {
		a := ada.try(p.replica.nodes[0], page)
		requireUnavailable(t, a)
	}
	requireUnavailable(t, newBrowser(t).try(p.replica.nodes[0], countUp))
	requireVisitor(t, p.nodes, ada, "adaof ada")
	p.part()
	ada.must(p.nodes[0], both(writeNote("new"), countUp))
	requireVisitor(t, p.replica.nodes, ada, "adaof ada")
}

func redisLonely(t *testing.T) {
	r := newRedisRig(t)
	ada := r.known("ada")
	r.set("min-replicas-to-write", "1")
	for _, page := range []page{countUp, logOut, logIn("eve")} {
		requireUnavailable(t, ada.try(r.nodes[0], page))
	}
	requireVisitor(t, r.nodes, ada, "adaof ada")
	r.set("min-replicas-to-write", "0")
	ada.must(r.nodes[0], logOut)
}

func redisReadOnly(t *testing.T) {
	addrs := servers.RedisCluster(t).Addrs()
	for _, o := range []redis.ClusterOptions{{ReadOnly: true}, {RouteByLatency: true}, {RouteRandomly: true}} {
		o.Addrs = addrs
		c := redis.NewClusterClient(&o)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		requireUseless(t, c)
	}
	ring := redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"one": addrs[0]}})
	t.Cleanup(func() { require.NoError(t, ring.Close()) })
	requireUseless(t, ring)
}

// requireUseless says that nobody is served, not even readers.
func requireUseless(t *testing.T, c redis.UniversalClient) {
	t.Helper()
	n := newNode(t, redisstore.New(c))
	b := newBrowser(t)
	requireUnavailable(t, b.try(n, countUp))
	b.present(n, "AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA")
	a := b.try(n, readCount)
	requireUnavailable(t, a)
	require.Contains(t, a.text, "the configuration is of no use")
}

// failoverVisitor counts while a master is killed.
type failoverVisitor struct {
	b                    *browser
	orphan               bool // the master of his session is killed
	acknowledged, unsure int
	refused              int
	streak               atomic.Int64
}

func redisFailover(t *testing.T) {
	cl := servers.StartRedisCluster(t, servers.WithReplicas(1))
	setUp := newVisitor(t)
	require.NoError(t, serveFromRedisCluster(t.Context(), cl.Addrs(), setUp.visits(1, 2)))
	require.NoError(t, serveFromRedisCluster(t.Context(), cl.Addrs(), setUp.visits(3)), "started again")

	c := newRedisCluster(t, cl.Addrs())
	var nodes []*node
	for range 2 {
		nodes = append(nodes, newNode(t, redisstore.New(newRedisCluster(t, cl.Addrs()), redisstore.WithWait(1, 2*time.Second))))
	}
	victim := cl.Nodes()[0]
	var visitors []*failoverVisitor
	orphans := 0
	for len(visitors) < 12 || orphans == 0 || orphans == len(visitors) {
		v := &failoverVisitor{b: newBrowser(t), acknowledged: 1}
		v.b.must(nodes[0], both(logIn("ada"), countUp))
		master, err := c.MasterForKey(t.Context(), redisstore.DefaultPrefix+v.b.must(nodes[0], readID))
		require.NoError(t, err)
		if v.orphan = master.Options().Addr == victim.Addr(); v.orphan {
			orphans++
		}
		visitors = append(visitors, v)
	}
	var ended []*browser
	for range 12 {
		b, thief := newBrowser(t), newBrowser(t)
		b.must(nodes[0], both(logIn("bob"), writeNote("private")))
		thief.present(nodes[0], b.credential(nodes[0]))
		b.must(nodes[1], logOut)
		ended = append(ended, thief)
	}

	stop := failoverLoad(t, nodes, visitors)
	defer stop()
	await := func(pages int64) {
		t.Helper()
		for _, v := range visitors {
			v.streak.Store(0)
		}
		eventually(t, func() bool {
			for _, v := range visitors {
				if v.streak.Load() < pages {
					return false
				}
			}
			return true
		})
	}
	await(10)
	killed := time.Now()
	require.NoError(t, victim.Kill())
	eventually(t, func() bool { // somebody notices
		for _, v := range visitors {
			if v.streak.Load() == 0 {
				return true
			}
		}
		return false
	})
	await(10)
	t.Logf("full service %v after the master was killed", time.Since(killed))
	stop()

	for i, v := range visitors {
		n, err := strconv.Atoi(v.b.must(nodes[0], readCount))
		require.NoError(t, err)
		t.Logf("orphan %t: %d acknowledged, %d not, of these %d unknown, %d stored", v.orphan, v.acknowledged, v.refused, v.unsure, n)
		require.LessOrEqual(t, n, v.acknowledged+v.unsure)
		if !v.orphan {
			require.GreaterOrEqual(t, n, v.acknowledged)
		}
		for j := range 4 { // one session, not two
			require.Equal(t, strconv.Itoa(n+j+1), v.b.must(nodes[(i+j)%2], countUp))
		}
	}
	for _, thief := range ended {
		requireVisitor(t, nodes, thief, "")
	}
}

// failoverLoad lets each visitor count, on all nodes in turn, until stop is called.
func failoverLoad(t *testing.T, nodes []*node, visitors []*failoverVisitor) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	for _, v := range visitors {
		wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				a, err := v.b.do(nodes[i%len(nodes)], countUp)
				unsure := errors.Is(a.failed, session.ErrUnknown) && a.status == http.StatusInternalServerError
				switch {
				case err != nil:
					t.Error(err)
					return
				case a.status == http.StatusOK:
					v.acknowledged++
					v.streak.Add(1)
				case a.status != http.StatusServiceUnavailable && !unsure || len(a.header.Values("Set-Cookie")) > 0:
					t.Errorf("%d %s: %v", a.status, a.text, a.failed)
					return
				default:
					if v.refused++; unsure {
						v.unsure++
					}
					v.streak.Store(0)
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}
