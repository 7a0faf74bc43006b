package integration_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// executeGate is in front of a PostgreSQL server, and holds up the messages that have
// a statement executed. What the statement sees has been decided by then.
type executeGate struct {
	net.Listener
	held atomic.Pointer[heldExecute] // nil: nothing is held up
}

type heldExecute struct{ arrived, release chan struct{} }

func newExecuteGate(t *testing.T, addr string) *executeGate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g := &executeGate{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				_ = client.Close()
				continue
			}
			t.Cleanup(func() { _ = client.Close(); _ = server.Close() })
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
			go func() { g.relay(server, bufio.NewReader(client)); _ = server.Close() }()
		}
	}()
	return g
}

// relay passes on one message after the other; the first has no type.
func (g *executeGate) relay(server io.Writer, client io.Reader) {
	for first := true; ; first = false {
		head := make([]byte, 5)
		if first {
			head = head[:4]
		}
		if _, err := io.ReadFull(client, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[len(head)-4:])-4)
		if _, err := io.ReadFull(client, body); err != nil {
			return
		}
		if held := g.held.Load(); held != nil && !first && head[0] == 'E' {
			g.held.Store(nil)
			close(held.arrived)
			<-held.release
		}
		if _, err := server.Write(append(head, body...)); err != nil {
			return
		}
	}
}

// PostgreSQL decides what a statement sees before it starts the clock that the
// statement reads. A record that is given a longer life in between has not expired.
func TestPostgreSQLReadsByTheClockOfWhatItSees(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	addr := postgres.shared(t).Addr()
	gate := newExecuteGate(t, addr)
	slow := sub.server.newStore(t, sub.server.open(t, strings.Replace(sub.dsn, addr, gate.Addr().String(), 1)), sub.table)
	const owner = "ada"
	for name, look := range map[string]func(s *sqlstore.Store, i int) error{
		"Load": func(s *sqlstore.Store, i int) error {
			_, err := s.Load(t.Context(), key(i))
			return err
		},
		"ListOwner": func(s *sqlstore.Store, i int) error {
			list, err := s.ListOwner(t.Context(), owner, key(i-1), 1)
			if err == nil && (len(list) != 1 || list[0].Key != key(i)) {
				err = store.ErrNotFound
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			for i := 1; i < 3; i++ { // the first prepares the statement
				r := record(1, 2*time.Second)
				r.Owner = owner
				require.NoError(t, sub.Delete(t.Context(), key(i)))
				require.NoError(t, sub.Insert(t.Context(), key(i), r))
				if i == 1 {
					require.NoError(t, sub.Touch(t.Context(), key(i), r.Version, time.Now().Add(time.Hour)))
					require.NoError(t, look(slow, i))
					continue
				}
				held := &heldExecute{make(chan struct{}), make(chan struct{})}
				gate.held.Store(held)
				looked := make(chan error, 1)
				go func() { looked <- look(slow, i) }()
				<-held.arrived
				require.NoError(t, sub.Touch(t.Context(), key(i), r.Version, time.Now().Add(time.Hour)))
				eventually(t, func() bool {
					return sub.number(t, sub.server.clock) > r.Expires.UnixMilli()
				})
				close(held.release)
				require.NoError(t, <-looked)
				require.NoError(t, look(sub.Store, i))
			}
		})
	}
}
