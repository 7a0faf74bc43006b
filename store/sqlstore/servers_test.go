package sqlstore_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// pgError looks like an error of pgx and of lib/pq.
type pgError struct{ code string }

func (e *pgError) Error() string    { return "ERROR: something happened (SQLSTATE " + e.code + ")" }
func (e *pgError) SQLState() string { return e.code }

// mysqlError looks like an error of github.com/go-sql-driver/mysql.
type mysqlError struct {
	Number   uint16
	SQLState [5]byte
	Message  string
}

func (e *mysqlError) Error() string { return fmt.Sprintf("Error %d: %s", e.Number, e.Message) }

// What an error of a server says about the outcome of a write.
func TestServerClasses(t *testing.T) {
	t.Parallel()
	postgres := func(refused bool, codes ...string) (cases []serverClass) {
		for _, code := range codes {
			cases = append(cases, serverClass{sqlstore.PostgreSQL, &pgError{code}, refused})
		}
		return cases
	}
	mysql := func(refused bool, numbers ...uint16) (cases []serverClass) {
		for _, n := range numbers {
			cases = append(cases, serverClass{sqlstore.MySQL, &mysqlError{Number: n}, refused})
		}
		return cases
	}
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	broken := &net.OpError{Op: "read", Net: "tcp", Err: errors.New("connection reset by peer")}
	cases := []serverClass{
		{sqlstore.PostgreSQL, fmt.Errorf("failed to connect: %w", errors.Join(dial)), true},
		{sqlstore.PostgreSQL, fmt.Errorf("a hook: %w", &pgError{"53100"}), true},
		{sqlstore.PostgreSQL, broken, false},
		{sqlstore.PostgreSQL, errors.New("unexpected EOF"), false},
		{sqlstore.MySQL, dial, true},
		{sqlstore.MySQL, fmt.Errorf("a hook: %w", &mysqlError{Number: 1290}), true},
		{sqlstore.MySQL, errors.New("packet for query is too large. Try adjusting the `Config.MaxAllowedPacket`"), true},
		{sqlstore.MySQL, broken, false},
		{sqlstore.MySQL, errors.New("invalid connection"), false},
	}
	cases = append(cases, postgres(true,
		"0A000", "22001", "22021", "23502", "23514", "25006", "26000", "28000", "28P01", "3D000", "3F000", "42501", "42P01", "42P05",
		"53100", "53200", "53300", "54000", "55000", "57014", "57P03", "P0001")...)
	cases = append(cases, postgres(false, "", "08006", "08P01", "40003", "57P01", "57P02", "57P05", "58030", "XX000", "XX001")...)
	cases = append(cases, mysql(true, 1021, 1040, 1045, 1049, 1054, 1064, 1114, 1142, 1146, 1153, 1290, 1406, 1461, 1792, 1836)...)
	cases = append(cases, mysql(false, 0, 1053, 1077, 1105, 1180, 1317, 1927, 1969, 2006, 3024)...)
	for _, c := range cases {
		t.Run(fmt.Sprint(c.dialect, " ", c.err), func(t *testing.T) {
			t.Parallel()
			f := &fake{answer: always(c.err)}
			s := onFakeOf(t, c.dialect, f)
			err := s.Delete(t.Context(), store.Key{1})
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.refused, errors.Is(err, store.ErrRefused), "%v", err)
			require.Equal(t, 1, f.called(), "no write is repeated that may have taken effect")
			_, err = s.Load(t.Context(), store.Key{1})
			require.ErrorIs(t, err, c.err)
			require.NotErrorIs(t, err, store.ErrRefused, "a read is not refused")
		})
	}
}

type serverClass struct {
	dialect sqlstore.Dialect
	err     error
	refused bool
}

// A statement that the server has taken back is run again, within bounds.
func TestServerConflictsAreRepeated(t *testing.T) {
	t.Parallel()
	for _, c := range []serverClass{
		{dialect: sqlstore.PostgreSQL, err: &pgError{"40001"}},
		{dialect: sqlstore.PostgreSQL, err: &pgError{"40P01"}},
		{dialect: sqlstore.PostgreSQL, err: &pgError{"55P03"}},
		{dialect: sqlstore.MySQL, err: &mysqlError{Number: 1020}},
		{dialect: sqlstore.MySQL, err: &mysqlError{Number: 1205}},
		{dialect: sqlstore.MySQL, err: fmt.Errorf("a hook: %w", &mysqlError{Number: 1213})},
		{dialect: sqlstore.MySQL, err: &mysqlError{Number: 1615}},
	} {
		synctest.Test(t, func(t *testing.T) {
			f := &fake{answer: func(_ context.Context, call int) (int64, error) {
				if call%50 != 0 {
					return 0, c.err
				}
				return 1, nil
			}}
			s := onFakeOf(t, c.dialect, f)
			require.NoError(t, s.Insert(t.Context(), store.Key{1}, record()))
			require.Equal(t, 50, f.called())

			f.answer = always(c.err)
			begun := time.Now()
			err := s.Insert(t.Context(), store.Key{1}, record())
			require.ErrorIs(t, err, store.ErrRefused)
			require.ErrorIs(t, err, c.err)
			require.InDelta(t, 10, time.Since(begun).Seconds(), 0.1)
		})
	}
}

func TestDuplicateKeyIsAnAnswerOfInsertAlone(t *testing.T) {
	t.Parallel()
	duplicate := &mysqlError{Number: 1062, Message: "Duplicate entry 'key' for key 'PRIMARY'"}
	s := onFakeOf(t, sqlstore.MySQL, &fake{answer: always(duplicate)})
	err := s.Insert(t.Context(), store.Key{1}, record())
	require.ErrorIs(t, err, store.ErrExists)
	require.NotErrorIs(t, err, store.ErrRefused)
	require.NotContains(t, err.Error(), "key'")
	_, err = s.Swap(t.Context(), store.Key{1}, 1, record())
	require.ErrorIs(t, err, duplicate)
	require.NotErrorIs(t, err, store.ErrExists)
}

// Writers of a server do not queue up behind each other.
func TestServerWritersDoNotQueue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		f := &fake{answer: func(context.Context, int) (int64, error) { <-gate; return 1, nil }}
		s := onFakeOf(t, sqlstore.MySQL, f)
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() {
				if err := s.Delete(t.Context(), store.Key{byte(i)}); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		require.Equal(t, 5, f.called())
		close(gate)
		wg.Wait()
	})
}

// A sweep that makes no headway says so, instead of that none are left.
func TestSweepBehindLocks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fake{row: true, answer: always(nil)}
		s := onFakeOf(t, sqlstore.MySQL, f)
		begun := time.Now()
		n, err := s.DeleteExpired(t.Context(), 100)
		require.Zero(t, n)
		require.ErrorContains(t, err, "others keep locks")
		require.NotErrorIs(t, err, store.ErrRefused)
		require.InDelta(t, 10, time.Since(begun).Seconds(), 0.1)
		require.Less(t, f.called(), 5000)
	})
}

func TestReservedTableNames(t *testing.T) {
	t.Parallel()
	for _, d := range []sqlstore.Dialect{sqlstore.PostgreSQL, sqlstore.MySQL} {
		db := sql.OpenDB(&fake{})
		_, err := sqlstore.New(db, d, sqlstore.WithTable("sqlite_sessions"))
		require.NoError(t, err)
		for _, name := range []string{"a`b", `a"b`, "a.b.c", "a;b", strings.Repeat("x", 49)} {
			_, err := sqlstore.New(db, d, sqlstore.WithTable(name))
			require.ErrorContains(t, err, "is no name for a table")
		}
		require.NoError(t, db.Close())
	}
}
