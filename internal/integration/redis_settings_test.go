package integration_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// redisSettings are the rows of docs/stores.md on what a setting of Redis, or what
// happens to it, does to sessions.
var redisSettings = map[string]func(t *testing.T){
	"`SCRIPT FLUSH`": redisScriptsFlushed,
	"`maxmemory` is reached, `maxmemory-policy noeviction`":                       redisFull,
	"`maxmemory` is reached, `maxmemory-policy allkeys-lru`":                      redisEvicts,
	"`appendonly no`, no snapshots: a restart":                                    redisForgets,
	"`appendonly no`, snapshots: a restart":                                       redisSnapshot,
	"`appendonly yes`, `appendfsync always`: killed":                              redisDurable,
	"a replica is promoted that lacks the last writes":                            redisPromoted,
	"the same, with `redisstore.WithWait`":                                        redisPromotedWaiting,
	"a master of a cluster is killed, its replica takes over":                     redisFailover,
	"`min-replicas-to-write`, and too few of them":                                redisLonely,
	"a client of a replica":                                                       redisReplica,
	"a client with `ReadOnly`, `RouteByLatency`, `RouteRandomly`, a `redis.Ring`": redisReadOnly,
	"a session beyond `proto-max-bulk-len`":                                       redisTooLong,
}

func TestRedisSettings(t *testing.T) {
	t.Parallel()
	long(t)
	rows := storesDoc(t).table(t, "redis settings")
	require.Len(t, rows, len(redisSettings))
	for _, row := range rows {
		require.Contains(t, redisSettings, row[0])
		t.Run(row[0], func(t *testing.T) {
			t.Parallel()
			redisSettings[row[0]](t)
		})
	}
}

// redisRig is a server of a test's own, and two nodes on it.
type redisRig struct {
	*servers.Server
	t     *testing.T
	admin *redis.Client
	nodes []*node
}

func newRedisRig(t *testing.T, opts ...servers.Option) *redisRig {
	t.Helper()
	s := servers.StartRedis(t, opts...)
	r := &redisRig{Server: s, t: t, admin: newRedis(t, s.Addr())}
	r.nodes = r.more()
	return r
}

// more returns two further nodes.
func (r *redisRig) more(opts ...redisstore.Option) (nodes []*node) {
	r.t.Helper()
	for range 2 {
		nodes = append(nodes, newNode(r.t, redisstore.New(newRedis(r.t, r.Addr()), opts...)))
	}
	return nodes
}

func (r *redisRig) set(parameter, value string) {
	r.t.Helper()
	require.NoError(r.t, r.admin.ConfigSet(r.t.Context(), parameter, value).Err())
}

// again kills the server and starts it.
func (r *redisRig) again() {
	r.t.Helper()
	require.NoError(r.t, r.Kill())
	require.NoError(r.t, r.Start())
}

// known returns a visitor who is logged in and has a note.
func (r *redisRig) known(owner string) *browser {
	r.t.Helper()
	b := newBrowser(r.t)
	b.must(r.nodes[0], both(logIn(owner), writeNote("of "+owner)))
	return b
}

// requireUnavailable says that nothing was stored, and that the visitor has been
// told so.
func requireUnavailable(t *testing.T, a answer) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.text)
	requireNoCookie(t, a)
}

// requireVisitor says who a visitor is, on each node.
func requireVisitor(t *testing.T, nodes []*node, b *browser, want string) {
	t.Helper()
	for _, n := range nodes {
		require.Equal(t, want, b.must(n, both(readOwner, readNote)))
	}
}

func redisScriptsFlushed(t *testing.T) {
	r := newRedisRig(t)
	ada := r.known("ada")
	for i := range 8 {
		require.NoError(t, r.admin.ScriptFlush(t.Context()).Err())
		require.Equal(t, strconv.Itoa(i+1), ada.must(r.nodes[i%2], countUp))
	}
	for _, use := range []func() error{
		func() error { r.known("ada"); return nil },
		func() error { ada.must(r.nodes[1], both(logOut, writeNote("bye"))); return nil },
		func() error { return r.nodes[0].manager.RevokeOwner(t.Context(), "ada") },
	} {
		require.NoError(t, r.admin.ScriptFlush(t.Context()).Err())
		require.NoError(t, use())
	}
	requireVisitor(t, r.nodes, ada, "bye")
}

func redisFull(t *testing.T) {
	r := newRedisRig(t)
	short := newNode(t, redisstore.New(newRedis(t, r.Addr())), func(c *session.Config) { c.Expiry = session.OnInactivity(5 * time.Second) })
	ada, bob, eve, mia := r.known("ada"), r.known("bob"), r.known("eve"), r.known("mia")
	reader := newBrowser(t)
	reader.must(short, writeNote("read"))
	eveID := eve.must(r.nodes[0], readID)
	name := redisstore.DefaultPrefix + reader.must(short, readID)
	life := func() time.Duration { return r.admin.PTTL(t.Context(), name).Val() }
	require.LessOrEqual(t, life(), 5*time.Second)
	require.Equal(t, []string{"noeviction"}, mapValues(r.admin.ConfigGet(t.Context(), "maxmemory-policy").Val()), "the default")
	r.set("maxmemory", "1mb")

	for name, p := range map[string]page{
		"write": writeNote("new"), "count": countUp, "log in": logIn("ada"), "rotate and write": both(rotate, countUp),
	} {
		for _, b := range []*browser{ada, newBrowser(t)} {
			if name == "rotate and write" && b != ada {
				continue
			}
			a := b.try(r.nodes[0], p)
			requireUnavailable(t, a)
			require.ErrorContains(t, a.failed, "OOM", name)
		}
	}
	requireVisitor(t, r.nodes, ada, "adaof ada")
	eventually(t, func() bool { return life() < 4*time.Second })
	require.Equal(t, "read", reader.must(short, readNote))
	require.Greater(t, life(), 4*time.Second, "reading lengthens a life")
	bob.must(r.nodes[1], logOut)
	requireVisitor(t, r.nodes, bob, "")
	require.NoError(t, r.nodes[0].manager.Revoke(t.Context(), eveID))
	requireVisitor(t, r.nodes, eve, "")
	// It cannot note for logins under way that the owner has been revoked, and says so.
	require.ErrorIs(t, r.nodes[0].manager.RevokeOwner(t.Context(), "mia"), store.ErrRefused)
	requireVisitor(t, r.nodes, mia, "")

	r.set("maxmemory", "0")
	require.Equal(t, "1", ada.must(r.nodes[1], countUp))
	requireVisitor(t, r.nodes, ada, "adaof ada")
}

func mapValues(m map[string]string) (values []string) {
	for _, v := range m {
		values = append(values, v)
	}
	return values
}

// redisOwnerKey is the name of the list of an owner, of whom the name of the scope is
// a part.
func redisOwnerKey(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return redisstore.DefaultPrefix + "owner:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

func redisEvicts(t *testing.T) {
	r := newRedisRig(t)
	ada := r.known("ada")
	ctx := t.Context()
	list := redisOwnerKey(":ada")
	require.EqualValues(t, 1, r.admin.Exists(ctx, list).Val())
	idle := func(key string) func() bool { // Redis counts seconds
		return func() bool {
			return ada.must(r.nodes[0], readOwner) == "ada" && r.admin.ObjectIdleTime(ctx, key).Val() >= 2*time.Second
		}
	}
	eventually(t, idle(list))
	var crowd []string // credentials
	come := func() {
		credential, err := visit(ctx, r.nodes[0].manager, "", func(ctx context.Context) error {
			return note.Set(ctx, fmt.Sprintf("%d %s", len(crowd), strings.Repeat("x", 20_000)))
		})
		require.NoError(t, err)
		crowd = append(crowd, credential)
	}
	for range 150 { // some 3 MB
		come()
	}
	last := newBrowser(t)
	last.present(r.nodes[0], crowd[len(crowd)-1])
	eventually(t, idle(redisstore.DefaultPrefix+last.must(r.nodes[0], readID)))
	r.set("maxmemory-samples", "64")
	r.set("maxmemory-policy", "allkeys-lru")
	r.set("maxmemory", "6mb")
	for len(crowd) < 1000 && (len(crowd) < 250 || r.admin.Exists(ctx, list).Val() > 0) {
		come()
		require.Equal(t, "ada", ada.must(r.nodes[1], readOwner), "she is there all the time")
	}
	r.set("maxmemory", "0")
	require.Zero(t, r.admin.Exists(ctx, list).Val())
	gone := 0
	for i, credential := range crowd {
		b := newBrowser(t)
		b.present(r.nodes[0], credential)
		text, _, _ := strings.Cut(b.must(r.nodes[i%2], readNote), " ")
		if text != "" {
			require.Equal(t, strconv.Itoa(i), text, "her own, or nothing")
			continue
		}
		if gone++; gone < 10 { // begins again, under another name
			b.must(r.nodes[0], writeNote("new"))
			require.NotEqual(t, credential[:22], b.credential(r.nodes[0])[:22])
			require.Equal(t, "new", b.must(r.nodes[1], readNote))
		}
	}
	t.Logf("%d of %d sessions are gone", gone, len(crowd))
	require.Positive(t, gone)
	require.Less(t, gone, len(crowd))

	// A request that was under way is answered as if somebody had logged out.
	bob := r.known("bob")
	held := hold(t, bob, r.nodes[0], readNote, countUp)
	require.EqualValues(t, 1, r.admin.Del(ctx, redisstore.DefaultPrefix+bob.must(r.nodes[1], readID)).Val())
	require.Equal(t, http.StatusConflict, held.release().status)

	// Nobody knows any more what sessions she has.
	require.NoError(t, r.nodes[0].manager.RevokeOwner(ctx, "ada"))
	requireVisitor(t, r.nodes, ada, "adaof ada")
}

func redisForgets(t *testing.T) {
	r := newRedisRig(t)
	ada := r.known("ada")
	r.again()
	requireVisitor(t, r.nodes, ada, "")
	require.Equal(t, "1", ada.must(r.nodes[0], countUp), "and begins again")
}

func redisSnapshot(t *testing.T) {
	r := newRedisRig(t)
	ada, bob := r.known("ada"), r.known("bob")
	credential := ada.credential(r.nodes[0])
	require.NoError(t, r.admin.Save(t.Context()).Err())
	ada.must(r.nodes[0], logOut)
	bob.must(r.nodes[0], writeNote("changed"))
	eve := r.known("eve")
	thief := newBrowser(t)
	thief.present(r.nodes[0], credential)
	requireVisitor(t, r.nodes, thief, "")
	r.again()
	requireVisitor(t, r.nodes, thief, "adaof ada")
	requireVisitor(t, r.nodes, bob, "bobof bob")
	requireVisitor(t, r.nodes, eve, "")
}

func redisDurable(t *testing.T) {
	r := newRedisRig(t, servers.Durable())
	ctx := t.Context()
	require.Equal(t, "yes", r.admin.ConfigGet(ctx, "appendonly").Val()["appendonly"])
	require.Equal(t, "always", r.admin.ConfigGet(ctx, "appendfsync").Val()["appendfsync"])
	ada, bob := r.known("ada"), r.known("bob")
	thief := newBrowser(t)
	thief.present(r.nodes[0], ada.credential(r.nodes[0]))
	for i := range 30 {
		bob.must(r.nodes[0], countUp)
		if i == 10 {
			ada.must(r.nodes[1], logOut)
		}
	}
	r.again()
	requireVisitor(t, r.nodes, thief, "")
	require.Equal(t, "31", bob.must(r.nodes[0], countUp))
	require.NoError(t, r.nodes[0].manager.RevokeOwner(ctx, "bob"), "the list of the owner is there too")
	requireVisitor(t, r.nodes, bob, "")
}

func redisTooLong(t *testing.T) {
	r := newRedisRig(t)
	raised := newNode(t, redisstore.New(newRedis(t, r.Addr())), func(c *session.Config) { c.MaxBytes = 4 << 20 })
	ada := r.known("ada")
	ada.must(raised, writeLetters(1<<20-1000))
	r.set("proto-max-bulk-len", "1mb")
	// Redis closes the connection, and its answer may get lost with that.
	a := ada.try(raised, writeLetters(2<<20))
	require.GreaterOrEqual(t, a.status, http.StatusInternalServerError, a.text)
	requireNoCookie(t, a)
	require.Equal(t, strconv.Itoa(1<<20-1000), ada.must(raised, readLetters))
	require.Equal(t, "1", ada.must(raised, countUp))
}
