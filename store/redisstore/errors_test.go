package redisstore_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// answering returns the address of a server that gives one answer to whatever it
// is told after the handshake. An empty answer breaks the connection.
func answering(t testing.TB, answer string) string {
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
				r := bufio.NewReader(c)
				for {
					cmd, _, err := readCommand(r)
					if err != nil {
						return
					}
					switch cmd[0] {
					case "hello":
						_, err = fmt.Fprint(c, "-ERR unknown command 'hello'\r\n")
					case "client", "select":
						_, err = fmt.Fprint(c, "+OK\r\n")
					default:
						if answer == "" {
							return
						}
						_, err = fmt.Fprint(c, answer+"\r\n")
					}
					if err != nil {
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

// What an answer of the server says about the outcome of a write.
func TestClasses(t *testing.T) {
	t.Parallel()
	for answer, refused := range map[string]bool{
		"-OOM command not allowed when used memory > 'maxmemory'.":                                true,
		"-OOM command not allowed when used memory > 'maxmemory'. script: 1f, on @user_script:1.": true,
		"-READONLY You can't write against a read only replica.":                                  true,
		"-LOADING Redis is loading the dataset in memory":                                         true,
		"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.":       true,
		"-CLUSTERDOWN The cluster is down":                                                        true,
		"-CLUSTERDOWN Hash slot not served":                                                       true,
		"-TRYAGAIN Multiple keys request during rehashing of slot":                                true,
		"-CROSSSLOT Keys in request don't hash to the same slot":                                  true,
		"-MOVED 3999 127.0.0.1:6381":                                                              true,
		"-ASK 3999 127.0.0.1:6381":                                                                true,
		"-NOAUTH Authentication required.":                                                        true,
		"-WRONGPASS invalid username-password pair or user is disabled.":                          true,
		"-NOPERM this user has no permissions to run the 'evalsha' command":                       true,
		"-DENIED Redis is running in protected mode":                                              true,
		"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to":        true,
		"-NOREPLICAS Not enough good replicas to write.":                                          true,
		"-BUSY Redis is busy running a script.":                                                   true,
		"-NOSCRIPT No matching script. Please use EVAL.":                                          true,
		"-ERR max number of clients reached":                                                      true,
		"-ERR unknown command 'evalsha', with args beginning with: 'secret' 'data'":               true,
		"-ERR unknown command `evalsha`, with args beginning with: `secret`, `data`":              true,
		"-ERR invalid expire time in 'set' command":                                               true,
		"-ERR Protocol error: invalid bulk length":                                                true,
		"-ERR upstream failure":                                                                   false,
		"-ERR something":                                                                          false,
		"-UNBLOCKED client unblocked via CLIENT UNBLOCK":                                          false,
		"-OOMPH":       false,
		"-NOGOODSLAVE": false,
		"+QUEUED":      false,
		":77":          false,
		"?secret":      false,
		"*0":           false,
		"":             false,
	} {
		t.Run(answer, func(t *testing.T) {
			t.Parallel()
			s := on(clientOf(t, &redis.Options{Addr: answering(t, answer), MaxRetries: -1, Protocol: 2}))
			r := record("ada")
			for call, err := range everyMethod(t.Context(), s, newKey(), r) {
				if call == "Delete" && (answer == "+QUEUED" || answer == ":77" || answer == "*0") {
					continue // it does not look at what it deleted
				}
				require.Error(t, err, call)
				// What happens to a hint does nothing to the record.
				hint := call == "Insert with an owner" || call == "Touch" && answer == "+QUEUED" // an owner of that name
				require.Equal(t, (refused || hint) && !isRead(call), errors.Is(err, store.ErrRefused), "%s: %v", call, err)
				for _, no := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict} {
					require.NotErrorIs(t, err, no, call)
				}
				require.NotContains(t, fmt.Sprintf("%v %#v", err, err), "secret")
				require.True(t, strings.HasPrefix(err.Error(), "redisstore: "), "%v", err)
				if strings.HasPrefix(answer, "-") && !strings.Contains(answer, "secret") {
					_, ok := errors.AsType[redis.Error](err)
					require.True(t, ok, "%s: the driver's error is in it: %v", call, err)
				}
			}
		})
	}
}

func TestFullMemory(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	c := clientOf(t, &redis.Options{Addr: server.DSN(), MaxRetries: -1})
	s := on(c)
	r := record("ada")
	key, other := put(t, s, r), put(t, s, record("ada"))
	ctx := t.Context()
	_, err := s.Swap(ctx, key, 1, r) // scripts are known
	require.NoError(t, err)
	require.NoError(t, s.Touch(ctx, key, r.Version, r.Expires))
	require.NoError(t, c.ConfigSet(ctx, "maxmemory", "1mb").Err())
	require.NoError(t, c.ConfigSet(ctx, "maxmemory-policy", "noeviction").Err())

	for name, err := range map[string]error{
		"insert":               s.Insert(ctx, newKey(), record("")),
		"insert with an owner": s.Insert(ctx, newKey(), record("ada")),
		"swap":                 func() error { _, err := s.Swap(ctx, key, r.Version, record("ada")); return err }(),
	} {
		require.ErrorIs(t, err, store.ErrRefused, name)
		require.ErrorContains(t, err, "OOM", name)
	}
	requireHolds(t, s, key, r)
	// What needs no room works.
	for _, more := range []time.Duration{time.Minute, 300 * time.Hour} { // the second one beyond the hint
		r.Expires = r.Expires.Add(more)
		require.NoError(t, s.Touch(ctx, key, r.Version, r.Expires))
		requireHolds(t, s, key, r)
	}
	require.Len(t, listed(t, s, "ada", 10), 2)
	require.NoError(t, s.Delete(ctx, other))
	n, err := s.DeleteOwner(ctx, "ada")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

// A replica takes no writes, and a client of it is told so.
func TestReplicaRefuses(t *testing.T) {
	t.Parallel()
	master, replica := replicated(t)
	p := redisstore.WithPrefix(prefix())
	r := record("ada")
	key := put(t, redisstore.New(master, p), r)
	s := redisstore.New(clientOf(t, &redis.Options{Addr: replica.Options().Addr, MaxRetries: -1}), p)
	poll(t, func() bool { _, err := s.Load(t.Context(), key); return err == nil }, "it is replicated")
	for call, err := range everyMethod(t.Context(), s, key, r) {
		if isRead(call) {
			require.NoError(t, err, call)
			continue
		}
		require.ErrorIs(t, err, store.ErrRefused, call)
		require.ErrorContains(t, err, "READONLY", call)
	}
	requireHolds(t, s, key, r)
}

// replicated starts a server with a replica.
func replicated(t testing.TB) (master, replica *redis.Client) {
	t.Helper()
	one, two := servers.StartRedis(t), servers.StartRedis(t)
	master, replica = clientOf(t, &redis.Options{Addr: one.DSN()}), clientOf(t, &redis.Options{Addr: two.DSN()})
	require.NoError(t, master.ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err())
	host, port, err := net.SplitHostPort(one.DSN())
	require.NoError(t, err)
	require.NoError(t, replica.ReplicaOf(t.Context(), host, port).Err())
	poll(t, func() bool {
		return strings.Contains(replica.Info(t.Context(), "replication").Val(), "master_link_status:up")
	}, "it follows")
	return master, replica
}

// No error shows a password, nor where it was wrong.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	admin := clientOf(t, &redis.Options{Addr: server.DSN()})
	require.NoError(t, admin.ConfigSet(t.Context(), "requirepass", "correct horse").Err())
	for name, o := range map[string]*redis.Options{
		"none":  {Addr: server.DSN()},
		"wrong": {Addr: server.DSN(), Password: "battery staple"},
		"user":  {Addr: server.DSN(), Username: "ada", Password: "battery staple"},
	} {
		s := on(clientOf(t, o))
		for call, err := range everyMethod(t.Context(), s, newKey(), record("ada")) {
			require.Error(t, err, call)
			require.Equal(t, !isRead(call), errors.Is(err, store.ErrRefused), "%s: %s: %v", name, call, err)
			for _, secret := range []string{"horse", "staple"} {
				require.NotContains(t, fmt.Sprintf("%v %+v", err, err), secret)
			}
		}
	}
	s := on(clientOf(t, &redis.Options{Addr: server.DSN(), Password: "correct horse"}))
	put(t, s, record("ada"))
}

// The rights that doc.go names are enough, and one less is too few.
func TestRights(t *testing.T) {
	t.Parallel()
	server := servers.StartRedis(t)
	admin := clientOf(t, &redis.Options{Addr: server.DSN()})
	p := prefix()
	rights := []string{
		"+get", "+set", "+del", "+eval", "+evalsha", "+getrange", "+setrange", "+pexpireat", "+pexpiretime",
		"+zadd", "+zrem", "+zrangebylex", "+zrandmember", "+time",
	}
	for i := -1; i < len(rights); i++ {
		args := []any{"acl", "setuser", "web", "reset", "on", ">secret", "~" + p + "*"}
		for j, right := range rights {
			if j != i {
				args = append(args, right)
			}
		}
		require.NoError(t, admin.Do(t.Context(), args...).Err())
		c := clientOf(t, &redis.Options{Addr: server.DSN(), Username: "web", Password: "secret", MaxRetries: -1})
		s := redisstore.New(c, redisstore.WithPrefix(p))
		err := everything(t, s)
		if i < 0 {
			require.NoError(t, err)
		} else {
			require.Error(t, err, "without %s", rights[i])
			require.Regexp(t, "NOPERM|user executing the script", err.Error(), "without %s", rights[i])
		}
	}
}

// everything does what a store can do.
func everything(t testing.TB, s *redisstore.Store) error {
	t.Helper()
	ctx := t.Context()
	r := record("ada")
	r.Expires = soon(-3 * time.Hour)
	if err := s.Insert(ctx, newKey(), r); err != nil {
		return err
	}
	r, key := record("ada"), newKey()
	if err := s.Insert(ctx, key, r); err != nil {
		return err
	}
	if err := s.Touch(ctx, key, r.Version, r.Expires.Add(30*time.Hour)); err != nil {
		return err
	}
	next := record("bob")
	if _, err := s.Swap(ctx, key, r.Version, next); err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, r.Version, record("")); !errors.Is(err, store.ErrConflict) {
		return err
	}
	if _, err := s.ListOwner(ctx, "ada", store.Key{}, 10); err != nil {
		return err
	}
	if _, err := s.DeleteOwner(ctx, "bob"); err != nil {
		return err
	}
	_, err := s.Load(ctx, key)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return s.Delete(ctx, key)
}
