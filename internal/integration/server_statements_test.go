package integration_test

import (
	"database/sql"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// What an operation costs, in statements. None is in a transaction, and with
// PostgreSQL none is prepared: a proxy may give each another connection.
func TestServerStatements(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		s, to := tapped(t, sub)
		ctx := t.Context()
		require.NoError(t, s.Migrate(ctx), "nothing is missing")
		for range 2 { // the second time nothing is prepared for MySQL either
			for _, c := range []struct {
				name string
				want int
				do   func() error
			}{
				{"Insert", 1, func() error { return s.Insert(ctx, key(1), owned(1, "ada")) }},
				{"Load", 1, func() error { _, err := s.Load(ctx, key(1)); return err }},
				{"Swap", 1, func() error { r := owned(2, "ada"); _, err := s.Swap(ctx, key(1), 1, r); return err }},
				{"Swap of the owner", 3, func() error { _, err := s.Swap(ctx, key(1), 2, owned(3, "bob")); return err }},
				{"Swap again", 2, func() error { _, err := s.Swap(ctx, key(1), 2, owned(3, "bob")); return err }},
				{"Touch", 1, func() error { return s.Touch(ctx, key(1), 3, time.Now().Add(2*time.Hour)) }},
				{"ListOwner", 1, func() error { _, err := s.ListOwner(ctx, "bob", store.Key{}, 9); return err }},
				{"DeleteOwner", 2, func() error { _, err := s.DeleteOwner(ctx, "bob"); return err }},
				{"Delete", 1, func() error { return s.Delete(ctx, key(1)) }},
				{"DeleteExpired", 1, func() error { _, err := s.DeleteExpired(ctx, 9); return err }},
			} {
				require.Equal(t, c.want, to.took(func() { require.NoError(t, c.do(), c.name) }), c.name)
			}
			require.ErrorIs(t, s.Insert(ctx, key(2), owned(1, "ada")), nil)
			require.ErrorIs(t, s.Insert(ctx, key(2), owned(1, "ada")), store.ErrExists)
			require.NoError(t, s.Delete(ctx, key(2)))
		}
		require.NotContains(t, to.distinct(), "BEGIN")
		switch srv.dialect {
		case sqlstore.PostgreSQL:
			require.Zero(t, to.prepared)
		default:
			require.LessOrEqual(t, to.prepared, 12, "of each statement, one on the one connection")
		}
	})
}

// No statement reads the whole table or sorts.
func TestPostgreSQLStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	sub := postgres.newSubject(t)
	s, to := tapped(t, sub)
	exercise(t, s)
	insertMany(t, s, 10, 2, -time.Second)
	require.Equal(t, 2, sweep(t, s, 9))
	conn, err := sub.db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	// The table is small: by cost alone all would be read.
	_, err = conn.ExecContext(t.Context(), "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan")
	require.NoError(t, err)
	texts := to.distinct()
	require.GreaterOrEqual(t, len(texts), 12)
	for i, text := range texts {
		params := strings.TrimSuffix(strings.Repeat("NULL,", len(regexp.MustCompile(`\$\d+`).FindAllString(text, -1))), ",")
		run := fmt.Sprintf("EXECUTE p%d", i)
		if params != "" {
			run += "(" + params + ")"
		}
		_, err := conn.ExecContext(t.Context(), fmt.Sprintf("PREPARE p%d AS %s", i, text))
		require.NoError(t, err, text)
		for _, step := range explain(t, conn, run) {
			require.NotContains(t, step, "Seq Scan", text)
			require.NotContains(t, step, "Sort", text)
		}
	}
}

// explain returns how PostgreSQL would run a statement.
func explain(t *testing.T, conn *sql.Conn, text string) (steps []string) {
	t.Helper()
	rows, err := conn.QueryContext(t.Context(), "EXPLAIN "+text)
	require.NoError(t, err, text)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var step string
		require.NoError(t, rows.Scan(&step))
		steps = append(steps, step)
	}
	require.NoError(t, rows.Err())
	return steps
}
