package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/typedsession/session/internal/mongostandin/wire"
)

const patience = 20 * time.Second

// startServer returns the address of a server that answers each message with
// what answer returns; nil is no answer.
func startServer(t *testing.T, answer func(m wire.Message) wire.Message) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				for {
					m, err := wire.Read(conn)
					if err != nil {
						return
					}
					if reply := answer(m); reply != nil {
						if _, err := conn.Write(reply); err != nil {
							return
						}
					}
				}
			})
		}
	})
	return l.Addr().String()
}

// startProxy returns the address of a proxy before a server, which ends with the
// test or with the function that is returned.
func startProxy(t *testing.T, server string) (addr string, stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- newProxy(l, server).serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the proxy does not end")
		}
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	return conn
}

// numbered returns a command with a number and flags.
func numbered(t *testing.T, n int, flags uint32) wire.Message {
	t.Helper()
	document, err := bson.Marshal(bson.D{{Key: "n", Value: int32(n)}})
	require.NoError(t, err)
	m := make([]byte, 16+4+1, 16+4+1+len(document)) // header, flags, type of the section
	binary.LittleEndian.PutUint32(m, uint32(cap(m)))
	binary.LittleEndian.PutUint32(m[4:], uint32(n))
	binary.LittleEndian.PutUint32(m[12:], 2013)
	binary.LittleEndian.PutUint32(m[16:], flags)
	return append(m, document...)
}

func TestOneCommandAtATime(t *testing.T) {
	t.Parallel()
	var inside, most atomic.Int32
	server := startServer(t, func(m wire.Message) wire.Message {
		n := inside.Add(1)
		defer inside.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-time.After(time.Millisecond) // time for others to come in
		return m
	})
	addr, _ := startProxy(t, server)
	var wg sync.WaitGroup
	for c := range 8 {
		conn := dial(t, addr)
		wg.Go(func() {
			for i := range 20 {
				m := numbered(t, c<<8|i, 0)
				if _, err := conn.Write(m); err != nil {
					t.Error(err)
					return
				}
				reply, err := wire.Read(conn)
				if err != nil || string(reply) != string(m) {
					t.Errorf("the reply to another command, or the error %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, most.Load())
}

// A command without a reply does not keep others waiting.
func TestCommandWithoutReply(t *testing.T) {
	t.Parallel()
	seen := make(chan wire.Message, 1)
	addr, _ := startProxy(t, startServer(t, func(m wire.Message) wire.Message {
		if m.WantsReply() {
			return m
		}
		seen <- m
		return nil
	}))
	conn, other := dial(t, addr), dial(t, addr)
	silent := numbered(t, 1, 1<<1) // more to come
	_, err := conn.Write(silent)
	require.NoError(t, err)
	require.Equal(t, silent, <-seen)
	for _, c := range []net.Conn{conn, other} {
		_, err = c.Write(numbered(t, 2, 0))
		require.NoError(t, err)
		_, err = wire.Read(c)
		require.NoError(t, err)
	}
}

// A client that does not wait for its reply does not stop the others, and its
// command is done before theirs.
func TestClientThatLeaves(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan struct{}), make(chan struct{})
	var done atomic.Bool
	addr, _ := startProxy(t, startServer(t, func(m wire.Message) wire.Message {
		if binary.LittleEndian.Uint32(m[4:]) == 1 {
			close(arrived)
			<-proceed
			done.Store(true)
		} else if !done.Load() {
			t.Error("a command was passed on before the reply to the one before it")
		}
		return m
	}))
	conn, other := dial(t, addr), dial(t, addr)
	_, err := conn.Write(numbered(t, 1, 0))
	require.NoError(t, err)
	<-arrived
	require.NoError(t, conn.Close())
	_, err = other.Write(numbered(t, 2, 0))
	require.NoError(t, err)
	close(proceed)
	_, err = wire.Read(other)
	require.NoError(t, err)
}

func TestProxyEnds(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	arrived := make(chan struct{})
	server := startServer(t, func(wire.Message) wire.Message {
		close(arrived)
		<-hang
		return nil
	})
	t.Cleanup(func() { close(hang) }) // before the server ends
	addr, stop := startProxy(t, server)
	conn := dial(t, addr)
	_, err := conn.Write(numbered(t, 1, 0))
	require.NoError(t, err)
	<-arrived
	stop()
	_, err = wire.Read(conn)
	require.Error(t, err)
	require.NotErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = net.DialTimeout("tcp", addr, patience)
	require.Error(t, err)
}

func TestServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := l.Addr().String()
	require.NoError(t, l.Close())
	addr, _ := startProxy(t, nobody)
	_, err = wire.Read(dial(t, addr))
	require.Error(t, err, "the connection is closed")
}
