package pgxlisten_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/pgxlisten"
)

func TestHearsWhatIsNotified(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := hear(t, pgxlisten.FromConfig(s.config(t)), `web.Sessions "1"`)
		synctest.Wait()
		ready, _ := h.was()
		require.Equal(t, 1, ready)
		session := s.all()[0]
		statements, _, _ := session.heard()
		require.Equal(t, []string{`LISTEN "web.Sessions ""1"""`}, statements)

		var want []string
		for i := range 20 {
			want = append(want, fmt.Sprint(i))
			require.NoError(t, session.notify(`web.Sessions "1"`, fmt.Sprint(i)))
			require.NoError(t, session.notify("web.sessions", "not ours"))
		}
		synctest.Wait()
		ready, heard := h.was()
		require.Equal(t, 1, ready)
		require.Equal(t, want, heard)

		h.end(t)
		synctest.Wait()
		_, goodbye, ended := session.heard()
		require.True(t, goodbye)
		require.True(t, ended)
		require.Len(t, s.all(), 1)
	})
}

// A call that ended may be followed by another one, and several may be made at once.
func TestEachCallHasAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		l := pgxlisten.FromConfig(s.config(t))
		all := []*hearing{hear(t, l, "a"), hear(t, l, "a")}
		synctest.Wait()
		require.Len(t, s.all(), 2)
		all[0].end(t)
		all = append(all, hear(t, l, "a"))
		synctest.Wait()
		require.Len(t, s.all(), 3)
		for _, h := range all {
			ready, _ := h.was()
			require.Equal(t, 1, ready)
		}
		all[1].end(t)
		all[2].end(t)
	})
}

func TestAsksWhetherTheServerIsThere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// What comes while the server is asked is not lost.
		s := &server{answer: func(s *session, q string) error {
			if strings.HasPrefix(q, "--") {
				return s.notify("a", "meanwhile")
			}
			return nil
		}}
		h := hear(t, pgxlisten.FromConfig(s.config(t)), "a")
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		require.Empty(t, h.ended)
		statements, _, _ := s.all()[0].heard()
		require.InDelta(t, 30, len(statements), 3)
		_, heard := h.was()
		require.Len(t, heard, len(statements)-1)
		h.end(t)
	})
}

// From the moment on at which a server falls silent, whenever that is.
func TestSilenceIsNoticed(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, time.Second, 1999 * time.Millisecond, 2 * time.Second, 3 * time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				h := hear(t, pgxlisten.FromConfig(s.config(t)), "a")
				synctest.Wait()
				time.Sleep(after)
				s.lose()
				cut := time.Now()
				err := <-h.ended
				require.ErrorIs(t, err, pgxlisten.ErrSilent)
				require.LessOrEqual(t, time.Since(cut), store.WatchPatience)
				synctest.Wait()
				_, _, ended := s.all()[0].heard()
				require.True(t, ended, "and nothing of it is left")
				for _, other := range s.all()[1:] {
					_, _, ended := other.heard()
					require.True(t, ended)
				}
			})
		})
	}
}

// One that is cut off ends soon, too, when nobody wants it any more.
func TestEndsWhileTheServerIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := hear(t, pgxlisten.FromConfig(s.config(t)), "a")
		synctest.Wait()
		s.lose()
		time.Sleep(3 * time.Second) // it has asked
		begun := time.Now()
		h.end(t)
		require.LessOrEqual(t, time.Since(begun), time.Second)
	})
}

func TestEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		h := hear(t, pgxlisten.FromConfig(s.config(t)), "a")
		synctest.Wait()
		begun := time.Now()
		require.NoError(t, s.all()[0].conn.Close())
		err := <-h.ended
		require.ErrorContains(t, err, "pgxlisten: wait: ")
		require.LessOrEqual(t, time.Since(begun), time.Second)
		require.NotErrorIs(t, err, errors.ErrUnsupported)
	})
}

func TestConnectingFails(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server *server
		want   string
		after  time.Duration
	}{
		"refused":         {server: &server{refuse: &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}}, want: "connection refused"},
		"no answer":       {server: &server{mute: true}, want: "timeout", after: store.WatchPatience},
		"no answer later": {server: &server{answer: func(*session, string) error { return errLost }}, want: "does not answer", after: 2 * time.Second},
		"a replica": {server: &server{answer: func(*session, string) error {
			return errors.New("cannot execute LISTEN during recovery")
		}}, want: "pgxlisten: listen: ERROR: cannot execute LISTEN during recovery"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				h := hear(t, pgxlisten.FromConfig(c.server.config(t)), "a")
				err := <-h.ended
				require.ErrorContains(t, err, c.want)
				require.Equal(t, c.after, time.Since(begun))
				ready, _ := h.was()
				require.Zero(t, ready)
				for _, verb := range []string{"%v", "%+v", "%#v"} {
					require.NotContains(t, fmt.Sprintf(verb, err), password)
				}
				_, ok := errors.AsType[*pgconn.ConnectError](err)
				require.False(t, ok, "it leads to the password")
				synctest.Wait()
				for _, session := range c.server.all() {
					_, _, ended := session.heard()
					require.True(t, ended)
				}
			})
		})
	}
}

func TestEndedContextConnectsToNothing(t *testing.T) {
	t.Parallel()
	s := &server{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := pgxlisten.FromConfig(s.config(t))(ctx, "a", func() { panic("not ready") }, func(string) { panic("nothing was notified") })
	require.ErrorIs(t, err, context.Canceled)
	for _, session := range s.all() {
		statements, _, _ := session.heard()
		require.Empty(t, statements)
	}
}

// The configuration stays the caller's: what he changes later changes nothing.
func TestConfigIsCopied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		config := s.config(t)
		config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { panic("it is not called") }
		config.ConnectTimeout = time.Hour
		l := pgxlisten.FromConfig(config)
		require.NotNil(t, config.OnNotification)
		require.Equal(t, time.Hour, config.ConnectTimeout)
		config.DialFunc = nil
		h := hear(t, l, "a")
		synctest.Wait()
		require.NoError(t, s.all()[0].notify("a", "1"))
		synctest.Wait()
		_, heard := h.was()
		require.Equal(t, []string{"1"}, heard)
		h.end(t)
	})
}

// connStrings are such that cannot be parsed, or can.
var connStrings = []string{
	"postgres://web:" + password + "@db.example:port/shop", "postgres://web:" + password + "%zz@db.example/shop",
	"postgres://web:" + password + "/x@db.example:5432/shop", "host=db.example password='" + password, "password=" + password + " port=" + password,
	"host=db.example port=70000 password = " + password, "postgres://web:" + password + "@[::1/shop", "postgres://web@db.example/shop?password=" + password + "&sslmode=maybe",
	"user=web password=" + password + "\\", "web:" + password + "@db.example/shop", "postgres://web:" + password + "@db.example/shop?connect_timeout=x", "\x00" + password,
}

func TestConnStringsThatCannotBeParsed(t *testing.T) {
	t.Parallel()
	refused := 0
	for _, text := range connStrings {
		l, err := pgxlisten.New(text)
		if err == nil {
			require.NotNil(t, l)
			continue
		}
		refused++
		require.Nil(t, l)
		require.ErrorIs(t, err, pgxlisten.ErrConnString)
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), password)
	}
	require.GreaterOrEqual(t, refused, 6)
	l, err := pgxlisten.New("postgres://web@db.example/shop")
	require.NoError(t, err)
	require.NotNil(t, l)
}

func FuzzNew(f *testing.F) {
	for _, text := range connStrings {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		l, err := pgxlisten.New(text)
		_, want := pgx.ParseConfig(text)
		require.Equal(t, want == nil, err == nil)
		require.Equal(t, err == nil, l != nil)
		if err != nil {
			require.Equal(t, pgxlisten.ErrConnString, err)
		}
	})
}
