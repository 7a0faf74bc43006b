package sqlstore

import (
	"context"
	"database/sql"
)

// sweepBatch bounds how long a sweep keeps others from writing.
const sweepBatch = 200

// DeleteExpired implements [store.Sweeper]. It looks only at records that are
// due: those that have expired, and those whose life was lengthened since they
// were last looked at, which it puts off. Others can write every 200 records. A
// limit that is not positive removes nothing.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	var total int64
	for {
		batch := min(int64(limit)-total, sweepBatch)
		if batch <= 0 {
			return total, ctx.Err()
		}
		// Only this can say that none are left: others may sweep at the same time.
		if found, err := s.anyDue(ctx); err != nil || !found {
			return total, err
		}
		v := values{limit: int(batch)}
		removed, err := s.write(ctx, "sweep", &s.sql.sweep, &v, total)
		total += removed
		if err != nil {
			return total, err
		}
		if removed == batch {
			continue
		}
		// The rest of the batch is alive, and in the way of what comes after it.
		if _, err := s.write(ctx, "sweep", &s.sql.postpone, &v, total); err != nil {
			return total, err
		}
	}
}

func (s *Store) anyDue(ctx context.Context) (found bool, err error) {
	begin := func() { found = false }
	err = s.read(ctx, "sweep", &s.sql.due, new(values), begin, func(*sql.Rows) error {
		found = true
		return nil
	})
	return found, err
}
