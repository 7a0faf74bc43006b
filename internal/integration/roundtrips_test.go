package integration_test

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
	"github.com/typedsession/session/store/mongostore"
	"github.com/typedsession/session/store/redisstore"
)

// tripMeter counts what a store costs.
type tripMeter struct {
	name string
	// open returns two stores of one site. took returns what the first has cost
	// since it was asked last.
	open func(t *testing.T) (counted, other store.Store, took func() int)
	want func(c *tripCase) int
	cold bool // the first time costs no more
}

func inCalls(c *tripCase) int { return c.calls }

func inStatements(c *tripCase) int { return c.statements }

func inRedis(c *tripCase) int { return cmp.Or(c.redis, c.calls) }

func inMongo(c *tripCase) int { return cmp.Or(c.mongo, c.calls) }

// tripMeters: through a connection, a statement is one round trip.
var tripMeters = []tripMeter{
	{"memory, calls", tripMemory, inCalls, true},
	{"SQLite, statements", tripSQLite, inStatements, true},
	{"PostgreSQL, round trips", tripServer(postgres, servers.PostgreSQL, ""), inStatements, false},
	{"PostgreSQL, round trips, exec", tripServer(postgres, servers.PostgreSQL, "default_query_exec_mode=exec"), inStatements, true},
	{"MariaDB, round trips", tripServer(maria, servers.MariaDB, ""), inStatements, false},
	{"Redis, round trips", tripRedis, inRedis, false},
	{"MongoDB, commands", tripMongo, inMongo, true},
}

func tripMemory(*testing.T) (counted, other store.Store, took func() int) {
	inner := memory.New()
	c := &countedOwners{Store: spy.Wrap(inner), owners: inner}
	return c, inner, func() int { return len(c.Calls()) + int(c.calls.Swap(0)) }
}

// countedOwners is a spy with an owner index.
type countedOwners struct {
	*spy.Store
	owners store.OwnerIndex
	calls  atomic.Int64
}

func (c *countedOwners) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	c.calls.Add(1)
	return c.owners.ListOwner(ctx, owner, after, limit)
}

func (c *countedOwners) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	c.calls.Add(1)
	return c.owners.DeleteOwner(ctx, owner, except...)
}

func tripSQLite(t *testing.T) (counted, other store.Store, took func() int) {
	db := openSQLite(t, dsn(newPath(t), recommended))
	other = migrated(t, db)
	counted, rec := recorded(t, db)
	last := rec.count()
	return counted, other, func() int {
		n := rec.count() - last
		last += n
		return n
	}
}

func tripServer(srv server, start func(testing.TB) *servers.Server, params string) func(*testing.T) (store.Store, store.Store, func() int) {
	return func(t *testing.T) (counted, other store.Store, took func() int) {
		s := start(t)
		if !s.Own() {
			t.Skip("its address is not known")
		}
		sub := srv.newSubject(t)
		require.Contains(t, sub.dsn, s.Addr())
		w := newWire(t, s.Addr())
		db := srv.open(t, addParam(strings.Replace(sub.dsn, s.Addr(), w.Addr().String(), 1), params))
		db.SetMaxOpenConns(1) // a second one would greet too
		return srv.newStore(t, db, sub.table), sub.another(t), w.took
	}
}

func tripRedis(t *testing.T) (counted, other store.Store, took func() int) {
	s := servers.Redis(t)
	if !s.Own() {
		t.Skip("its address is not known")
	}
	w := newWire(t, s.Addr())
	c := redis.NewClient(&redis.Options{Addr: w.Addr().String(), PoolSize: 1}) // a second one would greet too
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	there := newRedis(t, s.Addr())
	prefix := redisstore.WithPrefix(newPrefix(t, there))
	return redisstore.New(c, prefix), redisstore.New(there, prefix), w.took
}

// tripMongo counts commands: the driver also talks to servers about themselves.
func tripMongo(t *testing.T) (counted, other store.Store, took func() int) {
	uri := servers.MongoDB(t).Database(t)
	place := mongoSite(t, uri)
	var sent atomic.Int64
	monitor := &event.CommandMonitor{Started: func(context.Context, *event.CommandStartedEvent) { sent.Add(1) }}
	counted = mongostore.New(newMongo(t, uri, func(o *options.ClientOptions) { o.SetMonitor(monitor) }).Collection("sessions"))
	return counted, place.node(t), func() int { return int(sent.Swap(0)) }
}

// tripRig is where a case is counted.
type tripRig struct {
	t       *testing.T
	node    *node // counted
	other   *node // another one
	visitor *browser
}

// What a request costs, exactly.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, m := range tripMeters {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			counted, other, took := m.open(t)
			calm := tripRig{t: t, node: newNode(t, counted, tripConfig), other: newNode(t, other, tripConfig)}
			soon := tripRig{t: t, node: newNode(t, counted, tripSoon), other: newNode(t, other, tripSoon)}
			for i := range tripCases {
				c := &tripCases[i]
				// pgx asks whether a connection lives that was not used for a second.
				rig, most := calm, 900*time.Millisecond
				if c.soon { // the next touch would be due
					rig, most = soon, tripSoonLife/10+tripSoonLife/12
				}
				if !m.cold { // statements are prepared when they are run first
					rig.run(c)
				}
				n, slow := 0, true
				for try := 0; slow && try < 20; try++ {
					begun := time.Now()
					n = rig.count(c, took)
					slow = time.Since(begun) > most
				}
				require.False(t, slow, "this machine is too slow")
				want := m.want(c)
				if c.marks {
					want += tripMarks(time.Now())
				}
				require.Equal(t, want, n, c.name)
			}
		})
	}
}

// tripMarks is what RevokeOwner costs more around midnight, when an owner has a
// mark of two days.
func tripMarks(now time.Time) int {
	if hour := now.UTC().Hour(); hour == 23 || hour == 0 {
		return 2
	}
	return 0
}

func tripConfig(c *session.Config) {
	c.Grace, c.MinRotate = time.Millisecond, time.Millisecond
	c.Expiry = session.OnInactivity(tripLife)
}

const tripLife, tripSoonLife = time.Hour, 3 * time.Second

// tripSoon makes a touch due soon.
func tripSoon(c *session.Config) {
	tripConfig(c)
	c.Expiry = session.OnInactivity(tripSoonLife)
}

// run sends the request of a case.
func (r *tripRig) run(c *tripCase) {
	r.t.Helper()
	r.count(c, func() int { return 0 })
}

// count returns what the request of a case has cost.
func (r *tripRig) count(c *tripCase, took func() int) int {
	r.t.Helper()
	r.visitor = newBrowser(r.t)
	page := c.setup(r)
	took()
	a := r.visitor.try(r.node, page)
	n := took()
	want := c.status
	if want == 0 {
		want = http.StatusOK
	}
	require.Equal(r.t, want, a.status, "%s: %s %v", c.name, a.text, a.failed)
	return n
}
