package integration_test

import (
	"database/sql"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store/sqlstore"
)

// insertMany inserts n records that all expire after d.
func insertMany(t testing.TB, s *sqlstore.Store, first, n int, d time.Duration) {
	t.Helper()
	r := record(1, d)
	for i := range n {
		require.NoError(t, s.Insert(t.Context(), key(first+i), r))
	}
}

func TestSweepIsExact(t *testing.T) {
	t.Parallel()
	long(t)
	inBubble(t, func(t *testing.T, s *sqlstore.Store, db *sql.DB) {
		const each, limit = 500, 230
		insertMany(t, s, 0, each, time.Minute)      // expire
		insertMany(t, s, each, each, time.Minute)   // touched: live
		insertMany(t, s, 2*each, each, time.Minute) // swapped: live
		insertMany(t, s, 3*each, each, time.Hour)   // shortened: expire
		insertMany(t, s, 4*each, each, time.Hour)   // live
		for i := range each {
			require.NoError(t, s.Touch(t.Context(), key(each+i), 1, time.Now().Add(time.Hour)))
			_, err := s.Swap(t.Context(), key(2*each+i), 1, record(2, 2*time.Hour))
			require.NoError(t, err)
			_, err = s.Swap(t.Context(), key(3*each+i), 1, record(2, time.Second))
			require.NoError(t, err)
		}
		require.Zero(t, sweep(t, s, limit), "nothing has expired")
		elapse(time.Minute)
		left := 5 * each
		for {
			n, err := s.DeleteExpired(t.Context(), limit)
			require.NoError(t, err)
			left -= int(n)
			require.Equal(t, left, count(t, db))
			if n < limit {
				break
			}
			require.EqualValues(t, limit, n)
		}
		require.Equal(t, 3*each, left)
		elapse(time.Hour - time.Minute)
		require.Equal(t, 2*each, sweep(t, s, limit))
		elapse(time.Hour)
		require.Equal(t, each, sweep(t, s, limit))
		require.Zero(t, count(t, db))
	})
}

// sweep removes all that has expired.
func sweep(t *testing.T, s *sqlstore.Store, limit int) (total int) {
	t.Helper()
	for {
		n, err := s.DeleteExpired(t.Context(), limit)
		require.NoError(t, err)
		total += int(n)
		if n < int64(limit) {
			return total
		}
	}
}

func TestSweepLimit(t *testing.T) {
	t.Parallel()
	s := onFile(t, recommended)
	insertMany(t, s, 0, 5, -time.Second)
	for _, c := range []struct{ limit, want int }{{0, 0}, {-3, 0}, {2, 2}, {2, 2}, {2, 1}, {2, 0}} {
		n, err := s.DeleteExpired(t.Context(), c.limit)
		require.NoError(t, err)
		require.EqualValues(t, c.want, n)
	}
}

// Several nodes sweep at once: none removes what another has, and whoever says
// that none are left is right.
func TestSweepsTogether(t *testing.T) {
	t.Parallel()
	long(t)
	const expired, live, limit = 3000, 500, 400
	path := newPath(t)
	db := openSQLite(t, dsn(path, recommended))
	s := migrated(t, db)
	insertMany(t, s, live, expired, -time.Second)
	for i := range live { // will be due, and alive
		require.NoError(t, s.Insert(t.Context(), key(i), record(1, 2*time.Second)))
		require.NoError(t, s.Touch(t.Context(), key(i), 1, time.Now().Add(time.Hour)))
	}
	eventually(t, func() bool { // all of them are due
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM sessions WHERE due <= ?", time.Now().UnixMilli()).Scan(&n))
		return n == live+expired
	})
	var total atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		node := newStore(t, openSQLite(t, dsn(path, bare)))
		wg.Go(func() {
			for {
				n, err := node.DeleteExpired(t.Context(), limit)
				total.Add(n)
				if err != nil {
					t.Error(err)
					return
				}
				if n < limit {
					if left, err := s.DeleteExpired(t.Context(), 1); err != nil || left != 0 {
						t.Errorf("%d left, error %v", left, err)
					}
					return
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, expired, total.Load())
	require.Equal(t, live, count(t, db))
}

// Live records cost a sweep nothing, except once those whose life was lengthened
// since they were due. The number of statements tells: each looks at a batch.
func TestSweepCost(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, plain *sqlstore.Store, db *sql.DB) {
		s, rec := recorded(t, db)
		const live, batch = 1000, 100
		insertMany(t, plain, 0, live, time.Hour)
		cost := func() int {
			t.Helper()
			before := rec.count()
			require.Zero(t, sweep(t, s, 5000))
			return rec.count() - before
		}
		require.Equal(t, 1, cost(), "nothing is due")
		for i := range live {
			require.NoError(t, plain.Touch(t.Context(), key(i), 1, time.Now().Add(3*time.Hour)))
		}
		require.Equal(t, 1, cost(), "nothing is due")
		elapse(time.Hour)
		require.Equal(t, 3*live/batch+1, cost(), "all are put off")
		require.Equal(t, 1, cost(), "all have been put off")
	})
}

// No statement reads the whole table.
func TestStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	db := openSQLite(t, dsn(path, recommended))
	migrated(t, db)
	s, rec := recorded(t, db)
	exercise(t, s)
	texts := rec.distinct()
	require.GreaterOrEqual(t, len(texts), 12, "of Store: %d", len(texts))
	for _, text := range texts {
		require.NotContains(t, strings.ToUpper(text), "BEGIN")
		for _, step := range plan(t, db, text) {
			if step != "SCAN CONSTANT ROW" {
				require.NotContains(t, step, "SCAN", text)
			}
			require.NotContains(t, step, "TEMP B-TREE", text)
		}
	}
}

// plan returns how SQLite would run a statement.
func plan(t *testing.T, db *sql.DB, text string) (steps []string) {
	t.Helper()
	args := make([]any, strings.Count(text, "?"))
	for i := range args {
		args[i] = 1
	}
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	require.NoError(t, err, text)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
		steps = append(steps, detail)
	}
	require.NoError(t, rows.Err())
	return steps
}

// exercise runs each statement once at least.
func exercise(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	ctx := t.Context()
	require.NoError(t, s.Insert(ctx, key(1), owned(1, "ada")))
	_, err := s.Swap(ctx, key(1), 1, record(2, time.Minute))
	require.NoError(t, err)
	_, err = s.Swap(ctx, key(1), 2, owned(3, "ada"))
	require.NoError(t, err)
	require.NoError(t, s.Touch(ctx, key(1), 3, time.Now().Add(2*time.Hour)))
	list, err := s.ListOwner(ctx, "ada", [32]byte{}, 5)
	require.NoError(t, err)
	require.Len(t, list, 1)
	n, err := s.DeleteOwner(ctx, "ada")
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	require.NoError(t, s.Delete(ctx, key(1)))
	require.NoError(t, s.Insert(ctx, key(2), record(1, -time.Second)))
	require.Equal(t, 1, sweep(t, s, 5))
}
