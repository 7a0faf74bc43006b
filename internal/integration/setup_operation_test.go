package integration_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// operations are the rows of docs/stores.md on what an operation takes, on a store
// that has the record of key(1), version 1, of ada.
var operations = map[string]func(ctx context.Context, s *sqlstore.Store) error{
	"`Load`":   func(ctx context.Context, s *sqlstore.Store) error { _, err := s.Load(ctx, key(1)); return err },
	"`Insert`": func(ctx context.Context, s *sqlstore.Store) error { return s.Insert(ctx, key(2), owned(1, "ada")) },
	"`Swap`": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Swap(ctx, key(1), 1, longer("ada"))
		return err
	},
	"`Swap`, another owner": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Swap(ctx, key(1), 1, longer("bob"))
		return err
	},
	"`Swap`, a shorter life": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Swap(ctx, key(1), 1, store.Record{Version: 2, Owner: "ada", Expires: time.Now().Add(time.Minute)})
		return err
	},
	"`Swap`, a conflict": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Swap(ctx, key(1), 9, longer("ada"))
		return asWanted(err, store.ErrConflict)
	},
	"`Swap`, no record": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.Swap(ctx, key(3), 1, longer("ada"))
		return asWanted(err, store.ErrNotFound)
	},
	"`Touch`": func(ctx context.Context, s *sqlstore.Store) error {
		return s.Touch(ctx, key(1), 1, time.Now().Add(2*time.Hour))
	},
	"`Delete`": func(ctx context.Context, s *sqlstore.Store) error { return s.Delete(ctx, key(1)) },
	"`ListOwner`, one page": func(ctx context.Context, s *sqlstore.Store) error {
		_, err := s.ListOwner(ctx, "ada", store.Key{}, 9)
		return err
	},
	"`DeleteOwner`, of up to 99":      func(ctx context.Context, s *sqlstore.Store) error { _, err := s.DeleteOwner(ctx, "ada"); return err },
	"`DeleteExpired`, nothing is due": func(ctx context.Context, s *sqlstore.Store) error { _, err := s.DeleteExpired(ctx, 9); return err },
}

func longer(owner string) store.Record {
	r := owned(2, owner)
	r.Expires = r.Expires.Add(time.Hour)
	return r
}

// asWanted is nil if err is the answer that was wanted.
func asWanted(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("the answer is %w, want %w", err, want)
}

func TestStoresDocOperations(t *testing.T) {
	t.Parallel()
	rows := storesDoc(t).table(t, "operations")
	check := func(t *testing.T, s *sqlstore.Store, took func(f func()) int) {
		t.Helper()
		tried := 0
		for _, row := range rows {
			for name := range strings.SplitSeq(row[1], "; ") {
				require.Contains(t, operations, name)
				for i := range 3 {
					require.NoError(t, s.Delete(t.Context(), key(i)))
				}
				require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
				n := took(func() { require.NoError(t, operations[name](t.Context(), s), name) })
				require.Equal(t, row[0], strconv.Itoa(n), name)
				tried++
			}
		}
		require.Len(t, operations, tried)
	}
	onServers(t, func(t *testing.T, srv server) {
		s, to := tapped(t, srv.newSubject(t))
		check(t, s, to.took)
	})
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := openSQLite(t, dsn(newPath(t), recommended))
		migrated(t, db)
		s, rec := recorded(t, db)
		check(t, s, func(f func()) int {
			before := rec.count()
			f()
			return rec.count() - before
		})
	})
}
