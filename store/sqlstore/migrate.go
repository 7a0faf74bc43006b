package sqlstore

import (
	"context"
	"errors"
)

// ErrTable is wrapped by the error of Migrate when the database has a table of
// this name that is none of ours.
var ErrTable = errors.New("has other columns than a table of sessions")

// ErrMemoryPool is wrapped by the error of Migrate for an SQLite database in
// memory whose pool may open several connections: each would have a database of
// its own.
var ErrMemoryPool = errors.New("each connection has a database in memory of its own: call db.SetMaxOpenConns(1)")

// Migrate makes the database ready: it creates the table and the indexes that
// are not there yet and checks the columns of a table that is; a file of SQLite
// is switched to WAL, see [WithoutWAL]. It removes nothing.
//
// Call it at every start, on as many nodes as there are: it changes nothing the
// second time, and one that fails halfway is completed by the next. The error
// wraps [ErrTable] or [ErrMemoryPool], or what the driver said.
func (s *Store) Migrate(ctx context.Context) error {
	return s.dialect.migrate(ctx, s)
}
