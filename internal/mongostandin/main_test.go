package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// startStandIn returns the connection string that the program prints, and a
// function that ends it. FerretDB cannot be made twice at the same time, so the
// tests that do so are not parallel.
func startStandIn(t *testing.T, dir string) (uri string, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"-dir", dir}, w, io.Discard)
		_ = w.CloseWithError(errors.Join(err, io.EOF))
		ended <- err
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the program does not end")
		}
	})
	t.Cleanup(stop)
	line, err := bufio.NewReader(r).ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSpace(line), stop
}

func connect(t *testing.T, uri string) *mongo.Client {
	t.Helper()
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(patience))
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Disconnect(context.Background()) })
	return client
}

// What FerretDB alone gets wrong: of all that replace one version, one does.
func TestUpdatesAreAtomic(t *testing.T) {
	uri, _ := startStandIn(t, t.TempDir())
	c := connect(t, uri).Database("d").Collection("c")
	_, err := c.InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: 0}})
	require.NoError(t, err)
	const workers, each = 8, 20
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for done := 0; done < each; {
				var d struct{ N int }
				if err := c.FindOne(t.Context(), bson.D{{Key: "_id", Value: 1}}).Decode(&d); err != nil {
					t.Error(err)
					return
				}
				res, err := c.UpdateOne(t.Context(), bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: d.N}},
					bson.D{{Key: "$set", Value: bson.D{{Key: "n", Value: d.N + 1}}}})
				if err != nil {
					t.Error(err)
					return
				}
				done += int(res.MatchedCount)
			}
		})
	}
	wg.Wait()
	var d struct{ N int }
	require.NoError(t, c.FindOne(t.Context(), bson.D{{Key: "_id", Value: 1}}).Decode(&d))
	require.Equal(t, workers*each, d.N)
}

func TestIndexesThatFerretDBRefuses(t *testing.T) {
	uri, _ := startStandIn(t, t.TempDir())
	c := connect(t, uri).Database("d").Collection("c")
	names, err := c.Indexes().CreateMany(t.Context(), []mongo.IndexModel{
		{Keys: bson.D{{Key: "x", Value: 1}}, Options: options.Index().SetExpireAfterSeconds(0)},
		{Keys: bson.D{{Key: "o", Value: 1}}, Options: options.Index().SetPartialFilterExpression(bson.D{{Key: "o", Value: bson.D{{Key: "$exists", Value: true}}}})},
	})
	require.NoError(t, err)
	require.Equal(t, []string{"x_1", "o_1"}, names)
}

func TestDataIsKept(t *testing.T) {
	dir := t.TempDir()
	uri, stop := startStandIn(t, dir)
	_, err := connect(t, uri).Database("d").Collection("c").InsertOne(t.Context(), bson.D{{Key: "_id", Value: 1}})
	require.NoError(t, err)
	stop()
	uri, _ = startStandIn(t, dir)
	n, err := connect(t, uri).Database("d").Collection("c").CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}

func TestArguments(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	for want, args := range map[string][]string{
		"-dir":                   {},
		"no other arguments":     {"-dir", t.TempDir(), "more"},
		"not defined":            {"-port", "1"},
		"address already in use": {"-dir", t.TempDir(), "-listen", l.Addr().String()},
		"no-such-folder":         {"-dir", t.TempDir() + "/no-such-folder"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), args, &out, io.Discard), want)
		require.Empty(t, out.String(), "it prints a connection string only when it serves")
	}
}

func TestEndsWithItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := time.Now()
		parent := func() int {
			if time.Since(begun) > time.Minute {
				return 1
			}
			return 42
		}
		endWithParent(ctx, cancel, parent, time.Second)
		require.ErrorIs(t, ctx.Err(), context.Canceled)
		require.InDelta(t, 60, time.Since(begun).Seconds(), 2)

		ended, end := context.WithCancel(t.Context())
		end()
		endWithParent(ended, func() { t.Error("the parent is there") }, func() int { return 42 }, time.Second)
	})
}
