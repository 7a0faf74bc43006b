package mongostore_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

// The first attempt was done and its answer lost. The second one meets a server
// that is no primary any more and has written nothing, and then there is none.
func TestDoneButNotRefused(t *testing.T) {
	t.Parallel()
	for op, do := range map[string]func(ctx context.Context, s *mongostore.Store) error{
		"delete": func(ctx context.Context, s *mongostore.Store) error { return s.Delete(ctx, newKey()) },
		"insert": func(ctx context.Context, s *mongostore.Store) error {
			return s.Insert(ctx, newKey(), newRecord("ada"))
		},
		"swap": func(ctx context.Context, s *mongostore.Store) error {
			_, err := s.Swap(ctx, newKey(), 1, newRecord("ada"))
			return err
		},
	} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			var f *fake
			f = startFake(t, func(_ string, n int) bson.D {
				if n == 0 {
					return nil
				}
				f.stepDown()
				return commandError(10107, "NotWritablePrimary", "RetryableWriteError", "NoWritesPerformed")
			})
			s := mongostore.New(collection(t, f.uri(), func(o *options.ClientOptions) { o.SetServerSelectionTimeout(2 * time.Second) }))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err := do(ctx, s)
			require.Error(t, err)
			require.NoError(t, ctx.Err())
			require.Len(t, f.commands(), 2)
			require.NotErrorIs(t, err, store.ErrRefused, "it was done")
			requireNoAnswer(t, err)
		})
	}
}

// The server is told that a list is not read on, also when the context has ended.
func TestCursorIsClosed(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := newRecord("ada")
	document := mongostore.Document(newKey(), &r)
	f := startFake(t, func(name string, _ int) bson.D {
		switch name {
		case "find":
			return ok(bson.E{Key: "cursor", Value: bson.D{
				{Key: "id", Value: int64(42)}, {Key: "ns", Value: "shop.sessions"}, {Key: "firstBatch", Value: bson.A{document}},
			}})
		case "getMore":
			cancel()
			return commandError(11601, "Interrupted")
		}
		return ok()
	})
	_, err := mongostore.New(collection(t, f.uri())).ListOwner(ctx, "ada", store.Key{}, 10)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, slices.Contains(f.commands(), "killCursors"), "%v", f.commands())
}
