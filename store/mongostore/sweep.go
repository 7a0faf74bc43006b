package mongostore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// DeleteExpired implements [store.Sweeper]. A limit that is not positive removes
// nothing. What others remove meanwhile, the server among them, is not counted.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	const op = "sweep"
	ctx, err := s.begin(ctx, op, writes)
	if err != nil {
		return 0, err
	}
	var total int64
	var waiting stall
	var last bson.RawValue
	for {
		wanted := min(int64(limit)-total, int64(s.config.batch))
		if wanted <= 0 {
			return total, ctx.Err()
		}
		due := expired()
		found, err := s.find(ctx, op, bson.D{due}, int(wanted), options.Find().SetProjection(bson.D{{Key: fieldID, Value: 1}}))
		if err != nil || len(found) == 0 {
			return total, err
		}
		keys := make(bson.A, len(found))
		for i, raw := range found {
			keys[i] = raw.Lookup(fieldID)
		}
		n, err := s.deleteKeys(ctx, op, total, keys, due)
		total += n
		if err != nil {
			return total, err
		}
		if n == int64(len(found)) && n < wanted {
			return total, nil // there were no more
		}
		first := found[0].Lookup(fieldID)
		if n > 0 || !first.Equal(last) { // or others have done it
			waiting.headway()
			last = first
		} else if !waiting.again(ctx) {
			return total, failure(ctx, op, reads, errStays)
		}
	}
}
