package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// The server's clock decides, to the millisecond.
func TestServerClock(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		const life = 1500
		exp := sub.number(t, srv.clock) + life
		for i := range 2 {
			r := owned(1, "ada")
			r.Expires = time.UnixMilli(exp)
			require.NoError(t, sub.Insert(t.Context(), key(i), r))
		}
		eventually(t, func() bool {
			before := sub.number(t, srv.clock)
			_, err := sub.Load(t.Context(), key(1))
			list, listErr := sub.ListOwner(t.Context(), "ada", store.Key{}, 5)
			require.NoError(t, listErr)
			after := sub.number(t, srv.clock)
			if err == nil {
				require.Less(t, before, exp, "live too long")
			} else {
				require.ErrorIs(t, err, store.ErrNotFound)
				require.GreaterOrEqual(t, after, exp, "gone too soon")
				require.Empty(t, list)
			}
			if len(list) > 0 {
				require.Less(t, before, exp, "listed too long")
			}
			return err != nil
		})
		n, err := sub.DeleteOwner(t.Context(), "ada")
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, sub.Touch(t.Context(), key(1), 1, time.Now().Add(time.Hour)))
		_, err = sub.Swap(t.Context(), key(1), 1, record(2, time.Hour))
		require.ErrorIs(t, err, store.ErrNotFound)
		n, err = sub.DeleteExpired(t.Context(), 10)
		require.NoError(t, err)
		require.EqualValues(t, 2, n)
	})
}

// A write that waits for a lock must not bring back what expires meanwhile:
// others have been told by then that it is gone.
func TestServerExpiryWhileWaitingForTheLock(t *testing.T) {
	t.Parallel()
	ops := map[string]func(s *subject) error{
		"Touch": func(s *subject) error { return s.Touch(context.Background(), key(1), 1, time.Now().Add(time.Hour)) },
		"Swap": func(s *subject) error {
			_, err := s.Swap(context.Background(), key(1), 1, record(2, time.Hour))
			return err
		},
		"Swap of everything": func(s *subject) error {
			_, err := s.Swap(context.Background(), key(1), 1, owned(2, "ada"))
			return err
		},
	}
	for name, op := range ops {
		onServers(t, func(t *testing.T, srv server) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if srv.dialect == sqlstore.MySQL {
					srv = srv.with("time_zone=%27%2B05%3A30%27")
				}
				sub := srv.newSubject(t)
				require.NoError(t, sub.Insert(t.Context(), key(1), record(1, 400*time.Millisecond)))
				tx, err := sub.db.BeginTx(t.Context(), nil)
				require.NoError(t, err)
				_, err = tx.ExecContext(t.Context(), "SELECT id FROM "+sub.table+" FOR UPDATE")
				require.NoError(t, err)
				done := make(chan error, 1)
				go func() { done <- op(sub) }()
				eventually(t, func() bool {
					_, err := sub.Load(t.Context(), key(1))
					return errors.Is(err, store.ErrNotFound)
				})
				require.Empty(t, done, "it waits")
				require.NoError(t, tx.Rollback())
				if err := <-done; name == "Touch" {
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, store.ErrNotFound)
				}
				_, err = sub.Load(t.Context(), key(1))
				require.ErrorIs(t, err, store.ErrNotFound)
			})
		})
	}
}

// autumn is when the clocks go back an hour in the zone of addZone: 2026-11-01
// 06:00 UTC.
const autumn = 1793512800

// addZone gives the server a time zone: it has names only for those that it was
// told about.
func addZone(t *testing.T, sub *subject) (name string) {
	t.Helper()
	conn, err := sub.db.Conn(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO mysql.time_zone (Use_leap_seconds) VALUES ('N')"); err != nil {
		t.Skipf("no right to define a time zone: %v", err)
	}
	name = "SessionTest/" + sub.table
	var id int64
	require.NoError(t, conn.QueryRowContext(t.Context(), "SELECT LAST_INSERT_ID()").Scan(&id))
	tables := []string{"time_zone_name", "time_zone_transition", "time_zone_transition_type", "time_zone"}
	t.Cleanup(func() {
		for _, table := range tables {
			_, err := sub.db.ExecContext(context.Background(), fmt.Sprintf("DELETE FROM mysql.%s WHERE Time_zone_id = %d", table, id))
			require.NoError(t, err)
		}
	})
	for _, query := range []string{
		"INSERT INTO mysql.time_zone_name (Name, Time_zone_id) VALUES ('%[2]s', %[1]d)",
		"INSERT INTO mysql.time_zone_transition_type VALUES (%[1]d, 0, -14400, 1, 'EDT'), (%[1]d, 1, -18000, 0, 'EST')",
		"INSERT INTO mysql.time_zone_transition VALUES (%[1]d, 1772953200, 0), (%[1]d, %[3]d, 1)",
	} {
		_, err := conn.ExecContext(t.Context(), fmt.Sprintf(query, id, name, autumn))
		require.NoError(t, err)
	}
	return name
}

// The hour that comes twice, as the clocks go back, counts twice.
func TestMariaDBSummerTime(t *testing.T) {
	t.Parallel()
	long(t)
	sub := maria.newSubject(t)
	autumnZone := addZone(t, sub)
	at := func(seconds int, zone string) *subject {
		params := fmt.Sprintf("timestamp=%d.5&time_zone=%%27%s%%27", seconds, url.QueryEscape(zone))
		db := maria.open(t, addParam(sub.dsn, params))
		return &subject{Store: maria.newStore(t, db, sub.table), server: maria, db: db, table: sub.table}
	}
	const half = 1800
	for _, seconds := range []int{autumn - 3*half, autumn - half, autumn - 1, autumn, autumn + half, autumn + 3*half} {
		there := at(seconds, autumnZone)
		require.EqualValues(t, 1000*seconds+500, there.number(t, maria.clock))
		naive := there.number(t, "SELECT UNIX_TIMESTAMP(NOW(3)) * 1000 DIV 1")
		if ambiguous := seconds >= autumn-2*half && seconds < autumn+2*half; !ambiguous {
			require.EqualValues(t, 1000*seconds+500, naive)
		}
		for i, c := range []struct {
			expires int
			live    bool
		}{{seconds - 2*half, false}, {seconds, false}, {seconds + 1, true}, {seconds + half, true}} {
			k := key(seconds&0xffff<<4 + i)
			r := record(1, 0)
			r.Expires = time.Unix(int64(c.expires), 0)
			require.NoError(t, there.Insert(t.Context(), k, r))
			for _, zone := range []string{autumnZone, "-05:00", "+12:45"} {
				_, err := at(seconds, zone).Load(t.Context(), k)
				require.Equal(t, c.live, err == nil, "at %d in %s expires %d: %v", seconds, zone, c.expires, err)
			}
			r.Version++
			_, err := there.Swap(t.Context(), k, 1, r)
			require.Equal(t, c.live, err == nil, "at %d expires %d: %v", seconds, c.expires, err)
		}
	}
}

// Where the connection thinks it is, and what the driver does to times, is of no
// importance.
func TestMariaDBTimeZones(t *testing.T) {
	t.Parallel()
	sub := maria.newSubject(t)
	r := record(1, time.Hour)
	require.NoError(t, sub.Insert(t.Context(), key(1), r))
	for _, params := range []string{
		"time_zone=%27%2B12%3A45%27", "time_zone=%27-11%3A00%27&parseTime=true", "parseTime=true&loc=Asia%2FKathmandu",
	} {
		s := maria.newStore(t, maria.open(t, addParam(sub.dsn, params)), sub.table)
		got, err := s.Load(t.Context(), key(1))
		require.NoError(t, err, params)
		require.True(t, r.Expires.Equal(got.Expires))
		require.NoError(t, s.Insert(t.Context(), key(2), record(1, 30*time.Minute)))
		require.NoError(t, s.Touch(t.Context(), key(2), 1, time.Now().Add(time.Hour)))
		_, err = s.Swap(t.Context(), key(2), 1, record(2, -time.Second))
		require.NoError(t, err)
		n, err := s.DeleteExpired(t.Context(), 5)
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
	}
}
