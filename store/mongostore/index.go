package mongostore

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// indexes are what EnsureIndexes creates.
func indexes() []mongo.IndexModel {
	return []mongo.IndexModel{
		{
			Keys:    bson.D{{Key: fieldExpires, Value: 1}},
			Options: options.Index().SetExpireAfterSeconds(0),
		},
		{
			Keys: bson.D{{Key: fieldOwner, Value: 1}, {Key: fieldID, Value: 1}},
			Options: options.Index().SetPartialFilterExpression(
				bson.D{{Key: fieldOwner, Value: bson.D{{Key: "$exists", Value: true}}}}),
		},
	}
}

// EnsureIndexes creates the two indexes that are not there yet: one on the
// expiry, by which the server removes what has expired, and one on the owner. Call
// it when the program starts; it may be called at any time, by several nodes at
// once. Without them everything works, but DeleteExpired, ListOwner and
// DeleteOwner go through the whole collection.
//
// An index on the same fields with other options is an error of the server, and
// stays as it is; the other one is created all the same. The error wraps no
// sentinel of package store.
func (s *Store) EnsureIndexes(ctx context.Context) error {
	const op = "ensure indexes"
	ctx, err := s.begin(ctx, op, reads)
	if err != nil {
		return err
	}
	var errs []error
	for _, index := range indexes() { // one at a time: one that conflicts does not keep the other away
		if _, err := s.c.Indexes().CreateOne(ctx, index); err != nil {
			err = failure(ctx, op, reads, err)
			errs = append(errs, err)
			if _, answered := errors.AsType[*ServerError](err); !answered {
				break // the next one would wait as long for the server
			}
		}
	}
	return errors.Join(errs...)
}
