package mongostore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// patience is how long to go on with records that are found but not deleted.
	patience = 3 * time.Second
	// longestPause is how long to wait before looking at them again, at most.
	longestPause = 32 * time.Millisecond
	// closeTime is how long telling the server that a list is not read on may take.
	closeTime = time.Second
)

var errStays = errors.New("what is to be removed stays: reads show what is not there any more, or others are always faster")

// stall waits while others are faster, or reads are behind.
type stall struct {
	since time.Time // zero: there was headway
}

// again waits, and says whether to try once more.
func (s *stall) again(ctx context.Context) bool {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	if time.Since(s.since) > patience {
		return false
	}
	timer := time.NewTimer(rand.N(longestPause)) //nolint:gosec // spreads attempts, is no secret
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// headway says that it was not in vain.
func (s *stall) headway() { s.since = time.Time{} }

// find returns the documents that a condition is true of, at most limit of them.
func (s *Store) find(ctx context.Context, op string, condition bson.D, limit int, opts *options.FindOptionsBuilder) ([]bson.Raw, error) {
	// In one batch, unless a message cannot hold them. It is not full, or the server
	// may keep the cursor open.
	opts.SetLimit(int64(limit)).SetBatchSize(int32(min(limit, 1<<20) + 1)) //nolint:gosec // G115: it is within bounds
	cursor, err := s.c.Find(ctx, condition, opts)
	if err != nil {
		return nil, failure(ctx, op, reads, err)
	}
	var found []bson.Raw
	for cursor.Next(ctx) {
		found = append(found, slices.Clone(cursor.Current))
	}
	err = cursor.Err()
	// The server would keep it for minutes if the end of the context kept us from
	// closing it.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if closed := cursor.Close(closing); err == nil {
		err = closed
	}
	if err != nil {
		return nil, failure(ctx, op, reads, err)
	}
	return found, nil
}

func among(keys bson.A) bson.E {
	return bson.E{Key: fieldID, Value: bson.D{{Key: "$in", Value: keys}}}
}

// deleteKeys deletes those of some keys that conditions are true of. So many
// documents have been deleted before, by the same call. Without keys it does nothing.
func (s *Store) deleteKeys(ctx context.Context, op string, before int64, keys bson.A, conditions ...bson.E) (int64, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	res, err := s.c.DeleteMany(ctx, append(bson.D{among(keys)}, conditions...))
	var n int64
	if res != nil {
		n = res.DeletedCount
	}
	if err != nil {
		e := writes
		if before+n > 0 {
			e = writesMore
		}
		return n, failure(ctx, op, e, err)
	}
	return n, nil
}
