package integration_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// Whoever forgets Migrate is told so.
func TestForgottenMigrate(t *testing.T) {
	t.Parallel()
	s, err := sqlstore.New(openSQLite(t, dsn(newPath(t), recommended)), sqlstore.SQLite)
	require.NoError(t, err)
	requireForgotten(t, s)
	onServers(t, func(t *testing.T, srv server) {
		db := srv.open(t, srv.dsn(t))
		requireForgotten(t, srv.newStore(t, db, newTable(t, db)))
	})
}

func requireForgotten(t *testing.T, s store.Store) {
	t.Helper()
	_, err := s.Load(t.Context(), store.Key{1})
	require.ErrorContains(t, err, "call Store.Migrate")
	err = s.Insert(t.Context(), store.Key{1}, store.Record{Version: 1, Expires: time.Now().Add(time.Hour)})
	require.ErrorContains(t, err, "call Store.Migrate")
	require.ErrorIs(t, err, store.ErrRefused)
}
