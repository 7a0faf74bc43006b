package mongostore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
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

// private is what servers quote in messages and what must not be in an error.
const private = "what is private"

func commandError(code int, name string, labels ...string) bson.D {
	return bson.D{
		{Key: "ok", Value: 0.0},
		{Key: "code", Value: int32(code)},
		{Key: "codeName", Value: name},
		{Key: "errmsg", Value: "cannot do " + private},
		{Key: "errorLabels", Value: labels},
	}
}

func writeError(code int, more ...bson.E) bson.D {
	e := bson.D{
		{Key: "index", Value: int32(0)},
		{Key: "code", Value: int32(code)},
		{Key: "errmsg", Value: private},
		{Key: "errInfo", Value: bson.D{{Key: "consideredValue", Value: private}}},
	}
	return bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(0)}, {Key: "writeErrors", Value: bson.A{append(e, more...)}}}
}

func concernError() bson.E {
	return bson.E{Key: "writeConcernError", Value: bson.D{
		{Key: "code", Value: int32(64)}, {Key: "codeName", Value: "WriteConcernTimeout"}, {Key: "errmsg", Value: private},
	}}
}

// onFake returns a store on a server that gives these answers; the last one again
// and again.
func onFake(t *testing.T, answers ...bson.D) (*mongostore.Store, *fake) {
	t.Helper()
	f := startFake(t, func(_ string, n int) bson.D { return answers[min(n, len(answers)-1)] })
	return mongostore.New(collection(t, f.uri())), f
}

// What an error of the server says about the outcome of a write. With a deadline
// the driver repeats a write as often as it can, and what comes last says nothing
// about what came before.
func TestClasses(t *testing.T) {
	t.Parallel()
	const unwritten, again = "NoWritesPerformed", "RetryableWriteError"
	type class struct {
		answers []bson.D
		refused bool
		sent    int
		code    int
	}
	one := func(refused bool, code int, d bson.D) class { return class{[]bson.D{d}, refused, 1, code} }
	cases := map[string]class{
		"unauthorized":                 one(false, 13, commandError(13, "Unauthorized")),
		"validation":                   one(false, 121, writeError(121)),
		"too large":                    one(true, 10334, writeError(10334)),
		"of a view":                    one(false, 166, commandError(166, "CommandNotSupportedOnView")),
		"cannot be read":               one(true, 9, commandError(9, "FailedToParse")),
		"without a code":               one(false, -1, bson.D{{Key: "ok", Value: 0.0}, {Key: "errmsg", Value: private}}),
		"interrupted":                  one(false, 11601, commandError(11601, "Interrupted")),
		"out of disk space":            one(false, 14031, commandError(14031, "OutOfDiskSpace")),
		"time is over":                 one(false, 50, commandError(50, "MaxTimeMSExpired")),
		"conflict":                     one(false, 112, commandError(112, "WriteConflict")),
		"write concern":                one(false, 64, ok(concernError())),
		"write concern, nothing found": one(false, 64, bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(0)}, concernError()}),
		"validation and write concern": one(false, 64, append(writeError(121), concernError())),
		"no primary":                   {[]bson.D{commandError(10107, "NotWritablePrimary", again)}, false, 2, 10107},
		"no primary, nothing written":  {[]bson.D{commandError(10107, "NotWritablePrimary", again, unwritten)}, false, 2, 10107},
		"shut down, nothing written":   {[]bson.D{commandError(91, "ShutdownInProgress", again, unwritten)}, false, 2, 91},
		"lost, then no primary":        {[]bson.D{nil, commandError(10107, "NotWritablePrimary", again, unwritten)}, false, 2, 0},
		"lost, then unauthorized":      {[]bson.D{nil, commandError(13, "Unauthorized")}, false, 2, 13},
		"lost, then too large":         {[]bson.D{nil, writeError(10334)}, true, 2, 10334},
		"lost twice":                   {[]bson.D{nil}, false, 2, 0},
		"no primary, then lost":        {[]bson.D{commandError(10107, "NotWritablePrimary", again, unwritten), nil}, false, 2, 0},
	}
	operations := map[string]func(ctx context.Context, s *mongostore.Store) error{
		"insert": func(ctx context.Context, s *mongostore.Store) error {
			return s.Insert(ctx, newKey(), newRecord(private))
		},
		"swap": func(ctx context.Context, s *mongostore.Store) error {
			_, err := s.Swap(ctx, newKey(), 1, newRecord(private))
			return err
		},
		"touch":  func(ctx context.Context, s *mongostore.Store) error { return s.Touch(ctx, newKey(), 1, time.Now()) },
		"delete": func(ctx context.Context, s *mongostore.Store) error { return s.Delete(ctx, newKey()) },
	}
	check := func(t *testing.T, ctx context.Context, c class, op string) { //nolint:revive // the context belongs to the case
		t.Helper()
		s, f := onFake(t, c.answers...)
		err := operations[op](ctx, s)
		require.Error(t, err)
		require.NoError(t, ctx.Err())
		require.Equal(t, c.refused, errors.Is(err, store.ErrRefused), "%v", err)
		require.Len(t, f.commands(), c.sent)
		requireNoAnswer(t, err)
		require.ErrorContains(t, err, "mongostore: "+op+": ")
		var of *mongostore.ServerError
		require.Equal(t, c.code != 0, errors.As(err, &of))
		if c.code != 0 {
			require.Equal(t, max(c.code, 0), of.Code)
			require.Equal(t, c.code == 64, of.WriteConcern)
			require.ErrorContains(t, err, of.Error())
		}
	}
	for name, c := range cases {
		for op := range operations {
			t.Run(name+"/"+op, func(t *testing.T) {
				t.Parallel()
				check(t, t.Context(), c, op)
			})
			t.Run(name+"/"+op+"/deadline", func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				longer := c
				if c.sent > 1 && !c.refused && c.code != 13 { // otherwise it would be repeated until the end
					longer.answers = append(slices.Clone(c.answers), commandError(13, "Unauthorized"))
					longer.sent, longer.code = len(longer.answers), 13
				}
				check(t, ctx, longer, op)
			})
		}
	}
	t.Run("reads are not refused", func(t *testing.T) {
		t.Parallel()
		s, _ := onFake(t, commandError(13, "Unauthorized"))
		_, err := s.Load(t.Context(), newKey())
		require.ErrorContains(t, err, "13 (Unauthorized)")
		require.NotErrorIs(t, err, store.ErrRefused)
		_, err = s.ListOwner(t.Context(), "ada", store.Key{}, 1)
		require.ErrorContains(t, err, "13 (Unauthorized)")
		require.NotErrorIs(t, err, store.ErrRefused)
		requireNoAnswer(t, err)
	})
}

// requireNoAnswer checks that an error is no answer about a record, and that no
// error in it shows anything of one.
func requireNoAnswer(t *testing.T, err error) {
	t.Helper()
	require.NotErrorIs(t, err, store.ErrNotFound)
	require.NotErrorIs(t, err, store.ErrExists)
	require.NotErrorIs(t, err, store.ErrConflict)
	var shown func(err error)
	shown = func(err error) {
		require.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), private)
		switch e := err.(type) { //nolint:errorlint // each error of the tree is looked at
		case interface{ Unwrap() error }:
			if next := e.Unwrap(); next != nil {
				shown(next)
			}
		case interface{ Unwrap() []error }:
			for _, next := range e.Unwrap() {
				shown(next)
			}
		}
	}
	shown(err)
}

// A write whose answer was lost is sent again by the driver, with the number by
// which a server knows that it has done it.
func TestLostAnswerIsAskedForAgain(t *testing.T) {
	t.Parallel()
	s, f := onFake(t, nil, ok())
	require.NoError(t, s.Insert(t.Context(), newKey(), newRecord("")))
	require.Equal(t, []string{"insert", "insert"}, f.commands())
}

func TestDuplicateKeys(t *testing.T) {
	t.Parallel()
	pattern := func(field string) bson.E {
		return bson.E{Key: "keyPattern", Value: bson.D{{Key: field, Value: int32(1)}}}
	}
	for name, c := range map[string]struct {
		answer  bson.D
		exists  bool
		refused bool
	}{
		"of the key":          {writeError(11000, pattern("_id")), true, false},
		"of an old server":    {writeError(11000), true, false},
		"of another index":    {writeError(11000, pattern("o")), false, false},
		"and a write concern": {append(writeError(11000, pattern("_id")), concernError()), false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := onFake(t, c.answer)
			err := s.Insert(t.Context(), newKey(), newRecord(""))
			require.Error(t, err)
			require.Equal(t, c.exists, errors.Is(err, store.ErrExists))
			require.Equal(t, c.refused, errors.Is(err, store.ErrRefused))
			require.NotContains(t, err.Error(), private)
		})
	}
}

// Only what comes first can be refused: then something was deleted.
func TestDeletingManyIsRefusedOnlyAtFirst(t *testing.T) {
	t.Parallel()
	found := func(keys ...store.Key) bson.D {
		var batch bson.A
		for _, key := range keys {
			batch = append(batch, bson.D{{Key: "_id", Value: bson.Binary{Data: key[:]}}, {Key: "x", Value: bson.NewDateTimeFromTime(time.Now().Add(time.Hour))}})
		}
		return ok(bson.E{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "shop.sessions"}, {Key: "firstBatch", Value: batch}}})
	}
	for first, answers := range map[bool][]bson.D{
		true:  {found(newKey()), commandError(73, "InvalidNamespace")},
		false: {found(newKey()), ok(), found(newKey()), commandError(73, "InvalidNamespace")},
	} {
		for range 2 {
			f := startFake(t, func(_ string, n int) bson.D { return answers[min(n, len(answers)-1)] })
			s := mongostore.New(collection(t, f.uri()), mongostore.WithBatch(1))
			for _, do := range []func() (int64, error){
				func() (int64, error) { return s.DeleteOwner(t.Context(), "ada") },
				func() (int64, error) { return s.DeleteExpired(t.Context(), 10) },
			} {
				f.mu.Lock()
				f.seen = nil
				f.mu.Unlock()
				n, err := do()
				require.Equal(t, first, n == 0)
				require.ErrorContains(t, err, "73 (InvalidNamespace)")
				require.Equal(t, first, errors.Is(err, store.ErrRefused))
				requireNoAnswer(t, err)
			}
		}
	}
}

// Reads that go on to show what was deleted do not keep a call busy for ever.
func TestDeletingWhatStays(t *testing.T) {
	t.Parallel()
	key := newKey()
	batch := bson.A{bson.D{{Key: "_id", Value: bson.Binary{Data: key[:]}}, {Key: "x", Value: bson.NewDateTimeFromTime(time.Now().Add(time.Hour))}}}
	f := startFake(t, func(name string, _ int) bson.D {
		if name == "find" {
			return ok(bson.E{Key: "cursor", Value: bson.D{{Key: "id", Value: int64(0)}, {Key: "ns", Value: "shop.sessions"}, {Key: "firstBatch", Value: batch}}})
		}
		return bson.D{{Key: "ok", Value: 1.0}, {Key: "n", Value: int32(0)}}
	})
	s := mongostore.New(collection(t, f.uri()))
	for name, do := range map[string]func(ctx context.Context) (int64, error){
		"delete owner": func(ctx context.Context) (int64, error) { return s.DeleteOwner(ctx, "ada") },
		"sweep":        func(ctx context.Context) (int64, error) { return s.DeleteExpired(ctx, 5) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := do(t.Context())
			require.Zero(t, n)
			require.ErrorContains(t, err, "stays")
			require.NotErrorIs(t, err, store.ErrRefused)

			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, err = do(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
}

func TestNoServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	require.NoError(t, l.Close())
	quick := func(o *options.ClientOptions) { o.SetServerSelectionTimeout(200 * time.Millisecond) }
	s := mongostore.New(collection(t, "mongodb://ada:"+private[:4]+"secret@"+addr+"/shop", quick))
	err = s.Insert(t.Context(), newKey(), newRecord(""))
	require.ErrorIs(t, err, store.ErrRefused)
	require.NotContains(t, err.Error(), "secret")
	_, err = s.Load(t.Context(), newKey())
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrRefused)
	requireNoAnswer(t, err)

	// The context's end comes first.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = s.Insert(ctx, newKey(), newRecord(""))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NotErrorIs(t, err, store.ErrRefused)
	require.NotContains(t, err.Error(), "secret")
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(name string, _ int) bson.D {
		if name == "saslStart" {
			return commandError(18, "AuthenticationFailed")
		}
		return ok()
	})
	uri := strings.Replace(f.uri(), "mongodb://", "mongodb://ada:secret@", 1) + "&authMechanism=SCRAM-SHA-256"
	s := mongostore.New(collection(t, uri))
	for range 2 {
		err := s.Insert(t.Context(), newKey(), newRecord(""))
		require.ErrorIs(t, err, store.ErrRefused)
		require.NotContains(t, fmt.Sprintf("%+v", err), "secret")
		requireNoAnswer(t, err)
	}
	require.NotContains(t, f.commands(), "insert")
}

// A handshake that breaks has not carried a write.
func TestBrokenHandshake(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(name string, _ int) bson.D {
		if name == "saslStart" {
			return nil
		}
		return ok()
	})
	uri := strings.Replace(f.uri(), "mongodb://", "mongodb://ada:secret@", 1) + "&authMechanism=SCRAM-SHA-256"
	s := mongostore.New(collection(t, uri))
	err := s.Insert(t.Context(), newKey(), newRecord(""))
	require.ErrorIs(t, err, store.ErrRefused)
	require.NotContains(t, err.Error(), "secret")
	require.NotContains(t, f.commands(), "insert")
}

func TestNoFreeConnection(t *testing.T) {
	t.Parallel()
	arrived, proceed := make(chan struct{}), make(chan struct{})
	f := startFake(t, func(_ string, n int) bson.D {
		if n == 0 {
			close(arrived)
			<-proceed
		}
		return ok()
	})
	one := func(o *options.ClientOptions) { o.SetMaxPoolSize(1).SetServerSelectionTimeout(200 * time.Millisecond) }
	s := mongostore.New(collection(t, f.uri(), one))
	first := make(chan error, 1)
	go func() { first <- s.Delete(t.Context(), newKey()) }()
	<-arrived
	err := s.Insert(t.Context(), newKey(), newRecord(""))
	close(proceed)
	require.NoError(t, <-first)
	require.ErrorIs(t, err, store.ErrRefused)
	require.Equal(t, []string{"delete"}, f.commands())
}

func TestClosedClient(t *testing.T) {
	t.Parallel()
	c := collection(t, "mongodb://127.0.0.1:1/shop")
	require.NoError(t, c.Database().Client().Disconnect(t.Context()))
	s := mongostore.New(c)
	err := s.Insert(t.Context(), newKey(), newRecord(""))
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorIs(t, err, mongo.ErrClientDisconnected)
	_, err = s.Load(t.Context(), newKey())
	require.ErrorIs(t, err, mongo.ErrClientDisconnected)
	requireNoAnswer(t, err)
}

// A context that has ended when an answer comes is what the error is about.
func TestContextEndsBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	f := startFake(t, func(string, int) bson.D { return commandError(13, "Unauthorized") })
	ctx, cancel := context.WithCancel(t.Context())
	s := mongostore.New(collection(t, f.uri(), func(o *options.ClientOptions) {
		o.SetMonitor(&event.CommandMonitor{Failed: func(context.Context, *event.CommandFailedEvent) { cancel() }})
	}))
	err := s.Insert(ctx, newKey(), newRecord(""))
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "13 (Unauthorized)")
	require.NotErrorIs(t, err, store.ErrRefused)
}

// A context that ends while the server is silent ends the operation.
func TestContextEnds(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	f := startFake(t, func(string, int) bson.D {
		<-proceed
		return nil
	})
	t.Cleanup(func() { close(proceed) })
	s := mongostore.New(collection(t, f.uri()))
	operations := map[string]func(ctx context.Context) error{
		"load":         func(ctx context.Context) error { _, err := s.Load(ctx, newKey()); return err },
		"insert":       func(ctx context.Context) error { return s.Insert(ctx, newKey(), newRecord("")) },
		"swap":         func(ctx context.Context) error { _, err := s.Swap(ctx, newKey(), 1, newRecord("")); return err },
		"touch":        func(ctx context.Context) error { return s.Touch(ctx, newKey(), 1, time.Now()) },
		"delete":       func(ctx context.Context) error { return s.Delete(ctx, newKey()) },
		"list owner":   func(ctx context.Context) error { _, err := s.ListOwner(ctx, "ada", store.Key{}, 1); return err },
		"delete owner": func(ctx context.Context) error { _, err := s.DeleteOwner(ctx, "ada"); return err },
		"sweep":        func(ctx context.Context) error { _, err := s.DeleteExpired(ctx, 1); return err },
		"indexes":      s.EnsureIndexes,
	}
	for name, do := range operations {
		t.Run(name, func(t *testing.T) {
			for want, end := range map[error]func() (context.Context, context.CancelFunc){
				context.DeadlineExceeded: func() (context.Context, context.CancelFunc) {
					return context.WithTimeout(context.Background(), 50*time.Millisecond)
				},
				context.Canceled: func() (context.Context, context.CancelFunc) {
					ctx, cancel := context.WithCancel(context.Background())
					time.AfterFunc(50*time.Millisecond, cancel)
					return ctx, cancel
				},
			} {
				ctx, cancel := end()
				begun := time.Now()
				err := do(ctx)
				require.ErrorIs(t, err, want)
				require.Less(t, time.Since(begun), patience)
				require.NotErrorIs(t, err, store.ErrRefused)
				requireNoAnswer(t, err)
				cancel()
				sent := len(f.commands())
				require.ErrorIs(t, do(ctx), ctx.Err())
				require.Len(t, f.commands(), sent, "nothing is sent once it has ended")
			}
		})
	}
}
