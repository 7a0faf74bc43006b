package mongostore

import (
	"context"
	"fmt"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/store"
)

// The conditions of this file leave out whether a document is live, where that
// could make the server go through the index of the expiry: a document whose
// expiry changes meanwhile moves in that one, and could be missed.

// byKey is the order of keys.
func byKey() *options.FindOptionsBuilder {
	return options.Find().SetSort(bson.D{{Key: fieldID, Value: 1}})
}

// ownedAfter is the condition of being owned, with a key after another one.
func ownedAfter(owner string, after store.Key) bson.D {
	return bson.D{
		{Key: fieldOwner, Value: ownerValue(owner)},
		{Key: fieldID, Value: bson.D{{Key: "$gt", Value: binary(after[:])}}},
	}
}

// ListOwner implements [store.OwnerIndex]. The empty owner owns nothing, and a
// limit that is not positive lists nothing. It takes one command, and another one
// if it has come upon expired records.
func (s *Store) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	ctx, err := s.begin(ctx, "list owner", reads)
	if err != nil {
		return nil, err
	}
	if owner == "" {
		return nil, nil
	}
	var list []store.Entry
	for len(list) < limit {
		wanted := limit - len(list)
		page, err := s.find(ctx, "list owner", ownedAfter(owner, after), wanted, byKey())
		if err != nil {
			return nil, err
		}
		moment := now()
		for _, raw := range page {
			var e store.Entry
			if e.Record, err = decode(raw, &e.Key); err != nil {
				return nil, fmt.Errorf("mongostore: list owner: %w", err)
			}
			if after = e.Key; date(e.Record.Expires) > moment {
				list = append(list, e)
			}
		}
		if len(page) < wanted {
			break
		}
	}
	return list, nil
}

// DeleteOwner implements [store.OwnerIndex]. The empty owner owns nothing. It
// deletes a batch of records at a time, in the order of their keys, and those that
// have expired as well, which it does not count: a node whose clock is behind could
// lengthen their life. A record that becomes owner's meanwhile may be deleted or
// not.
func (s *Store) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	const op = "delete owner"
	ctx, err := s.begin(ctx, op, writes)
	if err != nil || owner == "" {
		return 0, err
	}
	kept := make(map[store.Key]struct{}, len(except))
	for _, key := range except {
		kept[key] = struct{}{}
	}
	var sum tally
	for after := (store.Key{}); ; {
		page, err := s.page(ctx, op, ownedAfter(owner, after))
		if err != nil {
			return sum.living, err
		}
		if err := s.deleteOwned(ctx, owner, page, kept, &sum); err != nil || len(page) < s.config.batch {
			return sum.living, err
		}
		after = page[len(page)-1].key
	}
}

// tally counts deleted documents. Only those that were live are told.
type tally struct{ living, expired int64 }

func (t tally) all() int64 { return t.living + t.expired }

// deleteOwned deletes those that are not kept, and adds to sum. It looks again for
// those it has not deleted, until none of them is owner's any more.
func (s *Store) deleteOwned(ctx context.Context, owner string, page []found, kept map[store.Key]struct{}, sum *tally) error {
	const op = "delete owner"
	owned := bson.E{Key: fieldOwner, Value: ownerValue(owner)}
	page = slices.DeleteFunc(page, func(f found) bool {
		_, ok := kept[f.key]
		return ok
	})
	var waiting stall
	for len(page) > 0 {
		moment := now()
		var living, dead, keys bson.A
		for _, f := range page {
			key := binary(f.key[:])
			keys = append(keys, key)
			if f.expires > moment {
				living = append(living, key)
			} else {
				dead = append(dead, key)
			}
		}
		before := sum.all()
		n, err := s.deleteKeys(ctx, op, before, living, owned, live())
		sum.living += n
		if err != nil {
			return err
		}
		// One whose life was lengthened meanwhile is found again, and counted.
		n, err = s.deleteKeys(ctx, op, sum.all(), dead, owned, expired())
		sum.expired += n
		if err != nil || sum.all()-before == int64(len(keys)) {
			return err
		}
		if page, err = s.page(ctx, op, bson.D{among(keys), owned}); err != nil {
			return err
		}
		if len(page) < len(keys) {
			waiting.headway()
		} else if !waiting.again(ctx) {
			return failure(ctx, op, reads, errStays)
		}
	}
	return nil
}

// found is what has to be known about a document to remove it.
type found struct {
	key     store.Key
	expires bson.DateTime
}

// page returns one batch of those that a condition is true of.
func (s *Store) page(ctx context.Context, op string, condition bson.D) ([]found, error) {
	page, err := s.find(ctx, op, condition, s.config.batch, byKey().SetProjection(bson.D{{Key: fieldExpires, Value: 1}}))
	if err != nil {
		return nil, err
	}
	list := make([]found, len(page))
	for i, raw := range page {
		id, ok := decodeBinary(raw, fieldID)
		if !ok || len(id) != len(list[i].key) {
			return nil, fmt.Errorf("mongostore: %s: %w", op, &DocumentError{Field: fieldID})
		}
		copy(list[i].key[:], id)
		ms, ok := raw.Lookup(fieldExpires).DateTimeOK()
		if !ok {
			return nil, fmt.Errorf("mongostore: %s: %w", op, &DocumentError{Field: fieldExpires})
		}
		list[i].expires = bson.DateTime(ms)
	}
	return list, nil
}
