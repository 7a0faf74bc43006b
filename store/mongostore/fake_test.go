package mongostore_test

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// fake is a server that says it is the primary of a replica set, and answers each
// command as a test likes. The driver does to it what it does not do to the
// stand-in: it repeats writes.
type fake struct {
	addr string

	mu     sync.Mutex
	answer func(name string, n int) bson.D // nil ends the connection
	seen   []string                        // names of the commands

	secondary bool // it is no primary any more
}

// ok is the answer that says that all went well and one document was concerned.
func ok(more ...bson.E) bson.D {
	return append(bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(1)}}, more...)
}

// startFake starts a server that passes commands, and their numbers from 0, to answer.
func startFake(t *testing.T, answer func(name string, n int) bson.D) *fake {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f := &fake{addr: l.Addr().String(), answer: answer}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = conn.Close() }()
				for f.exchange(conn) == nil {
				}
			})
		}
	})
	return f
}

func (f *fake) uri() string { return "mongodb://" + f.addr + "/shop?replicaSet=rs" }

// commands returns the names of the commands that have come, without those that
// the driver sends on its own.
func (f *fake) commands() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

// exchange answers one message. See
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/.
func (f *fake) exchange(conn net.Conn) error {
	const opReply, opQuery, opMsg = 1, 2004, 2013
	var head [16]byte
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	body := make([]byte, binary.LittleEndian.Uint32(head[:])-uint32(len(head)))
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	kind, prefix := uint32(opMsg), make([]byte, 4+1) // flags, type of the section
	command := bson.Raw(body[4+1:])
	if binary.LittleEndian.Uint32(head[12:]) == opQuery {
		at := 4 // flags; then a name that ends with 0, and two numbers
		for body[at] != 0 {
			at++
		}
		command = body[at+1+8:]
		kind, prefix = opReply, make([]byte, 4+8+4+4)
		prefix[16] = 1 // document
	}
	first, err := command[:binary.LittleEndian.Uint32(command)].IndexErr(0)
	if err != nil {
		return err
	}
	reply := f.reply(first.Key())
	if reply == nil {
		return io.EOF
	}
	document, err := bson.Marshal(reply)
	if err != nil {
		return err
	}
	m := make([]byte, 16, 16+len(prefix)+len(document))
	binary.LittleEndian.PutUint32(m, uint32(cap(m)))
	copy(m[8:12], head[4:8])
	binary.LittleEndian.PutUint32(m[12:], kind)
	_, err = conn.Write(append(append(m, prefix...), document...))
	return err
}

// stepDown makes it a secondary.
func (f *fake) stepDown() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.secondary = true
}

func (f *fake) reply(name string) bson.D {
	switch name {
	case "hello", "isMaster", "ismaster":
		f.mu.Lock()
		primary := !f.secondary
		f.mu.Unlock()
		return bson.D{
			{Key: "ok", Value: 1.0},
			{Key: "isWritablePrimary", Value: primary},
			{Key: "ismaster", Value: primary},
			{Key: "secondary", Value: !primary},
			{Key: "setName", Value: "rs"},
			{Key: "hosts", Value: bson.A{f.addr}},
			{Key: "me", Value: f.addr},
			{Key: "minWireVersion", Value: int32(0)},
			{Key: "maxWireVersion", Value: int32(21)},
			{Key: "maxBsonObjectSize", Value: int32(16 << 20)},
			{Key: "maxMessageSizeBytes", Value: int32(48_000_000)},
			{Key: "maxWriteBatchSize", Value: int32(100_000)},
			{Key: "logicalSessionTimeoutMinutes", Value: int32(30)},
		}
	case "endSessions":
		return bson.D{{Key: "ok", Value: 1.0}}
	}
	f.mu.Lock()
	n := len(f.seen)
	f.seen = append(f.seen, name)
	f.mu.Unlock()
	return f.answer(name, n)
}
