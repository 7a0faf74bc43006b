package integration_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// tap is a driver.Connector that notes what database/sql asks of a connection,
// and passes everything on. See recorder for drivers that prepare everything.
type tap struct {
	driver.Connector

	mu       sync.Mutex
	ran      []string
	prepared int
}

// tapped returns a store on the table of a subject that is tapped.
func tapped(t *testing.T, sub *subject) (*sqlstore.Store, *tap) {
	t.Helper()
	connector, err := sub.db.Driver().(driver.DriverContext).OpenConnector(sub.dsn)
	require.NoError(t, err)
	to := &tap{Connector: connector}
	db := sql.OpenDB(to)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return sub.server.newStore(t, db, sub.table), to
}

// took returns how many statements f has run.
func (to *tap) took(f func()) int {
	to.mu.Lock()
	before := len(to.ran)
	to.mu.Unlock()
	f()
	to.mu.Lock()
	defer to.mu.Unlock()
	return len(to.ran) - before
}

func (to *tap) note(text string) {
	to.mu.Lock()
	defer to.mu.Unlock()
	to.ran = append(to.ran, text)
}

func (to *tap) distinct() []string {
	to.mu.Lock()
	defer to.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(to.ran)))
}

func (to *tap) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := to.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &tapConn{Conn: c, to: to}, nil
}

type tapConn struct {
	driver.Conn
	to *tap
}

func (c *tapConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *tapConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.to.mu.Lock()
	c.to.prepared++
	c.to.mu.Unlock()
	st, err := c.Conn.(driver.ConnPrepareContext).PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	return &tapStmt{Stmt: st, text: query, to: c.to}, nil
}

func (c *tapConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.to.note("BEGIN")
	return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
}

func (c *tapConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
	if err != driver.ErrSkip { //nolint:errorlint // never wrapped
		c.to.note(query)
	}
	return res, err
}

func (c *tapConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
	if err != driver.ErrSkip { //nolint:errorlint // never wrapped
		c.to.note(query)
	}
	return rows, err
}

func (c *tapConn) CheckNamedValue(v *driver.NamedValue) error {
	return c.Conn.(driver.NamedValueChecker).CheckNamedValue(v)
}

func (c *tapConn) ResetSession(ctx context.Context) error {
	return c.Conn.(driver.SessionResetter).ResetSession(ctx)
}

type tapStmt struct {
	driver.Stmt
	text string
	to   *tap
}

func (s *tapStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.to.note(s.text)
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

func (s *tapStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.to.note(s.text)
	return s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
}
