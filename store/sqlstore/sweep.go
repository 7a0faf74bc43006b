package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/typedsession/session/store"
)

var errHeld = errors.New("others keep locks on what has expired")

// DeleteExpired implements [store.Sweeper]. It looks only at records that are
// due: those that have expired, and those whose life was lengthened since they
// were last looked at, which it puts off. Others can write every 100 records. A
// limit that is not positive removes nothing.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	var total int64
	begun, idle := time.Now(), 0
	for {
		v := values{limit: int(min(int64(limit)-total, keysPerStatement))}
		if v.limit <= 0 {
			return total, ctx.Err()
		}
		// Only this can say that none are left: others may sweep at the same time.
		var err error
		if v.keys, err = s.keys(ctx, "sweep", &s.sql.due, &v); err != nil || len(v.keys) == 0 {
			return total, err
		}
		removed, err := s.write(ctx, "sweep", &s.sql.sweep, &v, total)
		total += removed
		if err != nil {
			return total, err
		}
		if removed == int64(v.limit) {
			begun, idle = time.Now(), 0
			continue
		}
		// The rest of the batch is alive, and in the way of what comes after it.
		postponed, err := s.write(ctx, "sweep", &s.sql.postpone, &v, total)
		if err != nil {
			return total, err
		}
		if removed+postponed > 0 {
			begun, idle = time.Now(), 0
			continue
		}
		// All are in the hands of others, who sweep too or write to them.
		if time.Since(begun) > patience || !again(ctx, begun, idle) {
			return total, failure(ctx, "sweep", unknown, errHeld)
		}
		idle++
	}
}

// keys runs a statement that returns keys.
func (s *Store) keys(ctx context.Context, op string, st *statement, v *values) ([]store.Key, error) {
	var keys []store.Key
	begin := func() { keys = nil }
	err := s.read(ctx, op, st, v, begin, func(rows *sql.Rows) error {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return err
		}
		var key store.Key
		copy(key[:], id)
		keys = append(keys, key)
		return nil
	})
	return keys, err
}
