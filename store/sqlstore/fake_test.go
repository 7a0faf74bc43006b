package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// fake is a driver.Connector for faults that no database makes to order. Each
// call of a statement is answered by answer; it stands in for SQLite only as far
// as package sqlstore can see.
type fake struct {
	mu      sync.Mutex
	calls   int
	answer  func(ctx context.Context, call int) (affected int64, err error)
	prepare func() error
	count   func() (int64, error) // RowsAffected, instead of the answer's
	row     bool                  // queries find one

	prepared, open atomic.Int64 // statements
}

func (f *fake) Connect(context.Context) (driver.Conn, error) { return fakeConn{f}, nil }
func (f *fake) Driver() driver.Driver                        { return nil }

func (f *fake) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *fake) next(ctx context.Context) (int64, error) {
	f.mu.Lock()
	f.calls++
	n := f.calls
	f.mu.Unlock()
	return f.answer(ctx, n)
}

type fakeConn struct{ f *fake }

func (c fakeConn) Close() error              { return nil }
func (c fakeConn) Begin() (driver.Tx, error) { panic("no statement needs a transaction") }

func (c fakeConn) Prepare(string) (driver.Stmt, error) {
	if c.f.prepare != nil {
		if err := c.f.prepare(); err != nil {
			return nil, err
		}
	}
	c.f.prepared.Add(1)
	c.f.open.Add(1)
	return fakeStmt(c), nil
}

type fakeStmt struct{ f *fake }

func (s fakeStmt) Close() error                               { s.f.open.Add(-1); return nil }
func (s fakeStmt) NumInput() int                              { return -1 }
func (s fakeStmt) Exec([]driver.Value) (driver.Result, error) { panic("unused") }
func (s fakeStmt) Query([]driver.Value) (driver.Rows, error)  { panic("unused") }

func (s fakeStmt) ExecContext(ctx context.Context, _ []driver.NamedValue) (driver.Result, error) {
	n, err := s.f.next(ctx)
	return fakeResult{s.f, n}, err
}

func (s fakeStmt) QueryContext(ctx context.Context, _ []driver.NamedValue) (driver.Rows, error) {
	_, err := s.f.next(ctx)
	return &fakeRows{more: s.f.row}, err
}

type fakeResult struct {
	f *fake
	n int64
}

func (r fakeResult) LastInsertId() (int64, error) { panic("unused") }

func (r fakeResult) RowsAffected() (int64, error) {
	if r.f.count != nil {
		return r.f.count()
	}
	return r.n, nil
}

// fakeRows are one key, or none.
type fakeRows struct{ more bool }

func (*fakeRows) Columns() []string { return []string{"id"} }
func (*fakeRows) Close() error      { return nil }

func (r *fakeRows) Next(row []driver.Value) error {
	if !r.more {
		return io.EOF
	}
	r.more = false
	row[0] = make([]byte, 32)
	return nil
}

// onFake returns a store whose statements f answers.
func onFake(t *testing.T, f *fake) *sqlstore.Store {
	t.Helper()
	return onFakeOf(t, sqlstore.SQLite, f)
}

func onFakeOf(t *testing.T, d sqlstore.Dialect, f *fake) *sqlstore.Store {
	t.Helper()
	db := sql.OpenDB(f)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	s, err := sqlstore.New(db, d)
	require.NoError(t, err)
	return s
}

// always answers every call with one error.
func always(err error) func(context.Context, int) (int64, error) {
	return func(context.Context, int) (int64, error) { return 0, err }
}

// modernc looks like an error of modernc.org/sqlite.
type modernc struct{ code int }

func (e *modernc) Error() string { return "modernc: something happened" }
func (e *modernc) Code() int     { return e.code }

type (
	mattnNo         int
	mattnNoExtended int
)

// mattn looks like an error of github.com/mattn/go-sqlite3.
type mattn struct {
	Code         mattnNo
	ExtendedCode mattnNoExtended
	err          string
}

func (e mattn) Error() string { return e.err }
