package mongostore_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// A record ends at its millisecond by this node's clock, for every method alike.
func TestBoundary(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	methods := map[string]func(ctx context.Context, key store.Key, r *store.Record) (live bool, err error){
		"load": func(ctx context.Context, key store.Key, _ *store.Record) (bool, error) {
			_, err := s.Load(ctx, key)
			return err == nil, err
		},
		"swap": func(ctx context.Context, key store.Key, r *store.Record) (bool, error) {
			next := *r
			next.Version = newVersion()
			_, err := s.Swap(ctx, key, r.Version, next)
			if err == nil {
				*r = next
			}
			return err == nil, err
		},
		"list": func(ctx context.Context, _ store.Key, r *store.Record) (bool, error) {
			list, err := s.ListOwner(ctx, r.Owner, store.Key{}, 1)
			return len(list) > 0, err
		},
	}
	for name, do := range methods {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := 0
			for life := 300 * time.Millisecond; seen == 0; life *= 4 { // a busy machine needs more for the insert alone
				require.Less(t, life, time.Minute)
				key, r := newKey(), newRecord("boundary "+name)
				r.Expires = time.Now().Add(life).Truncate(time.Millisecond)
				require.NoError(t, s.Insert(t.Context(), key, r))
				for {
					asked := time.Now()
					live, err := do(t.Context(), key, &r)
					answered := time.Now()
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						require.NoError(t, err)
					}
					if !live {
						require.False(t, answered.Before(r.Expires), "%v too early", r.Expires.Sub(answered))
						break
					}
					seen++
					require.True(t, asked.Before(r.Expires), "%v too late", asked.Sub(r.Expires))
				}
			}
		})
	}
}

// A touch that comes too late revives nothing.
func TestTouchAtTheBoundary(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			key, r := newKey(), newRecord("")
			r.Expires = time.Now().Add(100 * time.Millisecond).Truncate(time.Millisecond)
			if err := s.Insert(t.Context(), key, r); err != nil {
				t.Error(err)
				return
			}
			for {
				_, err := s.Load(t.Context(), key)
				if errors.Is(err, store.ErrNotFound) {
					break
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
			if err := s.Touch(t.Context(), key, r.Version, time.Now().Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if _, err := s.Load(t.Context(), key); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a touch has revived a record: %v", err)
			}
		})
	}
	wg.Wait()
}

// fill stores n documents that expired and n that live, with owner if it is not
// empty.
func fill(t testing.TB, c *mongo.Collection, n int, owner string) {
	t.Helper()
	var documents []any
	for i := range 2 * n {
		r := newRecord(owner)
		if i%2 == 0 {
			r.Expires = time.Now().Add(-time.Second)
		}
		documents = append(documents, mongostore.Document(newKey(), &r))
	}
	_, err := c.InsertMany(t.Context(), documents)
	require.NoError(t, err)
}

// Sweeps of two nodes at once remove what has expired, and nothing else.
func TestSweep(t *testing.T) {
	t.Parallel()
	long(t)
	const n = 5000
	uri := newDatabase(t)
	c := collection(t, uri)
	index(t, c)
	fill(t, c, n, "")
	var removed [2]int64
	var wg sync.WaitGroup
	for i := range removed {
		s := mongostore.New(collection(t, uri))
		wg.Go(func() {
			for {
				got, err := s.DeleteExpired(t.Context(), 1200)
				removed[i] += got
				if err != nil || got > 1200 {
					t.Errorf("DeleteExpired returned %d and the error %v", got, err)
					return
				}
				if got < 1200 {
					return
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, n, removed[0]+removed[1])
	left, err := c.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, n, left)
	live, err := c.CountDocuments(t.Context(), bson.D{{Key: "x", Value: bson.D{{Key: "$gt", Value: time.Now()}}}})
	require.NoError(t, err)
	require.EqualValues(t, n, live)
}

func TestSweepLimits(t *testing.T) {
	t.Parallel()
	c := newCollection(t)
	fill(t, c, 20, "")
	s := mongostore.New(c, mongostore.WithBatch(3))
	for _, step := range []struct {
		limit int
		want  int64
	}{{0, 0}, {-1, 0}, {1, 1}, {3, 3}, {7, 7}, {100, 9}, {100, 0}} {
		n, err := s.DeleteExpired(t.Context(), step.limit)
		require.NoError(t, err)
		require.Equal(t, step.want, n, step)
	}
}

// A node whose clock is behind lengthens the life of a record, after a sweep has
// found it.
func TestSweepSparesWhatWasLengthened(t *testing.T) {
	t.Parallel()
	uri := newDatabase(t)
	behind := collection(t, uri)
	var lengthen sync.Once
	c := collection(t, uri, func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Started: func(ctx context.Context, e *event.CommandStartedEvent) {
			if e.CommandName != "delete" {
				return
			}
			lengthen.Do(func() {
				_, err := behind.UpdateOne(ctx, bson.D{{Key: "x", Value: bson.D{{Key: "$lt", Value: time.Now()}}}},
					bson.D{{Key: "$set", Value: bson.D{{Key: "x", Value: time.Now().Add(time.Hour)}}}})
				if err != nil {
					t.Error(err)
				}
			})
		}})
	})
	fill(t, c, 3, "")
	n, err := mongostore.New(c).DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 2, n)
	left, err := c.CountDocuments(t.Context(), bson.D{})
	require.NoError(t, err)
	require.EqualValues(t, 4, left)
}

// What is no document of a store is removed like others, as the server does it:
// otherwise it would keep the sweep from all that come after it.
func TestSweepOfForeignDocuments(t *testing.T) {
	t.Parallel()
	c := newCollection(t)
	_, err := c.InsertMany(t.Context(), []any{
		bson.D{{Key: "_id", Value: "text"}, {Key: "x", Value: time.Now().Add(-time.Hour)}},
		bson.D{{Key: "_id", Value: 1}, {Key: "x", Value: 1}},
		bson.D{{Key: "_id", Value: 2}},
	})
	require.NoError(t, err)
	n, err := mongostore.New(c).DeleteExpired(t.Context(), 10)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
}
