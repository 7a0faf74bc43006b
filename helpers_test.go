package session_test

import (
	"context"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/record"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// errTest is an error that nobody else returns.
var errTest = errors.New("a failure made by the test")

// newManager returns a manager on a store in memory, unless change says
// otherwise.
func newManager(t testing.TB, change ...func(cfg *session.Config)) *session.Manager {
	t.Helper()
	cfg := session.Config{}
	for _, f := range change {
		f(&cfg)
	}
	if cfg.Store == nil {
		cfg.Store = memory.New()
	}
	m, err := session.NewManager(cfg)
	require.NoError(t, err)
	return m
}

// on makes newManager use a store.
func on(s store.Store) func(*session.Config) {
	return func(cfg *session.Config) { cfg.Store = s }
}

// visitor sends requests without HTTP and keeps the cookie as a browser does.
type visitor struct {
	t      testing.TB
	m      *session.Manager
	cookie string
}

func newVisitor(t testing.TB, m *session.Manager) *visitor {
	return &visitor{t: t, m: m}
}

// open begins a request.
func (v *visitor) open() (context.Context, *session.Session) {
	o := session.Opening{}
	if v.cookie != "" {
		o.Credentials = []string{v.cookie}
	}
	s := v.m.Open(o)
	return session.NewContext(v.t.Context(), s), s
}

// end commits and finishes a request.
func (v *visitor) end(ctx context.Context, s *session.Session) (session.Ticket, error) {
	v.t.Helper()
	ticket, err := v.m.Commit(ctx, s)
	switch ticket.Action() {
	case session.ActionSet:
		v.cookie = ticket.Credential()
	case session.ActionRemove:
		v.cookie = ""
	}
	require.NoError(v.t, v.m.Finish(ctx, s))
	return ticket, err
}

// try makes a request that may fail in the commit.
func (v *visitor) try(f func(ctx context.Context)) (session.Ticket, error) {
	v.t.Helper()
	ctx, s := v.open()
	f(ctx)
	return v.end(ctx, s)
}

// request makes a request that must be committed.
func (v *visitor) request(f func(ctx context.Context)) session.Ticket {
	v.t.Helper()
	ticket, err := v.try(f)
	require.NoError(v.t, err)
	return ticket
}

// info returns what the session says about itself in a request of its own.
func (v *visitor) info() (info session.Info) {
	v.t.Helper()
	v.request(func(ctx context.Context) {
		var err error
		info, err = session.FromContext(ctx).Info(ctx)
		require.NoError(v.t, err)
	})
	return info
}

func keyOf(t testing.TB, id string) store.Key {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(id)
	require.NoError(t, err)
	return store.Key(b)
}

// stored returns the values in the store's record of the visitor's session.
func (v *visitor) stored(s store.Store) map[string]string {
	v.t.Helper()
	rec, err := s.Load(v.t.Context(), keyOf(v.t, v.info().ID))
	require.NoError(v.t, err)
	view, err := record.Parse(rec.Data)
	require.NoError(v.t, err)
	values := map[string]string{}
	for val := range view.Values.All() {
		values[string(val.Name)] = string(val.Raw)
	}
	return values
}

// plant writes values as another program, or another version of this one,
// would: unchecked. The names are in ascending order.
func (v *visitor) plant(s store.Store, pairs ...string) {
	v.t.Helper()
	if v.cookie == "" {
		v.request(func(ctx context.Context) {
			require.NoError(v.t, session.Key[bool]("planted").Set(ctx, true))
		})
	}
	key := keyOf(v.t, v.info().ID)
	rec, err := s.Load(v.t.Context(), key)
	require.NoError(v.t, err)
	view, err := record.Parse(rec.Data)
	require.NoError(v.t, err)
	var e record.Edits
	for i := 0; i < len(pairs); i += 2 {
		e.Set = append(e.Set, record.Edit{Name: pairs[i], Raw: []byte(pairs[i+1])})
	}
	next := rec
	next.Data = record.Encode(&view.Meta, rec.Version, view.Values, &e)
	next.Version = rec.Version/2 + 1
	_, err = s.Swap(v.t.Context(), key, rec.Version, next)
	require.NoError(v.t, err)
}

// in sets the lifetime of sessions.
func in(lifetime time.Duration) func(*session.Config) {
	return func(cfg *session.Config) { cfg.Lifetime = lifetime }
}
