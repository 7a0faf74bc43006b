package session_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// layer passes on more than a store beneath may have.
type layer struct {
	store.Store
	store.OwnerIndex
	store.Sweeper
	store.Watcher
	beneath store.Store
}

func (l layer) Beneath() store.Store { return l.beneath }

// What a layer can only pass on is there where the store beneath has it.
func TestCapabilitiesOfALayer(t *testing.T) {
	t.Parallel()
	back := memory.New()
	whole := layer{Store: back, OwnerIndex: back, Sweeper: back, Watcher: back, beneath: back}
	bare := whole
	bare.beneath = spy.Wrap(back)
	twice := whole
	twice.beneath = bare
	for name, c := range map[string]struct {
		store store.Store
		want  bool
	}{"whole": {whole, true}, "bare": {bare, false}, "a layer over a bare layer": {twice, false}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, err := session.NewManager(session.Config{Store: c.store})
			require.NoError(t, err)
			_, sweeping := m.DeleteExpired(t.Context())
			for what, err := range map[string]error{
				"owners":   m.RevokeOwner(t.Context(), "ada"),
				"sweeping": sweeping,
			} {
				require.Equal(t, c.want, !errors.Is(err, errors.ErrUnsupported), "%s: %v", what, err)
			}
			s := m.Open(session.Opening{})
			ctx := session.NewContext(t.Context(), s)
			require.NoError(t, rigCount.Set(ctx, 1))
			require.NoError(t, s.Login(ctx, "ada"), "without an owner index as well")
			_, err = m.Commit(ctx, s)
			require.NoError(t, err)
			info, err := s.Info(ctx)
			require.NoError(t, err)
			done := s.Done()
			began := time.Now()
			require.NoError(t, m.Revoke(t.Context(), info.ID))
			<-done
			t.Logf("told after %v", time.Since(began))
			require.NoError(t, m.Finish(ctx, s))
		})
	}
}
