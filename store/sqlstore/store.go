package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/typedsession/session/store"
)

var (
	_ store.Store      = (*Store)(nil)
	_ store.OwnerIndex = (*Store)(nil)
	_ store.Sweeper    = (*Store)(nil)
)

// Store is a [store.Store] in one table of an SQL database, with an owner index
// and sweeping, and with change notification where it is set up: see [WithNotify].
// Make one with New; the zero Store is of no use.
//
// All methods are safe for concurrent use, by any number of goroutines and
// processes. Each runs statements that take effect on their own, without a
// transaction around them, and needs no connection in between.
//
// A write that certainly changed nothing, for want of room, because the database
// cannot be written or because it stayed locked, returns an error that wraps
// [store.ErrRefused] and what the driver said. When the context has ended the
// error wraps that of the context. After any other error of a write its outcome
// is not known. Errors hold nothing of a record; what the driver says about the
// database is in them.
type Store struct {
	db      *sql.DB
	dialect *dialect
	config  config
	table   tableName
	writer  chan struct{} // holds the one who writes; nil: there may be several
	sql     statements
}

// statements are the texts of the dialect, ready to run.
type statements struct {
	load, insert, swap, swapAll, touch, remove statement
	list, ownedKeys, removeKeys                statement
	due, sweep, postpone                       statement
}

// New returns a store that keeps its records in db, which stays the caller's: to
// configure, and to close. New does nothing to the database; see [Store.Migrate].
// All problems with the arguments are in the error.
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	s := &Store{db: db, dialect: d.describe(), config: config{table: DefaultTable}}
	for _, opt := range opts {
		opt(&s.config)
	}
	var problems []error
	if db == nil {
		problems = append(problems, errors.New("db is nil: open it with sql.Open"))
	}
	if s.dialect == nil {
		problems = append(problems, fmt.Errorf("unknown dialect %v: want sqlstore.SQLite, sqlstore.PostgreSQL or sqlstore.MySQL", d))
	}
	var err error
	if s.table, err = parseTable(s.config.table, s.dialect); err != nil {
		problems = append(problems, err)
	}
	if err := s.config.checkNotify(s.dialect); err != nil {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("sqlstore: %w", errors.Join(problems...))
	}
	if s.dialect.oneWriter {
		s.writer = make(chan struct{}, 1)
	}
	t := &s.dialect.texts
	s.sql = statements{
		load: s.compile(t.load), insert: s.compile(t.insert), swap: s.compile(t.swap), swapAll: s.compile(t.swapAll),
		touch: s.compile(t.touch), remove: s.compile(t.remove),
		list: s.compile(t.list), ownedKeys: s.compile(t.ownedKeys), removeKeys: s.compile(t.removeKeys),
		due: s.compile(t.due), sweep: s.compile(t.sweep), postpone: s.compile(t.postpone),
	}
	return s, nil
}

func (s *Store) compile(text string) statement {
	return compile(strings.ReplaceAll(text, "{table}", s.table.quoted(s.dialect.quote, "")), s.dialect)
}

// Load implements [store.Store].
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	return s.load(ctx, "load", key)
}

func (s *Store) load(ctx context.Context, op string, key store.Key) (r store.Record, err error) {
	found := false
	begin := func() { found = false }
	err = s.read(ctx, op, &s.sql.load, &values{key: key}, begin, func(rows *sql.Rows) error {
		var ms int64
		if err := rows.Scan(&r.Version, &ms, &r.Owner, &r.Data); err != nil {
			return err
		}
		r.Expires = time.UnixMilli(ms)
		found = true
		return nil
	})
	if err == nil && !found {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, err
	}
	return r, nil
}

// Insert implements [store.Store]. Over a record that has expired and was not
// swept yet it returns ErrExists.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	v := values{key: key}
	v.setRecord(&r)
	n, err := s.write(ctx, "insert", &s.sql.insert, &v, 0)
	if err == nil && n == 0 {
		err = store.ErrExists
	}
	return err
}

// Swap implements [store.Store]. With a conflict it returns the current record.
// It takes one statement, and three when the owner changes or the life is
// shortened.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	v := values{key: key, old: old}
	v.setRecord(&r)
	for _, st := range []*statement{&s.sql.swap, &s.sql.swapAll} {
		n, err := s.write(ctx, "swap", st, &v, 0)
		if err != nil || n > 0 {
			return store.Record{}, err
		}
		cur, err := s.load(ctx, "swap", key)
		switch {
		case err != nil:
			return store.Record{}, err
		case cur.Version == r.Version:
			return store.Record{}, nil // this very swap has been here before
		case cur.Version != old:
			return cur, store.ErrConflict
		}
		// Then an index must change, and only swapAll does that.
	}
	return store.Record{}, store.ErrConflict // it was replaced, and is back: look again
}

// Touch implements [store.Store].
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	_, err := s.write(ctx, "touch", &s.sql.touch, &values{key: key, old: old, expires: exp.UnixMilli()}, 0)
	return err
}

// Delete implements [store.Store].
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	_, err := s.write(ctx, "delete", &s.sql.remove, &values{key: key}, 0)
	return err
}
