package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/typedsession/session/store"
)

const (
	// patience is how long an operation is repeated while the database is busy,
	// if its context has no deadline.
	patience = 10 * time.Second
	// Pauses between two attempts are random, up to a bound that doubles from
	// the first of these to the second.
	firstPause   = time.Millisecond
	longestPause = firstPause << 5
)

// effect is what an operation does to the database.
type effect int

const (
	reads      effect = iota
	writes            // nothing else is changed when it fails
	writesMore        // after others of the same call
)

// write runs a statement that changes at most what its condition allows, and
// returns how many rows it has changed. So many have been before, by the same
// call.
func (s *Store) write(ctx context.Context, op string, st *statement, v *values, before int64) (n int64, err error) {
	e := writes
	if before > 0 {
		e = writesMore
	}
	err = s.attempt(ctx, op, e, func() error {
		n, err = st.exec(ctx, s.db, v)
		if err != nil && st == &s.sql.insert && s.dialect.isDuplicate != nil && s.dialect.isDuplicate(err) {
			n, err = 0, nil
		}
		if err != nil && s.dialect.explain != nil && ctx.Err() == nil {
			err = s.dialect.explain(ctx, s.db, v, err)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// read runs a statement that changes nothing. It calls begin before each attempt
// and scan for each row.
func (s *Store) read(ctx context.Context, op string, st *statement, v *values, begin func(), scan func(rows *sql.Rows) error) error {
	return s.attempt(ctx, op, reads, func() error {
		begin()
		return st.query(ctx, s.db, v, scan)
	})
}

// attempt calls do, again while the database is busy, which means that do had no
// effect.
func (s *Store) attempt(ctx context.Context, op string, e effect, do func() error) error {
	if err := ctx.Err(); err != nil {
		return failure(ctx, op, unknown, err)
	}
	begun := time.Now()
	if e != reads && s.writer != nil {
		select {
		case s.writer <- struct{}{}:
			defer func() { <-s.writer }()
		case <-ctx.Done():
			return failure(ctx, op, unknown, ctx.Err())
		}
	}
	for n := 0; ; n++ {
		err := do()
		if err == nil {
			return nil
		}
		c := s.dialect.class(err)
		if c != busy || !again(ctx, begun, n) {
			if e != writes {
				c = unknown // ErrRefused would say too much
			}
			return failure(ctx, op, c, err)
		}
	}
}

// class adds to what the dialect knows about errors what is true of them all.
func (d *dialect) class(err error) class {
	if c := d.classify(err); c != unknown {
		return c
	}
	// database/sql has no name for the second.
	if _, unsent := errors.AsType[unsentError](err); unsent || err.Error() == "sql: database is closed" {
		return refused
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return refused // there was no connection to send it on
	}
	return unknown
}

// again waits before another attempt, and says whether there is to be one.
func again(ctx context.Context, begun time.Time, n int) bool {
	bound := longestPause
	if n < 5 {
		bound = firstPause << n
	}
	pause := rand.N(bound) //nolint:gosec // spreads attempts, is no secret
	if _, limited := ctx.Deadline(); !limited && time.Since(begun)+pause > patience {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// failure returns the error of an operation. That of an ended context comes
// first: it ends an operation that has, or has not, taken effect.
func failure(ctx context.Context, op string, c class, err error) error {
	if isNoTable(err) {
		err = fmt.Errorf("%w (call Store.Migrate when the program starts)", err)
	}
	end := ctx.Err()
	switch {
	case end != nil && !errors.Is(err, end):
		return fmt.Errorf("sqlstore: %s: %w: %w", op, end, err)
	case end == nil && c != unknown:
		return fmt.Errorf("sqlstore: %s: %w: %w", op, store.ErrRefused, err)
	default:
		return fmt.Errorf("sqlstore: %s: %w", op, err)
	}
}

// isNoTable recognises the complaint of each database about a table that is not
// there: the same words for every driver.
func isNoTable(err error) bool {
	text := err.Error()
	return strings.Contains(text, "no such table") || strings.Contains(text, "42P01") || strings.Contains(text, "Error 1146")
}
