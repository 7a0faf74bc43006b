package integration_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// doneLines are proxies between a program and servers, which can be cut: by a reset, or
// without a word.
type doneLines struct {
	t     testing.TB
	pumps sync.WaitGroup

	mu     sync.Mutex
	to     map[string]net.Listener // by the address of the server
	pairs  []*donePair
	silent bool // so is what connects now
	closed bool
}

// donePair is a connection through a proxy.
type donePair struct {
	client, server net.Conn
	mu             sync.Mutex
	silent         bool          // it stays so: who dropped its packets has forgotten it
	end            chan struct{} // closed with the pair
	ends           func()
}

// newDoneLines returns lines that end with the test.
func newDoneLines(t testing.TB) *doneLines {
	t.Helper()
	l := &doneLines{t: t, to: map[string]net.Listener{}}
	t.Cleanup(func() {
		l.mu.Lock()
		l.closed = true
		for _, listener := range l.to {
			_ = listener.Close()
		}
		l.mu.Unlock()
		l.reset()
		l.pumps.Wait()
	})
	return l
}

// dial connects to a server through its proxy.
func (l *doneLines) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	listener, err := l.listener(addr)
	if err != nil {
		return nil, err
	}
	return new(net.Dialer).DialContext(ctx, network, listener.Addr().String())
}

func (l *doneLines) listener(addr string) (net.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	if listener := l.to[addr]; listener != nil {
		return listener, nil
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.to[addr] = listener
	l.pumps.Go(func() { l.accept(listener, addr) })
	return listener, nil
}

func (l *doneLines) accept(listener net.Listener, addr string) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", addr)
		if err != nil {
			_ = client.Close()
			continue
		}
		p := &donePair{client: client, server: server, end: make(chan struct{})}
		p.ends = sync.OnceFunc(func() { close(p.end) })
		l.mu.Lock()
		p.silent = l.silent
		l.pairs = append(l.pairs, p)
		closed := l.closed
		l.mu.Unlock()
		if closed {
			p.reset()
		}
		l.pumps.Go(func() { pump(client, server, func(b []byte) bool { return p.pass(server, b) }) })
		l.pumps.Go(func() { pump(server, client, func(b []byte) bool { return p.pass(client, b) }) })
	}
}

// pass passes on what one side says, or swallows it.
func (p *donePair) pass(to net.Conn, b []byte) bool {
	p.mu.Lock()
	silent := p.silent
	p.mu.Unlock()
	if silent {
		<-p.end
		return false
	}
	_, err := to.Write(b)
	return err == nil
}

// reset ends a connection by RST.
func (p *donePair) reset() {
	p.ends()
	for _, c := range []net.Conn{p.client, p.server} {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// reset ends all connections by RST. New ones work.
func (l *doneLines) reset() {
	l.mu.Lock()
	pairs := l.pairs
	l.pairs = nil
	l.mu.Unlock()
	for _, p := range pairs {
		p.reset()
	}
}

// hole lets nothing pass any more, and no connection break; or lets new connections
// work again.
func (l *doneLines) hole(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = on
	for _, p := range l.pairs {
		p.mu.Lock()
		p.silent = p.silent || on
		p.mu.Unlock()
	}
}

// What goes through a line arrives, until it is cut.
func TestDoneLines(t *testing.T) {
	t.Parallel()
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := echo.Accept()
			if err != nil {
				return
			}
			served.Go(func() { pump(c, c, func(b []byte) bool { _, err := c.Write(b); return err == nil }) })
		}
	})
	t.Cleanup(served.Wait)
	t.Cleanup(func() { require.NoError(t, echo.Close()) })
	l := newDoneLines(t)
	connect := func() net.Conn {
		c, err := l.dial(t.Context(), "tcp", echo.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	say := func(c net.Conn) chan error {
		said := make(chan error, 1)
		go func() {
			_, err := c.Write([]byte("x"))
			if err == nil {
				_, err = c.Read(make([]byte, 1))
			}
			said <- err
		}()
		return said
	}
	first := connect()
	require.NoError(t, <-say(first))
	l.hole(true)
	second := connect()
	eventually(t, func() bool { // a connection is silent from when it is accepted
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.pairs) == 2
	})
	silent, alsoSilent := say(first), say(second)
	l.hole(false)
	require.NoError(t, <-say(connect()))
	require.Empty(t, silent)
	require.Empty(t, alsoSilent)
	l.reset()
	require.Error(t, <-silent)
	require.Error(t, <-alsoSilent)
}
