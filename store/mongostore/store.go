package mongostore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"

	"github.com/typedsession/session/store"
)

var (
	_ store.Store      = (*Store)(nil)
	_ store.OwnerIndex = (*Store)(nil)
	_ store.Sweeper    = (*Store)(nil)
)

// Store keeps records in a collection of MongoDB. Make one with New; the zero
// Store refuses everything. It is safe for concurrent use.
//
// A write that certainly changed nothing, because no server could be reached or
// because the record is too large for a document, returns an error that wraps
// [store.ErrRefused]. When the context has ended the error wraps that of the
// context. After any other error of a write its outcome is not known. What the
// server answered is a [*ServerError], a document that no Store has written a
// [*DocumentError]. Errors hold nothing of a record; what the driver says about
// servers and connections is in them.
//
// A session of the driver that is in the context is not used: an operation takes
// effect on its own, and not as a part of somebody's transaction.
type Store struct {
	c       *mongo.Collection
	config  config
	problem error // nil: it may be used
}

var errNotNew = errors.New("a Store is made with New")

// New returns a store that keeps its records in c. Writes wait until a majority
// of the replica set has them, and reads go to the primary, whatever c was
// configured to do; the read concern is that of c. c and its client stay the
// caller's, who disconnects the client. New does nothing to the database; see
// [Store.EnsureIndexes].
//
// With a nil collection or an option that is out of range, every method returns an
// error that says so.
func New(c *mongo.Collection, opts ...Option) *Store {
	s := &Store{config: config{batch: DefaultBatch}}
	for _, opt := range opts {
		opt(&s.config)
	}
	var problems []error
	if c == nil {
		problems = append(problems, errors.New("the collection is nil"))
	}
	problems = append(problems, s.config.check())
	if s.problem = errors.Join(problems...); s.problem != nil {
		return s
	}
	s.c = c.Clone(options.Collection().
		SetWriteConcern(writeconcern.Majority()).
		SetReadPreference(readpref.Primary()).
		// What the client does with the program's own types is not for these documents.
		SetRegistry(bson.NewRegistry()).
		SetBSONOptions(&options.BSONOptions{}))
	return s
}

// begin returns the context of an operation, or why it cannot take place.
func (s *Store) begin(ctx context.Context, op string, e effect) (context.Context, error) {
	problem := s.problem
	if problem == nil && s.c == nil {
		problem = errNotNew
	}
	switch {
	case problem != nil && e == reads:
		return nil, fmt.Errorf("mongostore: %s: %w", op, problem)
	case problem != nil:
		return nil, fmt.Errorf("mongostore: %s: %w: %w", op, store.ErrRefused, problem)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("mongostore: %s: %w", op, ctx.Err())
	case mongo.SessionFromContext(ctx) != nil:
		return mongo.NewSessionContext(ctx, nil), nil
	}
	return ctx, nil
}

// now is the time by which this node judges.
func now() bson.DateTime { return date(time.Now()) }

// live is the condition that a document has not expired.
func live() bson.E { return bson.E{Key: fieldExpires, Value: bson.D{{Key: "$gt", Value: now()}}} }

// expired is the condition that it has.
func expired() bson.E { return bson.E{Key: fieldExpires, Value: bson.D{{Key: "$lte", Value: now()}}} }

func byID(key store.Key) bson.D { return bson.D{{Key: fieldID, Value: binary(key[:])}} }

// ofVersion is the condition that a document is live and has a version.
func ofVersion(key store.Key, version int64) bson.D {
	return append(byID(key), bson.E{Key: fieldVersion, Value: version}, live())
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	ctx, err := s.begin(ctx, "load", reads)
	if err != nil {
		return store.Record{}, err
	}
	return s.load(ctx, "load", key)
}

func (s *Store) load(ctx context.Context, op string, key store.Key) (store.Record, error) {
	raw, err := s.c.FindOne(ctx, append(byID(key), live())).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return store.Record{}, store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, failure(ctx, op, reads, err)
	}
	r, err := decode(raw, nil)
	if err != nil {
		return store.Record{}, fmt.Errorf("mongostore: %s: %w", op, err)
	}
	return r, nil
}

// Insert implements [store.Store]. Over a record that has expired and was not
// removed yet it returns ErrExists.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	ctx, err := s.begin(ctx, "insert", writes)
	if err != nil {
		return err
	}
	if err := fits("insert", &r); err != nil {
		return err
	}
	switch _, err := s.c.InsertOne(ctx, document(key, &r)); {
	case err == nil:
		return nil
	case keyExists(err):
		return store.ErrExists
	default:
		return failure(ctx, "insert", writes, err)
	}
}

// Swap implements [store.Store]. With a conflict it returns the current record. It
// takes one command, and two if the version is another one.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	ctx, err := s.begin(ctx, "swap", writes)
	if err != nil {
		return store.Record{}, err
	}
	if err := fits("swap", &r); err != nil {
		return store.Record{}, err
	}
	res, err := s.c.UpdateOne(ctx, ofVersion(key, old), replacement(&r))
	if err != nil {
		return store.Record{}, failure(ctx, "swap", writes, err)
	}
	if res.MatchedCount > 0 {
		return store.Record{}, nil
	}
	cur, err := s.load(ctx, "swap", key)
	switch {
	case err != nil:
		return store.Record{}, err
	case cur.Version == r.Version:
		return store.Record{}, nil // this very swap has been here before
	case cur.Version == old:
		return store.Record{}, store.ErrConflict // the read shows less than the write saw: look again
	}
	return cur, store.ErrConflict
}

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	ctx, err := s.begin(ctx, "touch", writes)
	if err != nil {
		return err
	}
	longer := bson.D{{Key: "$max", Value: bson.D{{Key: fieldExpires, Value: date(exp)}}}}
	if _, err := s.c.UpdateOne(ctx, ofVersion(key, old), longer); err != nil {
		return failure(ctx, "touch", writes, err)
	}
	return nil
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	ctx, err := s.begin(ctx, "delete", writes)
	if err != nil {
		return err
	}
	if _, err := s.c.DeleteOne(ctx, byID(key)); err != nil {
		return failure(ctx, "delete", writes, err)
	}
	return nil
}

// fits refuses a record that is too large for a document. The driver would send
// it.
func fits(op string, r *store.Record) error {
	if n := documentSize(r); n > maxDocument {
		return fmt.Errorf("mongostore: %s: %w: a document of %d bytes, MongoDB takes %d", op, store.ErrRefused, n, maxDocument)
	}
	return nil
}
