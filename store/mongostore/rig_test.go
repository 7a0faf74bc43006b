package mongostore_test

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// patience is how long something may take that happens by itself.
const patience = 30 * time.Second

// connect returns the client of a connection string, which is disconnected with
// the test.
func connect(t testing.TB, uri string, opts ...func(*options.ClientOptions)) *mongo.Client {
	t.Helper()
	o := options.Client().ApplyURI(uri)
	for _, opt := range opts {
		opt(o)
	}
	client, err := mongo.Connect(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Disconnect(ctx); err != nil && err != mongo.ErrClientDisconnected { //nolint:errorlint // it is never wrapped
			t.Error(err)
		}
	})
	return client
}

// newDatabase returns the connection string of a new database of the shared
// server, which is dropped with the test.
func newDatabase(t testing.TB) string {
	t.Helper()
	uri := servers.MongoDB(t).Database(t)
	client := connect(t, uri)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := client.Database(databaseOf(t, uri)).Drop(ctx); err != nil {
			t.Error(err)
		}
	})
	return uri
}

// databaseOf returns the database that a connection string names. It may name
// several hosts, which makes it no URL.
func databaseOf(t testing.TB, uri string) string {
	t.Helper()
	_, rest, _ := strings.Cut(uri, "://")
	rest, _, _ = strings.Cut(rest, "?")
	_, name, found := strings.Cut(rest, "/")
	require.True(t, found)
	return name
}

// collection returns the collection for sessions of a database.
func collection(t testing.TB, uri string, opts ...func(*options.ClientOptions)) *mongo.Collection {
	t.Helper()
	return connect(t, uri, opts...).Database(databaseOf(t, uri)).Collection("sessions")
}

// newCollection returns one in a new database.
func newCollection(t testing.TB, opts ...func(*options.ClientOptions)) *mongo.Collection {
	t.Helper()
	return collection(t, newDatabase(t), opts...)
}

// newStore returns a store with its indexes, in a new database.
func newStore(t testing.TB, opts ...mongostore.Option) *mongostore.Store {
	t.Helper()
	c := newCollection(t)
	index(t, c)
	return mongostore.New(c, opts...)
}

// index creates the indexes of a collection. A real server must not remove what
// tests count.
func index(t testing.TB, c *mongo.Collection) {
	t.Helper()
	require.NoError(t, mongostore.New(c).EnsureIndexes(t.Context()))
	if !servers.MongoDB(t).StandIn() {
		require.NoError(t, c.Indexes().DropOne(t.Context(), "x_1"))
	}
}

func newKey() (key store.Key) {
	_, _ = rand.Read(key[:])
	return key
}

func newVersion() int64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return int64(binary.LittleEndian.Uint64(b[:])>>1) | 1
}

// newRecord returns one that lives for an hour.
func newRecord(owner string) store.Record {
	return store.Record{
		Data: []byte("data"), Version: newVersion(), Owner: owner,
		Expires: time.Now().Add(time.Hour).Truncate(time.Millisecond),
	}
}

// long leaves a test out where -short asks for a look only.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long")
	}
}
