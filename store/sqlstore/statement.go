package sqlstore

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/typedsession/session/store"
)

// keysPerStatement is how many keys {keys} stands for, and how many records a
// sweep keeps others from writing at a time. SQLite before 3.32 takes 999
// parameters.
const keysPerStatement = 100

// largeData is the size above which a kept statement is not used. MariaDB says of
// one that was once given more than it takes, that this is so, forever.
const largeData = 1 << 20

// values are what parameters stand for.
type values struct {
	key     store.Key
	old     int64
	version int64
	expires int64 // in milliseconds since 1970
	owner   string
	data    []byte
	after   []byte
	limit   int
	keys    []store.Key // one to keysPerStatement
}

func (v *values) setRecord(r *store.Record) {
	v.version, v.expires, v.owner, v.data = r.Version, r.Expires.UnixMilli(), r.Owner, r.Data
	if v.data == nil {
		v.data = []byte{} // nil would be NULL
	}
}

// statement is one SQL statement.
type statement struct {
	text   string
	params []string
	kept   *atomic.Pointer[sql.Stmt] // nil: not to be prepared
}

// compile puts placeholders in the place of parameters.
func compile(text string, d *dialect) statement {
	st := statement{}
	if d.prepares {
		st.kept = new(atomic.Pointer[sql.Stmt])
	}
	var b strings.Builder
	placeholders := 0
	for {
		before, rest, found := strings.Cut(text, "{")
		b.WriteString(before)
		if !found {
			break
		}
		var name string
		name, text, _ = strings.Cut(rest, "}")
		times := 1
		if name == "keys" {
			times = keysPerStatement
		}
		for i := range times {
			if i > 0 {
				b.WriteByte(',')
			}
			placeholders++
			b.WriteString(d.placeholder(placeholders))
		}
		st.params = append(st.params, name)
	}
	st.text = b.String()
	return st
}

// bind returns the arguments, with the time as it is now.
func (st *statement) bind(v *values) []any {
	args := make([]any, 0, len(st.params)+len(v.keys))
	for _, name := range st.params {
		switch name {
		case "key":
			args = append(args, v.key[:])
		case "old":
			args = append(args, v.old)
		case "version":
			args = append(args, v.version)
		case "expires":
			args = append(args, v.expires)
		case "owner":
			args = append(args, v.owner)
		case "owner bytes": // whatever the connection makes of text
			args = append(args, []byte(v.owner))
		case "data":
			args = append(args, v.data)
		case "after":
			args = append(args, v.after)
		case "limit":
			args = append(args, v.limit)
		case "now":
			args = append(args, time.Now().UnixMilli())
		case "keys":
			for i := range keysPerStatement {
				args = append(args, v.keys[min(i, len(v.keys)-1)][:]) // the last one again: it is a set
			}
		default:
			panic(fmt.Sprintf("sqlstore: a statement has the unknown parameter %q", name))
		}
	}
	return args
}

// unsentError says that a statement was not run: it could not be prepared, for
// example.
type unsentError struct{ error }

func (e unsentError) Unwrap() error { return e.error }

// prepared returns the kept statement. The pool prepares it for each connection,
// and forgets it with the database: nobody need close it.
func (st *statement) prepared(ctx context.Context, db *sql.DB) (*sql.Stmt, error) {
	if kept := st.kept.Load(); kept != nil {
		return kept, nil
	}
	stmt, err := db.PrepareContext(ctx, st.text)
	if err != nil {
		return nil, unsentError{err}
	}
	if !st.kept.CompareAndSwap(nil, stmt) {
		_ = stmt.Close() //nolint:sqlclosecheck // another goroutine was faster: only then
		return st.kept.Load(), nil
	}
	return stmt, nil
}

// exec runs the statement and returns how many rows it has changed.
func (st *statement) exec(ctx context.Context, db *sql.DB, v *values) (int64, error) {
	var res sql.Result
	var err error
	if st.kept == nil || len(v.data) > largeData {
		res, err = db.ExecContext(ctx, st.text, st.bind(v)...)
	} else {
		var stmt *sql.Stmt
		if stmt, err = st.prepared(ctx, db); err != nil { //nolint:sqlclosecheck // it is kept
			return 0, err
		}
		res, err = stmt.ExecContext(ctx, st.bind(v)...)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// query runs the statement and calls scan for each row.
func (st *statement) query(ctx context.Context, db *sql.DB, v *values, scan func(rows *sql.Rows) error) error {
	var rows *sql.Rows
	var err error
	if st.kept == nil {
		rows, err = db.QueryContext(ctx, st.text, st.bind(v)...)
	} else {
		var stmt *sql.Stmt
		if stmt, err = st.prepared(ctx, db); err != nil { //nolint:sqlclosecheck // it is kept
			return err
		}
		rows, err = stmt.QueryContext(ctx, st.bind(v)...)
	}
	return eachRow(rows, err, scan)
}

// eachRow calls scan for each row of a query, which may have failed, and ends it.
func eachRow(rows *sql.Rows, err error, scan func(rows *sql.Rows) error) error {
	if err != nil {
		return err
	}
	for err == nil && rows.Next() {
		err = scan(rows)
	}
	return cmp.Or(err, rows.Err(), rows.Close())
}
