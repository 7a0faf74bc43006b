package integration_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// wire is a proxy between a store and its server. It counts round trips, of which
// one begins where the client speaks after the server has, and knows no protocol.
type wire struct {
	net.Listener
	to    string
	trips atomic.Int64
	// lose says whether the answer of a round trip gets lost, and the connection
	// with it. It is called from several goroutines; nil loses nothing.
	lose atomic.Pointer[func() bool]
	// disturb says what happens to a question, or to an answer, that begins; nil is
	// nothing. It is called like lose.
	disturb atomic.Pointer[func(answer bool) *disturbance]

	pumps sync.WaitGroup
	done  chan struct{} // closed with the wire
	mu    sync.Mutex
	ends  []net.Conn // nil once the wire is closed
}

// disturbance is what happens to what one side says: a part of it passes, then
// there is a stall, and then either the rest passes or the connection ends.
type disturbance struct {
	part   float64 // of the first packet, below 1
	stall  time.Duration
	breaks bool
	reset  bool // it ends by RST, not by FIN
}

// newWire returns a wire to an address, until the test ends.
func newWire(t testing.TB, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &wire{Listener: l, to: to, done: make(chan struct{}), ends: []net.Conn{}}
	w.pumps.Go(w.accept)
	t.Cleanup(w.cut)
	return w
}

// took returns how many round trips began since it was asked last.
func (w *wire) took() int { return int(w.trips.Swap(0)) }

func (w *wire) accept() {
	for {
		client, err := w.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.to)
		if err != nil {
			_ = client.Close()
			continue
		}
		if !w.hold(client, server) {
			return
		}
		var asked atomic.Bool // the client has spoken last
		w.pumps.Go(func() {
			pump(client, server, func(b []byte) bool {
				begins := !asked.Swap(true)
				if begins {
					w.trips.Add(1)
				}
				return w.pass(client, server, b, begins, false)
			})
		})
		w.pumps.Go(func() {
			pump(server, client, func(b []byte) bool {
				begins := asked.Swap(false)
				if lose := w.lose.Load(); begins && lose != nil && (*lose)() {
					return false
				}
				return w.pass(server, client, b, begins, true)
			})
		})
	}
}

// pass passes on what one side says, with what happens to it. It returns false
// when the connection has to end.
func (w *wire) pass(from, to net.Conn, b []byte, begins, answer bool) bool {
	var d *disturbance
	if disturb := w.disturb.Load(); begins && disturb != nil {
		d = (*disturb)(answer)
	}
	if d == nil {
		_, err := to.Write(b)
		return err == nil
	}
	part := int(d.part * float64(len(b)))
	_, err := to.Write(b[:part])
	timer := time.NewTimer(d.stall)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.done:
		return false
	}
	switch {
	case err != nil:
		return false
	case d.breaks && d.reset:
		for _, c := range []net.Conn{from, to} {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		}
		return false
	case d.breaks:
		return false
	}
	_, err = to.Write(b[part:])
	return err == nil
}

// hold keeps connections until the wire is cut.
func (w *wire) hold(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends == nil {
		for _, c := range ends {
			_ = c.Close()
		}
		return false
	}
	w.ends = append(w.ends, ends...)
	return true
}

// cut ends the wire and all that goes through it.
func (w *wire) cut() {
	_ = w.Close()
	w.mu.Lock()
	ends := w.ends
	if ends != nil {
		close(w.done)
	}
	w.ends = nil
	w.mu.Unlock()
	for _, c := range ends {
		_ = c.Close()
	}
	w.pumps.Wait()
}

// pump gives pass what one side says. It ends with the connection, and when pass
// returns false.
func pump(from, to net.Conn, pass func(b []byte) bool) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !pass(buf[:n]) {
			_ = from.Close()
			return
		}
		if err != nil {
			return
		}
	}
}

// A question and its answer are one round trip, however many packets they take.
func TestWireCountsRoundTrips(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := newWire(t, l.Addr().String())
	client, err := net.Dial("tcp", w.Addr().String())
	require.NoError(t, err)
	server, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, l.Close())
	defer func() { require.NoError(t, client.Close()); require.NoError(t, server.Close()) }()
	tell := func(from, to net.Conn, text string) {
		_, err := io.WriteString(from, text)
		require.NoError(t, err)
		got := make([]byte, len(text))
		_, err = io.ReadFull(to, got)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	}
	tell(server, client, "greeting")
	require.Zero(t, w.took())
	tell(client, server, "question")
	tell(client, server, "more of it")
	tell(server, client, "answer")
	tell(server, client, "more of it")
	require.Equal(t, 1, w.took())
	for range 3 {
		tell(client, server, "question")
		tell(server, client, "answer")
	}
	require.Equal(t, 3, w.took())
	require.Zero(t, w.took())
}
