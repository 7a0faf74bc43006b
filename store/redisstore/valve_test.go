package redisstore_test

import (
	"context"
	"io"
	"maps"
	"net"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
)

// valve is between a client and a server. While it is shut nothing passes, and
// connections stay open.
type valve struct {
	addr  string
	mu    sync.Mutex
	open  *sync.Cond
	shut  bool
	ended bool
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

func newValve(t testing.TB, server string) *valve {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	v := &valve{addr: l.Addr().String(), conns: map[net.Conn]bool{}}
	v.open = sync.NewCond(&v.mu)
	v.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			v.mu.Lock()
			v.conns[client], v.conns[there] = true, true
			v.mu.Unlock()
			v.wg.Go(func() { v.pass(there, client) })
			v.wg.Go(func() { v.pass(client, there) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		v.mu.Lock()
		v.ended = true
		for c := range maps.Keys(v.conns) {
			_ = c.Close()
		}
		v.mu.Unlock()
		v.open.Broadcast()
		v.wg.Wait()
	})
	return v
}

func (v *valve) pass(to io.WriteCloser, from io.ReadCloser) {
	defer func() { _, _ = to.Close(), from.Close() }()
	buf := make([]byte, 1<<16)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		v.mu.Lock()
		for v.shut && !v.ended {
			v.open.Wait()
		}
		v.mu.Unlock()
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (v *valve) set(shut bool) {
	v.mu.Lock()
	v.shut = shut
	v.mu.Unlock()
	v.open.Broadcast()
}

// through returns a dialer that goes elsewhere for some addresses.
func through(elsewhere map[string]string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if other, ok := elsewhere[addr]; ok {
			addr = other
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

// tappedCluster returns a client of the shared cluster that has a tap in front of
// each node.
func tappedCluster(t testing.TB, o redis.ClusterOptions) (*redis.ClusterClient, []*tap) {
	t.Helper()
	o.Addrs = servers.RedisCluster(t).Addrs()
	elsewhere, taps := map[string]string{}, []*tap(nil)
	for _, addr := range o.Addrs {
		tp := newTap(t, addr)
		elsewhere[addr], taps = tp.addr, append(taps, tp)
	}
	o.Dialer = through(elsewhere)
	c := redis.NewClusterClient(&o)
	t.Cleanup(func() { _ = c.Close() })
	return c, taps
}
