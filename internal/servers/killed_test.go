package servers

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holdRole is a test binary with a server, until it is ended.
func holdRole() error {
	stop := here.hold()
	s, err := here.share(productOf(Kind(os.Getenv("KIND"))))
	if err != nil {
		return err
	}
	fmt.Printf("%s\n%s\n", s.Addr(), s.dir)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return stop()
}

// held plays holdRole.
func held(t *testing.T, i int) (p *player, s *Server) {
	t.Helper()
	kinds[i].shared(t) // skips where there is none
	p = play(t, "hold", "KIND="+string(kinds[i].kind))
	addr := p.line(t)
	s = &Server{kind: kinds[i].kind, dir: p.line(t), engine: kinds[i].shared(t).engine}
	_, err := fmt.Sscanf(addr, "127.0.0.1:%d", &s.port)
	require.NoError(t, err)
	require.NoError(t, s.engine.probe(short(t), s))
	require.DirExists(t, s.dir)
	return p, s
}

func TestServerDiesWithAKilledTestBinary(t *testing.T) {
	ofEach(t, func(t *testing.T, i int) {
		p, s := held(t, i)
		if runtime.GOOS != "linux" {
			t.Skip("only Linux does that")
		}
		begin := time.Now()
		require.NoError(t, p.cmd.Process.Kill())
		require.Error(t, p.cmd.Wait())
		requireGone(t, s.dir)
		t.Logf("gone in %v", time.Since(begin).Round(time.Millisecond))
		require.Eventually(t, func() bool { return s.engine.probe(short(t), s) != nil },
			20*time.Second, 20*time.Millisecond, "somebody listens")

		home := s.dir + "/.."
		old := time.Now().Add(-time.Minute)
		_ = os.Chtimes(home, old, old) // other test binaries of this moment may be faster
		require.Eventually(t, func() bool { sweep(); return !exists(home) }, 20*time.Second, 20*time.Millisecond,
			"the next test binary removes the files")
		require.DirExists(t, kinds[i].shared(t).dir, "and not those of a living one")
	})
}

func TestServerEndsWithATerminatedTestBinary(t *testing.T) {
	for _, sig := range []os.Signal{syscall.SIGTERM, nil} {
		ofEach(t, func(t *testing.T, i int) {
			p, s := held(t, i)
			if sig != nil {
				require.NoError(t, p.cmd.Process.Signal(sig))
			} else {
				require.NoError(t, p.in.Close())
			}
			err := p.cmd.Wait()
			require.Empty(t, processes(t, s.dir))
			require.NoDirExists(t, s.dir+"/..")
			if sig == nil {
				require.NoError(t, err, "it ended in good order")
			} else {
				require.ErrorContains(t, err, fmt.Sprintf("exit status %d", 128+int(sig.(syscall.Signal))))
			}
		})
	}
}
