package integration_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"

	"github.com/typedsession/session/internal/servers"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
	"github.com/typedsession/session/store/redisstore"
	"github.com/typedsession/session/store/sqlstore"
)

// storeSpec says which store a program opens. It can be told to another process.
type storeSpec struct {
	Driver string // of database/sql, or redis or mongodb
	DSN    string
	Name   string // of the table, or the prefix
	Behind bool   // see behind: a broken one
}

func (s storeSpec) String() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// through returns the store by another way to its server.
func (s storeSpec) through(t testing.TB, w *wire) storeSpec {
	t.Helper()
	require.Contains(t, s.DSN, w.to)
	s.DSN = strings.Replace(s.DSN, w.to, w.Addr().String(), 1)
	return s
}

// with adds parameters.
func (s storeSpec) with(params string) storeSpec {
	s.DSN = addParam(s.DSN, params)
	return s
}

// open opens the store. What it returns closes it.
func (s storeSpec) open() (st store.Store, end func() error, err error) {
	switch s.Driver {
	case "redis":
		o, err := redis.ParseURL(s.DSN)
		if err != nil {
			return nil, nil, err
		}
		o.ContextTimeoutEnabled = true
		c := redis.NewClient(o)
		return redisstore.New(c, redisstore.WithPrefix(s.Name)), c.Close, nil
	case "mongodb":
		parsed, err := connstring.ParseAndValidate(s.DSN)
		if err != nil {
			return nil, nil, err
		}
		c, err := mongo.Connect(options.Client().ApplyURI(s.DSN).SetMaxPoolSize(8))
		if err != nil {
			return nil, nil, err
		}
		end := func() error { return c.Disconnect(context.Background()) }
		return mongostore.New(c.Database(parsed.Database).Collection("sessions")), end, nil
	}
	dialect, ok := map[string]sqlstore.Dialect{"sqlite": sqlstore.SQLite, "pgx": sqlstore.PostgreSQL, "mysql": sqlstore.MySQL}[s.Driver]
	if !ok {
		return nil, nil, fmt.Errorf("no driver %q", s.Driver)
	}
	db, err := sql.Open(s.Driver, s.DSN)
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	st, err = sqlstore.New(db, dialect, sqlstore.WithTable(s.Name))
	return st, db.Close, err
}

// opened returns the store, until the test ends.
func (s storeSpec) opened(t testing.TB) store.Store {
	t.Helper()
	st, end, err := s.open()
	require.NoError(t, err)
	t.Cleanup(func() { _ = end() }) // its connections may be broken: drivers say so here
	return st
}

// faultPlace is where sessions are that things go wrong with.
type faultPlace struct {
	name   string
	server func(t testing.TB) *servers.Server // that all tests share; nil if there is none
	alone  func(t testing.TB, opts ...servers.Option) *servers.Server
	// spec returns a new place on a server. Whatever is in it ends with the test.
	spec func(t testing.TB, s *servers.Server) storeSpec
}

func sqlPlace(srv server, start func(testing.TB, ...servers.Option) *servers.Server) faultPlace {
	return faultPlace{
		name: srv.name, server: srv.shared, alone: start,
		spec: func(t testing.TB, s *servers.Server) storeSpec {
			t.Helper()
			dsn := s.Database(t)
			db := srv.open(t, dsn)
			db.SetMaxIdleConns(0) // the server may be killed meanwhile
			table := newTable(t, db)
			require.NoError(t, srv.newStore(t, db, table).Migrate(t.Context()))
			return storeSpec{Driver: srv.driver, DSN: dsn, Name: table}
		},
	}
}

var (
	postgresPlace = sqlPlace(postgres, servers.StartPostgreSQL)
	mariaPlace    = sqlPlace(maria, servers.StartMariaDB)
	redisPlace    = faultPlace{
		name: "Redis", server: servers.Redis, alone: servers.StartRedis,
		spec: func(t testing.TB, s *servers.Server) storeSpec {
			t.Helper()
			return storeSpec{Driver: "redis", DSN: "redis://" + s.DSN() + "/0?pool_size=8", Name: newPrefix(t, newRedis(t, s.DSN()))}
		},
	}
	mongoPlace = faultPlace{
		name: "MongoDB", server: servers.MongoDB, alone: servers.StartMongoDB,
		spec: func(t testing.TB, s *servers.Server) storeSpec {
			t.Helper()
			uri := s.Database(t)
			require.NoError(t, mongostore.New(newMongo(t, uri).Collection("sessions")).EnsureIndexes(t.Context()))
			t.Cleanup(func() { // on a new connection: the server may have been killed
				require.NoError(t, newMongo(t, uri).Drop(context.Background()))
			})
			return storeSpec{Driver: "mongodb", DSN: uri}
		},
	}
	sqlitePlace = faultPlace{
		name: "SQLite",
		spec: func(t testing.TB, _ *servers.Server) storeSpec {
			t.Helper()
			d := dsn(newPath(t), "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)")
			migrated(t, openSQLite(t, d))
			return storeSpec{Driver: "sqlite", DSN: d, Name: sqlstore.DefaultTable}
		},
	}
)
