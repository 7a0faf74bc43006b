package redisstore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// speaking returns the address of a server that is made for a test. To what answer has no
// answer for it says what a Redis without anything says.
func speaking(t testing.TB, answer func(c net.Conn, cmd []string) string) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				for r := bufio.NewReader(c); ; {
					cmd, _, err := readCommand(r)
					if err != nil {
						return
					}
					text := answer(c, cmd)
					switch {
					case text != "":
					case cmd[0] == "client":
						text = "+OK\r\n"
					case cmd[0] == "ping":
						text = "+PONG\r\n"
					default:
						text = "-ERR unknown command\r\n"
					}
					if _, err := io.WriteString(c, text); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// array returns an array of strings as Redis sends it.
func array(list ...string) string {
	text := fmt.Sprintf("*%d\r\n", len(list))
	for _, s := range list {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(s), s)
	}
	return text
}

// confirmed returns what Redis says of subscriptions.
func confirmed(kind string, channels ...string) (text string) {
	for i, channel := range channels {
		text += fmt.Sprintf("*3\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n:%d\r\n", len(kind), kind, len(channel), channel, i+1)
	}
	return text
}

// sentinel is one that says who the master is.
type sentinel struct {
	addr   string
	master atomic.Value

	mu   sync.Mutex
	subs []net.Conn
}

func newSentinel(t testing.TB, master string) *sentinel {
	t.Helper()
	s := &sentinel{}
	s.master.Store(master)
	s.addr = speaking(t, s.answer)
	return s
}

func (s *sentinel) answer(c net.Conn, cmd []string) string {
	switch {
	case cmd[0] == "sentinel" && cmd[1] == "get-master-addr-by-name":
		host, port, _ := net.SplitHostPort(s.master.Load().(string))
		return array(host, port)
	case cmd[0] == "sentinel":
		return array()
	case cmd[0] == "subscribe":
		s.mu.Lock()
		s.subs = append(s.subs, c)
		s.mu.Unlock()
		return confirmed("subscribe", cmd[1:]...)
	}
	return ""
}

// promote says that there is another master.
func (s *sentinel) promote(addr string) {
	before := strings.Replace(s.master.Swap(addr).(string), ":", " ", 1)
	text := "sessions " + before + " " + strings.Replace(addr, ":", " ", 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.subs {
		_, _ = fmt.Fprint(c, array("message", "+switch-master", text))
	}
}
