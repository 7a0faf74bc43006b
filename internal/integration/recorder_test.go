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

// recorded returns a store on the database of db that notes every statement.
func recorded(t *testing.T, db *sql.DB) (*sqlstore.Store, *recorder) {
	t.Helper()
	var file string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&file))
	rec := &recorder{driver: db.Driver(), dsn: dsn(file, recommended)}
	through := sql.OpenDB(rec)
	t.Cleanup(func() { require.NoError(t, through.Close()) })
	return newStore(t, through), rec
}

// recorder is a driver.Connector that notes the statements that are run. What it
// does not pass on, database/sql does by preparing.
type recorder struct {
	driver driver.Driver
	dsn    string

	mu  sync.Mutex
	ran []string
}

func (r *recorder) Driver() driver.Driver { return r.driver }

func (r *recorder) Connect(context.Context) (driver.Conn, error) {
	c, err := r.driver.Open(r.dsn)
	return recordedConn{Conn: c, to: r}, err
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ran = append(r.ran, text)
}

// count returns how many statements have been run.
func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ran)
}

// distinct returns what was run, each text once.
func (r *recorder) distinct() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(r.ran)))
}

type recordedConn struct {
	driver.Conn
	to *recorder
}

func (c recordedConn) Prepare(query string) (driver.Stmt, error) {
	st, err := c.Conn.Prepare(query)
	return recordedStmt{Stmt: st, text: query, to: c.to}, err
}

func (c recordedConn) Begin() (driver.Tx, error) {
	c.to.note("BEGIN")
	return c.Conn.Begin() //nolint:staticcheck // what a recordedConn has
}

type recordedStmt struct {
	driver.Stmt
	text string
	to   *recorder
}

func (s recordedStmt) Exec(args []driver.Value) (driver.Result, error) {
	s.to.note(s.text)
	return s.Stmt.Exec(args) //nolint:staticcheck // what a recordedStmt has
}

func (s recordedStmt) Query(args []driver.Value) (driver.Rows, error) {
	s.to.note(s.text)
	return s.Stmt.Query(args) //nolint:staticcheck // what a recordedStmt has
}
