package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// Dialect names the database that a Store speaks to. The zero Dialect names
// none.
type Dialect int

const (
	// SQLite is the dialect of SQLite, version 3.24 or later, with any driver.
	SQLite Dialect = 1 + iota
	// PostgreSQL is the dialect of PostgreSQL, version 10 or later, with
	// github.com/jackc/pgx/v5/stdlib or github.com/lib/pq.
	PostgreSQL
	// MySQL is the dialect of MySQL, version 5.7 or later, and of MariaDB,
	// version 10.2 or later, with github.com/go-sql-driver/mysql.
	MySQL
)

// String returns the name of the database.
func (d Dialect) String() string {
	if desc := d.describe(); desc != nil {
		return desc.name
	}
	return fmt.Sprintf("Dialect(%d)", int(d))
}

func (d Dialect) describe() *dialect {
	switch d {
	case SQLite:
		return &sqlite
	case PostgreSQL:
		return &postgres
	case MySQL:
		return &mysql
	default:
		return nil
	}
}

// dialect is all that differs between databases.
type dialect struct {
	name        string
	placeholder func(n int) string // of the n-th parameter, from 1
	quote       func(identifier string) string
	reserved    string // what no table's name may begin with, in lower case
	texts       texts
	// oneWriter is for a database that lets one connection write at a time, and
	// serves those who wait in no order.
	oneWriter bool
	// prepares is for a database that parses a statement at each use, unless it
	// is kept prepared.
	prepares bool
	classify func(err error) class
	// isDuplicate is for a database that answers an insert over a row with an
	// error. Otherwise it is nil.
	isDuplicate func(err error) bool
	// explain looks into a write whose outcome is not known. It may be nil.
	explain func(ctx context.Context, db *sql.DB, v *values, err error) error
	migrate func(ctx context.Context, s *Store) error
}

// texts are the statements of a dialect. Words in braces stand for the table and
// for parameters.
type texts struct {
	load   string // of key, if live: version, expires, owner, data
	insert string // nothing if there is a row
	// swap replaces version, expires and data, where neither owner nor due have
	// to change: then no index does.
	swap    string
	swapAll string // replaces everything
	touch   string
	remove  string // of key

	list       string // live records of owner after a key: id, version, expires, owner, data
	ownedKeys  string // keys of owner after a key, expired ones too
	removeKeys string // of those keys that owner owns and that are live

	due string // keys that are due: at most limit, one at least if there is any
	// These look at those keys, or again at the first rows that are due, at most
	// limit of them.
	sweep    string // removes those that have expired
	postpone string // sets due to expires for the others
}

// class is what an error says about the statement that it answers.
type class int

const (
	unknown class = iota // it may have taken effect
	refused              // it had no effect
	busy                 // it had no effect, and may be repeated
)
