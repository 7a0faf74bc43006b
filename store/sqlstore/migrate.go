package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// ErrTable is wrapped by the error of Migrate when the database has a table of
// this name that is none of ours.
var ErrTable = errors.New("is no table of sessions")

// ErrMemoryPool is wrapped by the error of Migrate for an SQLite database in
// memory whose pool may open several connections: each would have a database of
// its own.
var ErrMemoryPool = errors.New("each connection has a database in memory of its own: call db.SetMaxOpenConns(1)")

// Migrate makes the database ready: it creates the table and the indexes that
// are not there yet and checks the columns of a table that is; a file of SQLite
// is switched to WAL, see [WithoutWAL]. With [WithNotify] it creates a function and
// two triggers as well. It removes nothing, and creates no schema and no database.
//
// Call it at every start, on as many nodes as there are, at the same time too: it
// changes nothing the second time, and one that fails halfway is completed by the
// next. With PostgreSQL and MySQL the rights to create are needed only where
// something is missing; a file of SQLite has to be writable. The error wraps
// [ErrTable], [ErrMemoryPool] or [ErrTrigger], or what the driver said.
func (s *Store) Migrate(ctx context.Context) error {
	return s.dialect.migrate(ctx, s)
}

// expand puts quoted names into a statement that defines something.
func (s *Store) expand(text string) string {
	quote := s.dialect.quote
	return strings.NewReplacer("{table}", s.table.quoted(quote, ""),
		"{due index}", quote(s.table.name+"_due"), "{owner index}", quote(s.table.name+"_owner")).Replace(text)
}

// column is one column of a table that is there.
type column struct {
	name, kind           string
	required, hasDefault bool
	key                  int // its place in the primary key, from 1
}

// checkColumns looks whether a table is one of ours, whose columns have these
// types. More columns are none of our business, if our rows can do without them.
func (s *Store) checkColumns(columns []column, kinds map[string]string) error {
	found := 0
	for _, c := range columns {
		kind, ours := kinds[c.name]
		switch {
		case ours && (!strings.EqualFold(c.kind, kind) || !c.required || (c.key == 1) != (c.name == "id") || c.key > 1):
			return fmt.Errorf("table %s: %w: column %q is not as Migrate makes it", s.config.table, ErrTable, c.name)
		case ours:
			found++
		case c.key > 0 || c.required && !c.hasDefault:
			return fmt.Errorf("table %s: %w: column %q is not ours and needs a value", s.config.table, ErrTable, c.name)
		}
	}
	if found < len(kinds) {
		return fmt.Errorf("table %s: %w: it has %d of the %d columns", s.config.table, ErrTable, found, len(kinds))
	}
	return nil
}
