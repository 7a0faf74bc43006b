package mongostore_test

import (
	"bytes"
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// recorder notes the commands of a client.
type recorder struct {
	mu   sync.Mutex
	sent []bson.Raw
}

func (r *recorder) watch(o *options.ClientOptions) {
	o.SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent = append(r.sent, bytes.Clone(e.Command))
	}})
}

// take returns what was sent since it was called last.
func (r *recorder) take() []bson.Raw {
	r.mu.Lock()
	defer r.mu.Unlock()
	sent := r.sent
	r.sent = nil
	return sent
}

func names(commands []bson.Raw) []string {
	list := []string{}
	for _, c := range commands {
		list = append(list, c.Index(0).Key())
	}
	return list
}

// What each operation sends: how many commands, and none that could create a
// record or change one regardless of what is there.
func TestCommands(t *testing.T) {
	t.Parallel()
	var rec recorder
	c := newCollection(t, rec.watch)
	s := mongostore.New(c, mongostore.WithBatch(2))
	ctx := t.Context()
	key, r, next := newKey(), newRecord(""), newRecord("ada")
	steps := []struct {
		name string
		want []string
		do   func() error
	}{
		{"insert", []string{"insert"}, func() error { return s.Insert(ctx, key, r) }},
		{"insert again", []string{"insert"}, func() error {
			require.ErrorIs(t, s.Insert(ctx, key, r), store.ErrExists)
			return nil
		}},
		{"load", []string{"find"}, func() error { _, err := s.Load(ctx, key); return err }},
		{"load nothing", []string{"find"}, func() error {
			_, err := s.Load(ctx, newKey())
			require.ErrorIs(t, err, store.ErrNotFound)
			return nil
		}},
		{"swap", []string{"update"}, func() error { _, err := s.Swap(ctx, key, r.Version, next); return err }},
		{"swap again", []string{"update", "find"}, func() error { _, err := s.Swap(ctx, key, r.Version, next); return err }},
		{"swap another version", []string{"update", "find"}, func() error {
			cur, err := s.Swap(ctx, key, r.Version, newRecord(""))
			require.ErrorIs(t, err, store.ErrConflict)
			require.Equal(t, next.Version, cur.Version)
			return nil
		}},
		{"swap nothing", []string{"update", "find"}, func() error {
			_, err := s.Swap(ctx, newKey(), 1, next)
			require.ErrorIs(t, err, store.ErrNotFound)
			return nil
		}},
		{"touch", []string{"update"}, func() error { return s.Touch(ctx, key, next.Version, time.Now().Add(2*time.Hour)) }},
		{"touch nothing", []string{"update"}, func() error { return s.Touch(ctx, newKey(), 1, time.Now()) }},
		{"list", []string{"find"}, func() error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 1); return err }},
		{"list all", []string{"find"}, func() error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 10); return err }},
		{"list nobody", []string{}, func() error { _, err := s.ListOwner(ctx, "", store.Key{}, 10); return err }},
		{"delete nobody", []string{}, func() error { _, err := s.DeleteOwner(ctx, ""); return err }},
		{"delete owner", []string{"find", "delete"}, func() error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
		{"delete owner of none", []string{"find"}, func() error { _, err := s.DeleteOwner(ctx, "ada"); return err }},
		{"sweep of none", []string{"find"}, func() error { _, err := s.DeleteExpired(ctx, 10); return err }},
		{"sweep", []string{"find", "delete", "find", "delete"}, func() error {
			fill(t, c, 3, "")
			rec.take()
			_, err := s.DeleteExpired(ctx, 10)
			return err
		}},
		{"delete", []string{"delete"}, func() error { return s.Delete(ctx, key) }},
		{"indexes", []string{"createIndexes", "createIndexes"}, func() error { return s.EnsureIndexes(ctx) }},
	}
	for _, step := range steps {
		rec.take()
		require.NoError(t, step.do(), step.name)
		sent := rec.take()
		require.Equal(t, step.want, names(sent), step.name)
		for _, command := range sent {
			requireHarmless(t, command)
		}
	}
}

// requireHarmless checks what is true of all commands.
func requireHarmless(t *testing.T, command bson.Raw) {
	t.Helper()
	text := command.String()
	name := command.Index(0).Key()
	if name != "find" {
		require.Equal(t, "majority", command.Lookup("writeConcern", "w").StringValue(), text)
	}
	require.NotContains(t, text, `"upsert": true`)
	require.NotContains(t, text, "secondary")
	require.NotContains(t, text, "startTransaction")
	updates, ok := command.Lookup("updates").ArrayOK()
	if !ok {
		return
	}
	values, err := updates.Values()
	require.NoError(t, err)
	require.Len(t, values, 1)
	update := values[0].Document()
	for _, condition := range []string{"_id", "v", "x"} {
		_, err := update.LookupErr("q", condition)
		require.NoError(t, err, "an update without %s: %s", condition, text)
	}
	elements, err := update.Lookup("u").Document().Elements()
	require.NoError(t, err)
	for _, e := range elements {
		require.Contains(t, []string{"$set", "$unset", "$max"}, e.Key())
	}
}

// Whatever the collection was configured to do: only its read concern stays.
func TestConcerns(t *testing.T) {
	t.Parallel()
	var rec recorder
	c := newCollection(t, rec.watch).Clone(options.Collection().
		SetWriteConcern(writeconcern.Unacknowledged()).
		SetReadPreference(readpref.Secondary()).
		SetReadConcern(readconcern.Majority()))
	s := mongostore.New(c)
	key, r := newKey(), newRecord("ada")
	require.NoError(t, s.Insert(t.Context(), key, r))
	_, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	sent := rec.take()
	require.Equal(t, []string{"insert", "find"}, names(sent))
	require.Equal(t, "majority", sent[0].Lookup("writeConcern", "w").StringValue())
	require.Equal(t, "majority", sent[1].Lookup("readConcern", "level").StringValue())

	// A replica set that has a primary and nothing else.
	f := startFake(t, func(string, int) bson.D {
		return ok(bson.E{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "shop.sessions"}, {Key: "firstBatch", Value: bson.A{}}}})
	})
	c = collection(t, f.uri(), func(o *options.ClientOptions) {
		o.SetReadPreference(readpref.Secondary()).SetServerSelectionTimeout(patience / 10)
	})
	_, err = mongostore.New(c).Load(t.Context(), key)
	require.ErrorIs(t, err, store.ErrNotFound, "it was asked")
}

// An operation is not part of a transaction that its context carries, or it would
// be undone with it.
func TestNoPartOfATransaction(t *testing.T) {
	t.Parallel()
	var rec recorder
	f := startFake(t, func(string, int) bson.D { return ok() })
	c := collection(t, f.uri(), rec.watch)
	session, err := c.Database().Client().StartSession()
	require.NoError(t, err)
	defer session.EndSession(context.WithoutCancel(t.Context()))
	require.NoError(t, session.StartTransaction())
	ctx := mongo.NewSessionContext(t.Context(), session)
	require.NoError(t, mongostore.New(c).Delete(ctx, newKey()))
	sent := rec.take()
	require.Equal(t, []string{"delete"}, names(sent))
	_, err = sent[0].LookupErr("startTransaction")
	require.Error(t, err)
	require.Equal(t, "majority", sent[0].Lookup("writeConcern", "w").StringValue())
	require.NotEqual(t, session.ID().Lookup("id").String(), sent[0].Lookup("lsid", "id").String())
}

// The program's own ways with types do not reach the documents.
func TestRegistryOfTheClient(t *testing.T) {
	t.Parallel()
	c := newCollection(t, func(o *options.ClientOptions) {
		o.SetBSONOptions(&options.BSONOptions{IntMinSize: true, NilByteSliceAsEmpty: true, StringifyMapKeysWithFmt: true})
		r := bson.NewRegistry()
		r.RegisterTypeEncoder(reflect.TypeFor[bson.Binary](), bson.ValueEncoderFunc(func(_ bson.EncodeContext, w bson.ValueWriter, _ reflect.Value) error {
			return w.WriteString("something else")
		}))
		o.SetRegistry(r)
	})
	s := mongostore.New(c)
	key, r := newKey(), newRecord("ada")
	r.Version = 1
	require.NoError(t, s.Insert(t.Context(), key, r))
	got, err := s.Load(t.Context(), key)
	require.NoError(t, err)
	require.Equal(t, r.Owner, got.Owner)
	require.Equal(t, r.Data, got.Data)
}

func TestIndexes(t *testing.T) {
	t.Parallel()
	var rec recorder
	c := newCollection(t, rec.watch)
	s := mongostore.New(c)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2 {
				if err := s.EnsureIndexes(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	created := map[string]bson.Raw{}
	sent := rec.take()
	require.Len(t, sent, 8*2*2)
	for _, command := range sent {
		one := command.Lookup("indexes", "0").Document()
		created[one.Lookup("name").StringValue()] = one
	}
	x, o := created["x_1"], created["o_1__id_1"]
	require.JSONEq(t, `{"x": {"$numberInt": "1"}}`, x.Lookup("key").String())
	require.EqualValues(t, 0, x.Lookup("expireAfterSeconds").AsInt64())
	require.JSONEq(t, `{"o": {"$numberInt": "1"}, "_id": {"$numberInt": "1"}}`, o.Lookup("key").String())
	require.JSONEq(t, `{"o": {"$exists": true}}`, o.Lookup("partialFilterExpression").String())

	cursor, err := c.Indexes().List(t.Context())
	require.NoError(t, err)
	var found []struct{ Name string }
	require.NoError(t, cursor.All(t.Context(), &found))
	var all []string
	for _, f := range found {
		all = append(all, f.Name)
	}
	slices.Sort(all)
	require.Equal(t, []string{"_id_", "o_1__id_1", "x_1"}, all)
}

// An index that somebody has made in another way is an error, and does not keep
// the other one away.
func TestIndexThatConflicts(t *testing.T) {
	t.Parallel()
	c := newCollection(t)
	_, err := c.Indexes().CreateOne(t.Context(), mongo.IndexModel{Keys: bson.D{{Key: "x", Value: 1}}, Options: options.Index().SetName("mine")})
	require.NoError(t, err)
	err = mongostore.New(c).EnsureIndexes(t.Context())
	var of *mongostore.ServerError
	require.ErrorAs(t, err, &of)
	require.Equal(t, 85, of.Code)
	require.NotErrorIs(t, err, store.ErrRefused)
	list, err := c.Indexes().ListSpecifications(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 3)
}
