package integration_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// requireRefusedBy checks the class of an error that certainly changed nothing.
func requireRefusedBy(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, store.ErrRefused)
	requireNoAnswer(t, err)
}

func TestServerBeforeMigrate(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		db := srv.open(t, srv.dsn(t))
		s := srv.newStore(t, db, newTable(t, db))
		for _, w := range writes() {
			err := w.do(t.Context(), s)
			requireNoAnswer(t, err)
			require.ErrorContains(t, err, "exist", w.name)
			if w.name != "DeleteOwner" && w.name != "DeleteExpired" { // which read first
				requireRefusedBy(t, err)
			}
		}
		_, err := s.Load(t.Context(), key(1))
		requireNoAnswer(t, err)
		require.NoError(t, s.Migrate(t.Context()))
		require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
	})
}

func TestServerReadOnly(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		prepare(t, sub.Store)
		readOnly := addParam(sub.dsn, map[sqlstore.Dialect]string{
			sqlstore.PostgreSQL: "default_transaction_read_only=on", sqlstore.MySQL: "tx_read_only=1",
		}[srv.dialect])
		s := srv.newStore(t, srv.open(t, readOnly), sub.table)
		for _, w := range writes() {
			requireRefusedBy(t, w.do(t.Context(), s))
		}
		requireUnchanged(t, sub.Store)
		requireUnchanged(t, s)
	})
}

// Nobody listens: nothing was sent, and no password is shown.
func TestServerAbsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		srv server
		dsn string
	}{
		{postgres, "postgres://ada:geheim@127.0.0.1:1/postgres?sslmode=disable"},
		{maria, "ada:geheim@tcp(127.0.0.1:1)/test"},
	} {
		db, err := sql.Open(c.srv.driver, c.dsn)
		require.NoError(t, err)
		s := c.srv.newStore(t, db, "sessions")
		err = s.Insert(t.Context(), key(1), record(1, time.Hour))
		requireRefusedBy(t, err)
		require.NotContains(t, err.Error(), "geheim")
		_, err = s.Load(t.Context(), key(1))
		requireNoAnswer(t, err)
		require.NotContains(t, err.Error(), "geheim")
		require.Error(t, s.Migrate(t.Context()))
		require.NoError(t, db.Close())
		requireRefusedBy(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
	}
}

// An error of the server names neither the record nor a credential.
func TestServerErrorsHoldNoSecret(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		dsn := map[sqlstore.Dialect]*strings.Replacer{
			sqlstore.PostgreSQL: strings.NewReplacer("postgres@", "nobody:geheim@"),
			sqlstore.MySQL:      strings.NewReplacer("root@", "nobody:geheim@"),
		}[srv.dialect].Replace(sub.dsn)
		require.Contains(t, dsn, "geheim")
		r := owned(1, "ada")
		r.Data = []byte("secret")
		s := srv.newStore(t, srv.open(t, dsn), sub.table)
		requireRefusedBy(t, s.Insert(t.Context(), key(1), r))
		for _, err := range []error{
			s.Insert(t.Context(), key(1), r), s.Migrate(t.Context()),
			srv.newStore(t, sub.db, sub.table+"x").Insert(t.Context(), key(1), r),
		} {
			require.Error(t, err)
			for _, secret := range []string{"geheim", "secret", "ada"} {
				require.NotContains(t, err.Error(), secret)
			}
		}
	})
}

func TestServerContextEndsDuringAWrite(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		prepare(t, sub.Store)
		tx, err := sub.db.BeginTx(t.Context(), nil)
		require.NoError(t, err)
		_, err = tx.ExecContext(t.Context(), "SELECT id FROM "+sub.table+" FOR UPDATE")
		require.NoError(t, err)
		for _, w := range writes()[1:] {
			for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				if errors.Is(end, context.Canceled) {
					cancel()
					ctx, cancel = context.WithCancel(t.Context())
					timer := time.AfterFunc(100*time.Millisecond, cancel)
					defer timer.Stop()
				}
				begun := time.Now()
				requireEnded(t, w.do(ctx, sub.Store), end)
				require.Less(t, time.Since(begun), 5*time.Second, w.name)
				cancel()
			}
		}
		require.NoError(t, tx.Rollback())
		// The server may go on with what was given up.
		_, err = sub.Load(t.Context(), key(5))
		require.ErrorIs(t, err, store.ErrNotFound)
		require.NoError(t, sub.Insert(t.Context(), key(7), record(1, time.Hour)))
	})
}

func TestServerEndedContext(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		prepare(t, sub.Store)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		for _, w := range writes() {
			requireEnded(t, w.do(canceled, sub.Store), context.Canceled)
		}
		_, err := sub.Load(canceled, key(1))
		requireEnded(t, err, context.Canceled)
		require.ErrorIs(t, sub.Migrate(canceled), context.Canceled)
		requireUnchanged(t, sub.Store)
	})
}

// Connections that the server ends are replaced.
func TestServerEndsConnections(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		sub := srv.newSubject(t)
		s := sub.another(t)
		require.NoError(t, s.Insert(t.Context(), key(1), record(1, time.Hour)))
		if srv.dialect == sqlstore.PostgreSQL {
			sub.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"+
				" WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
		} else {
			sub.exec(t, "BEGIN NOT ATOMIC FOR r IN (SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID())"+
				" DO KILL r.id; END FOR; END")
		}
		_, err := s.Load(t.Context(), key(1))
		if err != nil { // in the middle of it
			_, err = s.Load(t.Context(), key(1))
		}
		require.NoError(t, err)
		_, err = s.Swap(t.Context(), key(1), 1, record(2, time.Hour))
		require.NoError(t, err)
	})
}

// The server gives up a wait, or a transaction: nothing has happened, and the
// store tries again.
func TestServerLockTimeoutIsRepeated(t *testing.T) {
	t.Parallel()
	for name, srv := range map[string]server{
		"PostgreSQL": postgres.with("lock_timeout=50"),
		"MariaDB":    maria.with("innodb_lock_wait_timeout=1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sub := srv.newSubject(t)
			prepare(t, sub.Store)
			tx, err := sub.db.BeginTx(t.Context(), nil)
			require.NoError(t, err)
			_, err = tx.ExecContext(t.Context(), "SELECT id FROM "+sub.table+" FOR UPDATE")
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				_, err := sub.Swap(context.Background(), key(1), 1, owned(2, "ada"))
				done <- err
			}()
			select {
			case err := <-done:
				t.Fatalf("did not wait: %v", err)
			case <-time.After(1500 * time.Millisecond):
			}
			require.NoError(t, tx.Rollback())
			require.NoError(t, <-done)
		})
	}
}

func TestMariaDBTooBig(t *testing.T) {
	t.Parallel()
	long(t)
	plain := maria.newSubject(t)
	limit := plain.number(t, "SELECT @@global.max_allowed_packet")
	if limit > 32<<20 {
		t.Skipf("the server takes packets of %d bytes", limit)
	}
	for _, params := range []string{
		"", "interpolateParams=true", "maxAllowedPacket=0", "maxAllowedPacket=0&interpolateParams=true", "maxAllowedPacket=1048576&interpolateParams=true",
	} {
		s := maria.newStore(t, maria.open(t, addParam(plain.dsn, params)), plain.table)
		r := owned(1, "ada")
		r.Data = make([]byte, limit+1<<20)
		requireRefusedBy(t, s.Insert(t.Context(), key(1), r))
		_, err := s.Load(t.Context(), key(1))
		require.ErrorIs(t, err, store.ErrNotFound, params)
		require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")), "the store goes on")
		require.NoError(t, s.Delete(t.Context(), key(1)))
	}
}

func TestMariaDBWithoutAutocommit(t *testing.T) {
	t.Parallel()
	sub := maria.newSubject(t)
	s := maria.newStore(t, maria.open(t, addParam(sub.dsn, "autocommit=0")), sub.table)
	require.ErrorContains(t, s.Migrate(t.Context()), "autocommit")
}
