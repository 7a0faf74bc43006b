package servers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakePlaces is a folder with programs, which do nothing.
func fakePlaces(t *testing.T, programs ...string) *places {
	t.Helper()
	dir := t.TempDir()
	for _, name := range programs {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o700))
	}
	return &places{path: func(string) (string, error) { return "", os.ErrNotExist }, beside: []string{dir}}
}

// fakeApt writes to a log what it was told and what it saw, fails as often as
// there are files fail*, and installs a redis-server.
const fakeApt = `#!/bin/sh
cd "$(dirname "$0")"
echo "begin $*" >>log
case "$*" in
*install*)
	cat policy >>log
	test -e slow && sleep 0.5
	test -e clusters && tail -n 1 clusters >>log
	for f in fail*; do
		if test -e "$f"; then rm "$f"; echo "it is broken"; exit 100; fi
	done
	case "$*" in *postgresql-common*) echo original >clusters ;; esac
	echo >scripts/redis-server
	echo >redis-server; chmod 755 redis-server
	;;
esac
echo "end" >>log
`

// fakeDebian is a machine in a folder.
func fakeDebian(dir string, out *bytes.Buffer) installer {
	return installer{
		out:      out,
		root:     true,
		apt:      filepath.Join(dir, "apt-get"),
		services: filepath.Join(dir, "apt-get"),
		scripts:  filepath.Join(dir, "scripts"),
		lock:     dir,
		policy:   filepath.Join(dir, "policy"),
		clusters: filepath.Join(dir, "clusters"),
	}
}

func newDebian(t *testing.T) string {
	t.Helper()
	if !supported {
		t.Skip("nothing is installed here")
	}
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "scripts"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "apt-get"), []byte(fakeApt), 0o700))
	return dir
}

// redisOf says that Redis is missing until it is installed.
func redisOf(dir string) func() []product {
	return func() []product {
		if executable(filepath.Join(dir, "redis-server")) {
			return nil
		}
		return []product{redisProduct()}
	}
}

func logOf(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "log"))
	require.NoError(t, err)
	return string(text)
}

func TestInstall(t *testing.T) {
	dir := newDebian(t)
	var out bytes.Buffer
	machine := fakeDebian(dir, &out)
	require.NoError(t, machine.install(t.Context(), redisOf(dir)))
	require.Contains(t, out.String(), "apt-get install redis-server\n", "it says what it does")
	require.Equal(t, `begin update
end
begin -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 install -y --no-install-recommends redis-server
#!/bin/sh
`+mark+`
exit 101
end
begin redis-server disable
end
`, logOf(t, dir))
	require.NoFileExists(t, machine.policy)

	require.NoError(t, machine.install(t.Context(), redisOf(dir)))
	require.Equal(t, 1, strings.Count(logOf(t, dir), "begin -o "), "nothing is missing any more")
}

func TestInstallMakesNoCluster(t *testing.T) {
	dir := newDebian(t)
	machine := fakeDebian(dir, &bytes.Buffer{})
	require.NoError(t, machine.install(t.Context(), func() []product { return []product{postgresProduct()} }))
	text := logOf(t, dir)
	require.Less(t, strings.Index(text, "postgresql-common"), strings.Index(text, "create_main_cluster = false\nend"))
	settings, err := os.ReadFile(machine.clusters)
	require.NoError(t, err)
	require.Equal(t, "original\n", string(settings), "put back")
}

func TestInstallPutsThePolicyBack(t *testing.T) {
	for _, fails := range []int{0, 1, 2} {
		dir := newDebian(t)
		machine := fakeDebian(dir, &bytes.Buffer{})
		require.NoError(t, os.WriteFile(machine.policy, []byte("of the machine\n"), 0o750))
		for i := range fails {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "fail"+string(rune('0'+i))), nil, 0o600))
		}
		err := machine.install(t.Context(), redisOf(dir))
		if fails < 2 {
			require.NoError(t, err, "it is tried twice")
		} else {
			require.ErrorContains(t, err, "it is broken")
		}
		text, err := os.ReadFile(machine.policy)
		require.NoError(t, err)
		require.Equal(t, "of the machine\n", string(text))
		info, err := os.Stat(machine.policy)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o750), info.Mode())
		require.NoFileExists(t, machine.policy+saved)
	}
}

func TestReplaceAfterAKill(t *testing.T) {
	for _, before := range []string{"", "of the machine"} {
		path := filepath.Join(t.TempDir(), "file")
		if before != "" {
			require.NoError(t, os.WriteFile(path, []byte(before), 0o600))
		}
		_, err := replace(path, mark, 0o755)
		require.NoError(t, err)
		restore, err := replace(path, mark+"again", 0o755) // the first was killed
		require.NoError(t, err)
		require.NoError(t, restore())
		text, err := os.ReadFile(path)
		if before == "" {
			require.ErrorIs(t, err, os.ErrNotExist)
		} else {
			require.NoError(t, err)
			require.Equal(t, before, string(text))
		}
		require.NoFileExists(t, path+saved)
	}
}

func TestReplaceBetweenRenameAndWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path+saved, []byte("of the machine"), 0o600))
	restore, err := replace(path, mark, 0o755)
	require.NoError(t, err)
	require.NoError(t, restore())
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "of the machine", string(text))
}

func installRole() error {
	var out bytes.Buffer
	dir := os.Getenv("DEBIAN")
	return fakeDebian(dir, &out).install(context.Background(), redisOf(dir))
}

func TestProcessesInstallOnce(t *testing.T) {
	dir := newDebian(t)
	var all []*player
	for range 4 {
		all = append(all, play(t, "install", "DEBIAN="+dir))
	}
	for _, p := range all {
		require.NoError(t, p.cmd.Wait())
	}
	require.Equal(t, 1, strings.Count(logOf(t, dir), "begin -o "), logOf(t, dir))
}

// obtainRole is a test binary that installs a server.
func obtainRole() error {
	var out bytes.Buffer
	dir := os.Getenv("DEBIAN")
	h := host{places: empty().places, install: fakeDebian(dir, &out).install}
	stop := h.hold()
	_, err := h.share(redisProduct())
	return errors.Join(err, stop())
}

func TestInterruptedInstallationIsFinished(t *testing.T) {
	dir := newDebian(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slow"), nil, 0o600))
	p := play(t, "obtain", "DEBIAN="+dir, installVariable+"=1")
	require.Eventually(t, func() bool { return exists(filepath.Join(dir, "policy")) }, 20*time.Second, 5*time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.ErrorContains(t, p.cmd.Wait(), "exit status 143")
	require.Contains(t, logOf(t, dir), "disable\nend\n")
	require.NoFileExists(t, filepath.Join(dir, "policy"))
}

func TestInstallEndsWithItsContext(t *testing.T) {
	dir := newDebian(t)
	machine := fakeDebian(dir, &bytes.Buffer{})
	unlock, err := machine.exclusive(t.Context())
	require.NoError(t, err)
	defer unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, machine.install(ctx, redisOf(dir)), context.Canceled)
	require.NoFileExists(t, filepath.Join(dir, "log"))
}
