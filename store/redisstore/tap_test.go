package redisstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// fate is what becomes of a command on its way through a tap.
type fate int

const (
	passes       fate = iota
	replyLost         // the server does it, and the connection breaks
	requestLost       // the connection breaks before
	isLate            // it waits until the tap is released, and the reply is lost
	breaksInside      // the server gets half of it
)

// tap is between a client and a server, and counts what arrives at the server.
type tap struct {
	addr    string
	server  string
	release chan struct{}

	mu    sync.Mutex
	fate  func(cmd []string) fate
	seen  map[string]int // commands that were sent to the server, by name
	conns map[net.Conn]bool
	wg    sync.WaitGroup
}

// newTap returns a tap in front of a server, which ends with the test.
func newTap(t testing.TB, server string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	tp := &tap{addr: l.Addr().String(), server: server, release: make(chan struct{}), seen: map[string]int{}, conns: map[net.Conn]bool{}}
	tp.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tp.wg.Go(func() { tp.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		tp.cut()
		tp.wg.Wait()
	})
	return tp
}

// let says what becomes of commands from now on.
func (tp *tap) let(f func(cmd []string) fate) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.fate = f
	clear(tp.seen)
}

// arrived returns how many commands of that name the server got.
func (tp *tap) arrived(name string) int {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	return tp.seen[name]
}

// cut breaks all connections.
func (tp *tap) cut() {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	for c := range tp.conns {
		_ = c.Close()
	}
}

func (tp *tap) hold(c net.Conn) func() {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.conns[c] = true
	return func() {
		_ = c.Close()
		tp.mu.Lock()
		defer tp.mu.Unlock()
		delete(tp.conns, c)
	}
}

func (tp *tap) decide(cmd []string) fate {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	f := passes
	if tp.fate != nil {
		f = tp.fate(cmd)
	}
	if f != requestLost && f != breaksInside {
		tp.seen[cmd[0]]++
	}
	return f
}

func (tp *tap) serve(client net.Conn) {
	defer tp.hold(client)()
	server, err := net.Dial("tcp", tp.server)
	if err != nil {
		return
	}
	defer tp.hold(server)()
	var mu sync.Mutex
	deaf := false // replies are lost from now on
	tp.wg.Go(func() {
		defer func() { _ = client.Close() }()
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			lost := deaf
			mu.Unlock()
			if lost {
				return
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	r := bufio.NewReader(client)
	for {
		cmd, raw, err := readCommand(r)
		if err != nil {
			return
		}
		switch f := tp.decide(cmd); f {
		case requestLost:
			return
		case breaksInside:
			_, _ = server.Write(raw[:len(raw)/2])
			return
		case isLate, replyLost:
			mu.Lock()
			deaf = true
			mu.Unlock()
			if f == isLate {
				<-tp.release
			}
		case passes:
		}
		if _, err := server.Write(raw); err != nil {
			return
		}
	}
}

// readCommand reads an array of strings.
func readCommand(r *bufio.Reader) (cmd []string, raw []byte, err error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "*")))
	if err != nil || n < 1 {
		return nil, nil, fmt.Errorf("no command: %q", line)
	}
	raw = []byte(line)
	for range n {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, nil, err
		}
		size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "$")))
		if err != nil {
			return nil, nil, err
		}
		text := make([]byte, size+2)
		if _, err := io.ReadFull(r, text); err != nil {
			return nil, nil, err
		}
		cmd = append(cmd, string(text[:size]))
		raw = append(append(raw, line...), text...)
	}
	cmd[0] = strings.ToLower(cmd[0])
	return cmd, raw, nil
}

// named returns a fate for commands of those names.
func named(f fate, names ...string) func([]string) fate {
	return func(cmd []string) fate {
		if slices.Contains(names, cmd[0]) {
			return f
		}
		return passes
	}
}
