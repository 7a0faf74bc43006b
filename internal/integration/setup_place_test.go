package integration_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
	"github.com/typedsession/session/store/redisstore"
)

// ownerStore is a store with an owner index.
type ownerStore interface {
	store.Store
	store.OwnerIndex
}

// costPlace is a place for sessions whose costs are in a column of docs/stores.md.
type costPlace struct {
	column string
	// node returns the store of another node, and how many statements, round trips or
	// commands of it there have been so far.
	node func(t *testing.T) (ownerStore, func() int)
}

// onCostPlaces runs a test with a way to make places, for each database.
func onCostPlaces(t *testing.T, test func(t *testing.T, open func(t *testing.T) costPlace)) {
	t.Helper()
	for name, open := range map[string]func(t *testing.T) costPlace{
		postgres.name: postgres.costPlace, maria.name: maria.costPlace,
		"SQLite": sqliteCostPlace, "Redis": redisCostPlace, "MongoDB": mongoCostPlace,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

func (srv server) costPlace(t *testing.T) costPlace {
	t.Helper()
	sub := srv.newSubject(t)
	return costPlace{"SQL", func(t *testing.T) (ownerStore, func() int) {
		t.Helper()
		s, to := tapped(t, sub)
		return s, func() int {
			to.mu.Lock()
			defer to.mu.Unlock()
			return len(to.ran)
		}
	}}
}

func sqliteCostPlace(t *testing.T) costPlace {
	t.Helper()
	path := newPath(t)
	migrated(t, openSQLite(t, dsn(path, recommended)))
	return costPlace{"SQL", func(t *testing.T) (ownerStore, func() int) {
		t.Helper()
		s, rec := recorded(t, openSQLite(t, dsn(path, recommended)))
		return s, rec.count
	}}
}

func redisCostPlace(t *testing.T) costPlace {
	t.Helper()
	addr := servers.Redis(t).DSN()
	prefix := redisstore.WithPrefix(newPrefix(t, newRedis(t, addr)))
	return costPlace{"Redis", func(t *testing.T) (ownerStore, func() int) {
		t.Helper()
		c := newRedis(t, addr)
		s := redisstore.New(c, prefix)
		warm(t, s)
		trips := &redisTrips{}
		c.AddHook(trips)
		return s, func() int { return int(trips.Load()) }
	}}
}

// warm opens a connection, and lets the server know the scripts.
func warm(t *testing.T, s ownerStore) {
	t.Helper()
	ctx, k := t.Context(), store.Key{0: 2}
	require.NoError(t, s.Insert(ctx, k, owned(1, "warm")))
	require.NoError(t, s.Touch(ctx, k, 1, time.Now().Add(90*time.Minute)))
	_, err := s.Swap(ctx, k, 1, owned(2, "warm"))
	require.NoError(t, err)
	_, err = s.DeleteOwner(ctx, "warm")
	require.NoError(t, err)
}

// redisTrips counts the round trips of a client.
type redisTrips struct{ atomic.Int64 }

func (n *redisTrips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (n *redisTrips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		n.Add(1)
		return next(ctx, cmd)
	}
}

func (n *redisTrips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		n.Add(1)
		return next(ctx, cmds)
	}
}

func mongoCostPlace(t *testing.T) costPlace {
	t.Helper()
	uri := servers.MongoDB(t).Database(t)
	mongoSite(t, uri)
	return costPlace{"MongoDB", func(t *testing.T) (ownerStore, func() int) {
		t.Helper()
		var sent atomic.Int64
		monitor := &event.CommandMonitor{Started: func(context.Context, *event.CommandStartedEvent) { sent.Add(1) }}
		db := newMongo(t, uri, func(o *options.ClientOptions) { o.SetMonitor(monitor) })
		return mongostore.New(db.Collection("sessions")), func() int { return int(sent.Load()) }
	}}
}
