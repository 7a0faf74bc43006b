package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMongoDB(t *testing.T) {
	t.Setenv("SESSION_TEST_MONGO_URI", "")
	s := MongoDB(t)
	require.Equal(t, KindMongoDB, s.Kind())
	require.Same(t, s, MongoDB(t), "it is started once")
	require.True(t, s.Own())
	require.True(t, s.StandIn())
	require.Equal(t, "mongodb://"+s.Addr()+"/", s.DSN())
	require.NoError(t, s.engine.probe(short(t), s))
	require.ErrorIs(t, s.Kill(), errNotOurs)

	first, second := s.Database(t), s.Database(t)
	require.Contains(t, first, s.DSN()+"session_test_")
	require.NotEqual(t, first, second)
}

func TestMongoDBIsStoppedAndStarted(t *testing.T) {
	s := StartMongoDB(t)
	addr := s.Addr()
	for _, down := range []func() error{s.Stop, s.Kill} {
		require.NoError(t, s.engine.probe(short(t), s))
		require.NoError(t, down())
		require.Error(t, s.engine.probe(short(t), s))
		require.NoError(t, s.Start())
		require.Equal(t, addr, s.Addr())
	}
	require.NoError(t, s.engine.probe(short(t), s))
}

func TestMongoDBOfTheEnvironment(t *testing.T) {
	t.Setenv("SESSION_TEST_MONGO_URI", "mongodb://ada:secret@somewhere/shop")
	s := MongoDB(t)
	require.Equal(t, "mongodb://ada:secret@somewhere/shop", s.DSN())
	require.False(t, s.Own())
	require.False(t, s.StandIn())
	require.Regexp(t, `^mongodb://ada:secret@somewhere/session_test_\w+\?authSource=shop$`, s.Database(t))
	require.Empty(t, Missing(KindMongoDB))
}

// A stand-in that cannot be built is skipped, whatever was asked for; one that
// was built has to serve.
func TestMongoDBCannotBeBuilt(t *testing.T) {
	if !supported {
		t.Skip("nothing is started here")
	}
	p := mongoProduct()
	for _, wanted := range []string{"", "1"} {
		t.Setenv(installVariable, wanted)
		p.build = func() (engine, error) { return nil, errors.New("the MongoDB stand-in cannot be built: no network") }
		v := judge(t, func(t testing.TB) {
			_, err := empty().share(p)
			demand(t, err)
		})
		require.Empty(t, v.failed)
		require.Contains(t, v.skipped, "the MongoDB stand-in cannot be built: no network")

		p.build = func() (engine, error) { return standIn("/bin/false"), nil }
		h := empty()
		v = judge(t, func(t testing.TB) {
			_, err := h.share(p)
			demand(t, err)
		})
		require.Empty(t, v.skipped)
		require.Contains(t, v.failed, "ended at once")
		require.NoError(t, h.close())
	}
}

func TestMongoDBWithin(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://db":                                           "mongodb://db/other",
		"mongodb://a:1,b:2/":                                     "mongodb://a:1,b:2/other",
		"mongodb://db/main?replicaSet=rs&w=1":                    "mongodb://db/other?replicaSet=rs&w=1",
		"mongodb+srv://ada:s%2Fcret@db/?tls=true":                "mongodb+srv://ada:s%2Fcret@db/other?authSource=admin&tls=true",
		"mongodb://ada:secret@a,b/main":                          "mongodb://ada:secret@a,b/other?authSource=main",
		"mongodb://ada@db/main?authsource=%24external&ssl=false": "mongodb://ada@db/other?authsource=%24external&ssl=false",
		"mongodb://db?w=1":                                       "mongodb://db/other?w=1",
	} {
		got, err := mongoWithin(uri, "other")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, uri := range []string{"secret", "", "ada:secret@db/main", "mongodb://ada:secret@db/?a=%zz"} {
		_, err := mongoWithin(uri, "other")
		require.ErrorIs(t, err, errMongoURI)
		require.NotContains(t, err.Error(), "secret")
	}
}

func TestProbeOfSomethingElse(t *testing.T) {
	for _, answer := range []string{"", "HTTP/1.1 400 Bad Request\r\n", "\x10\x00\x00\x00but not MongoDB"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_, _ = conn.Write([]byte(answer))
			_ = conn.Close()
		}()
		s := &Server{kind: KindMongoDB, port: l.Addr().(*net.TCPAddr).Port}
		require.Error(t, probeMongo(short(t), s), answer)
		require.NoError(t, l.Close())
		<-ended
	}
}

// A program that is there already is found again, and nothing is compiled.
func TestStandInIsBuiltOnce(t *testing.T) {
	first, err := builtStandIn()
	if err != nil {
		t.Skip(err)
	}
	before, err := os.Stat(first)
	require.NoError(t, err)
	again, err := buildStandIn(t.Context())
	require.NoError(t, err)
	require.Equal(t, first, again)
	after, err := os.Stat(again)
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "it was linked again")
}

const sleeper = "sleep 600 & echo started; wait"

// compileRole is a test binary that builds for as long as it may.
func compileRole() error {
	stop := here.hold()
	fmt.Println("begun")
	return errors.Join(compile(context.Background(), os.Getenv("FOLDER"), os.Environ(), "sh", "-c", sleeper), stop())
}

func init() { roles["compile"] = compileRole } //nolint:gochecknoinits // a role of this file

// Nothing that a build has started remains when it may not go on.
func TestCompileIsEnded(t *testing.T) {
	if !supported {
		t.Skip("nothing is started here")
	}
	t.Run("context", func(t *testing.T) {
		dir := t.TempDir()
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, compile(ctx, dir, os.Environ(), "sh", "-c", sleeper), context.DeadlineExceeded)
		require.Empty(t, processes(t, dir))
	})
	t.Run("SIGTERM", func(t *testing.T) {
		dir := t.TempDir()
		p := play(t, "compile", "FOLDER="+dir)
		require.Equal(t, "begun", p.line(t))
		require.Eventually(t, func() bool { return len(processes(t, dir)) == 2 }, 20*time.Second, 20*time.Millisecond)
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		require.Error(t, p.cmd.Wait())
		require.Empty(t, processes(t, dir))
	})
	t.Run("failure", func(t *testing.T) {
		err := compile(t.Context(), t.TempDir(), os.Environ(), "sh", "-c", "echo why; exit 3")
		require.ErrorContains(t, err, "exit status 3")
		require.ErrorContains(t, err, "why")
	})
}

func TestStandInHasASource(t *testing.T) {
	source, err := standInSource()
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(source, "main.go"))
}

func TestLockFolder(t *testing.T) {
	if !supported {
		t.Skip("no locks here")
	}
	dir := t.TempDir()
	unlock, err := lockFolder(t.Context(), dir)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = lockFolder(ctx, dir)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	unlock()
	unlock, err = lockFolder(t.Context(), dir)
	require.NoError(t, err)
	unlock()
	_, err = lockFolder(t.Context(), filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
