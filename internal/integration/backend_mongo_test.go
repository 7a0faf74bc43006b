package integration_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

func mongoBackend() backend {
	return backend{
		name: "MongoDB",
		site: func(t testing.TB) *site {
			t.Helper()
			uri, addr := servers.MongoDB(t).Database(t), servers.MongoDB(t).Addr()
			s := mongoSite(t, uri)
			s.addr, s.at = addr, func(t testing.TB, other string) store.Store {
				t.Helper()
				return mongostore.New(newMongo(t, strings.Replace(uri, addr, other, 1)).Collection("sessions"))
			}
			return s
		},
		alone: func(t testing.TB) (*site, *servers.Server) {
			t.Helper()
			s := servers.StartMongoDB(t, servers.Durable())
			return mongoSite(t, s.Database(t)+"?serverSelectionTimeoutMS=200"), s
		},
	}
}

// mongoSite is a database of its own, which is dropped at the end of the test.
func mongoSite(t testing.TB, uri string) *site {
	t.Helper()
	first := newMongo(t, uri)
	require.NoError(t, mongostore.New(first.Collection("sessions")).EnsureIndexes(t.Context()))
	t.Cleanup(func() { require.NoError(t, first.Drop(context.Background())) })
	return &site{node: func(t testing.TB) store.Store {
		t.Helper()
		return mongostore.New(newMongo(t, uri).Collection("sessions"))
	}}
}

// newMongo connects to the database that a URI names.
func newMongo(t testing.TB, uri string, change ...func(*options.ClientOptions)) *mongo.Database {
	t.Helper()
	parsed, err := connstring.ParseAndValidate(uri)
	require.NoError(t, err)
	o := options.Client().ApplyURI(uri).SetMaxPoolSize(8)
	for _, f := range change {
		f(o)
	}
	c, err := mongo.Connect(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Disconnect(context.Background())) })
	return c.Database(parsed.Database)
}
