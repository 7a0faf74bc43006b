package session_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// staleStore answers Load with what it has once read, whatever others have done since:
// a near cache at its worst.
type staleStore struct {
	store.Store
	mu     sync.Mutex
	copies map[store.Key]store.Record
}

func (s *staleStore) Load(ctx context.Context, key store.Key) (store.Record, error) {
	s.mu.Lock()
	rec, ok := s.copies[key]
	s.mu.Unlock()
	if ok {
		return rec, nil
	}
	return s.LoadFresh(ctx, key)
}

func (s *staleStore) LoadFresh(ctx context.Context, key store.Key) (store.Record, error) {
	rec, err := s.Store.Load(ctx, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.copies, key)
	if err == nil {
		s.copies[key] = rec
	}
	return rec, err
}

var _ store.FreshLoader = (*staleStore)(nil)

type rigPair struct {
	Text  string `json:"rig.text"`
	Third int    `json:"rig.third,omitempty"`
}

var rigBoth = session.Struct[rigPair]()

// What a request changes starts from what is stored, also where it has read an old copy:
// nothing is left out because the copy has it already.
func TestPromise1_ChangeOfAnOldCopy(t *testing.T) {
	t.Parallel()
	none := func(context.Context) error { return nil }
	for name, c := range map[string]struct {
		before, do func(q *rigRequest) error // by the other node, and then by this one
		err        error                     // of the second
		want       string                    // what is stored then; empty: nothing
	}{
		"Set of the old value": {
			func(q *rigRequest) error { return rigText.Set(q.ctx, "new") },
			func(q *rigRequest) error { return rigText.Set(q.ctx, "old") }, nil, "old",
		},
		"Set of a struct of old values": {
			func(q *rigRequest) error { return rigText.Set(q.ctx, "new") },
			func(q *rigRequest) error { return rigBoth.Set(q.ctx, rigPair{Text: "old"}) }, nil, "old",
		},
		"Delete of what the copy lacks": {
			func(q *rigRequest) error { return rigThird.Set(q.ctx, 1) },
			func(q *rigRequest) error { return rigThird.Delete(q.ctx) }, nil, "old",
		},
		"Update that changes nothing of the copy": {
			func(q *rigRequest) error { return rigText.Set(q.ctx, "new") },
			func(q *rigRequest) error {
				_, err := rigText.Update(q.ctx, func(s *string) error { *s = "old"; return nil })
				return err
			}, nil, "old",
		},
		"Update of a struct that changes nothing of the copy": {
			func(q *rigRequest) error { return rigText.Set(q.ctx, "new") },
			func(q *rigRequest) error {
				_, err := rigBoth.Update(q.ctx, func(p *rigPair) error { p.Text = "old"; return nil })
				return err
			}, nil, "old",
		},
		"SetExpiry to that of the copy": {
			func(q *rigRequest) error { return q.s.SetExpiry(q.ctx, session.OnInactivity(session.DefaultGrace)) },
			func(q *rigRequest) error { return q.s.SetExpiry(q.ctx, session.Expiry{}) }, nil, "old",
		},
		"Set in a session that has ended": {
			func(q *rigRequest) error { return q.s.Destroy(q.ctx) },
			func(q *rigRequest) error { return rigText.Set(q.ctx, "old") }, session.ErrDestroyed, "",
		},
		"Set with a credential from before a login": {
			func(q *rigRequest) error { return q.s.Login(q.ctx, "ada") },
			func(q *rigRequest) error { return rigText.Set(q.ctx, "old") }, session.ErrSuperseded, "old",
		},
		"Destroy with a credential from before a login": {
			func(q *rigRequest) error { return q.s.Login(q.ctx, "ada") },
			func(q *rigRequest) error { return q.s.Destroy(q.ctx) }, session.ErrSuperseded, "old",
		},
		"Destroy of what has ended": {
			func(q *rigRequest) error { return q.s.Destroy(q.ctx) },
			func(q *rigRequest) error { return q.s.Destroy(q.ctx) }, nil, "",
		},
	} {
		for when, read := range map[string]func(ctx context.Context) error{
			"": none,
			", after a read": func(ctx context.Context) error {
				_, err := rigOther.Get(ctx)
				return err
			},
		} {
			t.Run(name+when, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				near := r.manager(func(cfg *session.Config) {
					cfg.Store = &staleStore{Store: r.store, copies: map[store.Key]store.Record{}}
				})
				cookie := r.request("", func(q *rigRequest) { q.write("old") })
				openNear := func() *rigRequest { // as for a GET
					s := near.Open(session.Opening{Credentials: []string{cookie}})
					return &rigRequest{t: t, m: near, s: s, ctx: session.NewContext(t.Context(), s)}
				}
				q := openNear()
				require.Equal(t, "old", q.text())
				q.end()
				newest := r.request(cookie, func(q *rigRequest) { require.NoError(t, c.before(q)) })

				q = openNear()
				require.NoError(t, read(q.ctx))
				err := c.do(q)
				if err == nil {
					_, err = q.commit()
				}
				_ = q.m.Finish(q.ctx, q.s)
				if c.err == nil || when != "" { // without a read, it is a visitor's without a session
					require.ErrorIs(t, err, c.err)
				}
				after := r.open(newest)
				require.Equal(t, c.want == "", after.info().New)
				require.Equal(t, c.want, after.text())
				require.Zero(t, after.get(rigThird))
				if name == "SetExpiry to that of the copy" {
					require.Equal(t, session.OnSessionEnd(), after.info().Expiry)
				}
			})
		}
	}
}

// A value that was read from an old copy is not replaced unseen.
func TestReplaceOfWhatAnOldCopyHad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	near := r.manager(func(cfg *session.Config) {
		cfg.Store = &staleStore{Store: r.store, copies: map[store.Key]store.Record{}}
	})
	cookie := r.start(1)
	for i := range 2 {
		s := near.Open(session.Opening{Credentials: []string{cookie}})
		q := &rigRequest{t: t, m: near, s: s, ctx: session.NewContext(t.Context(), s)}
		require.Equal(t, 1, q.get(rigCount))
		if i == 1 {
			var conflict *session.ConflictError
			require.ErrorAs(t, rigCount.Set(q.ctx, 2), &conflict)
			require.Equal(t, 8, q.increment(), "on what is stored")
		}
		q.end()
		if i == 0 {
			r.request(cookie, func(q *rigRequest) { q.set(rigCount, 7) })
		}
	}
	r.request(cookie, func(q *rigRequest) { require.Equal(t, 8, q.get(rigCount)) })
}

// A session that was new when the request first looked loses nothing of what is pending
// when a part of it is stored at once.
func TestPromise1_PendingChangesOfANewSession(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	near := r.manager(func(cfg *session.Config) {
		cfg.Store = &staleStore{Store: r.store, copies: map[store.Key]store.Record{}}
	})
	s := near.Open(session.Opening{})
	q := &rigRequest{t: t, m: near, s: s, ctx: session.NewContext(t.Context(), s)}
	require.True(t, q.info().New)
	q.set(rigCount, 1)
	n, err := rigOther.GetOrSet(q.ctx, func() (int, error) { return 2, nil }) // stores the session
	require.NoError(t, err)
	require.Equal(t, 2, n)
	r.store.Calls()
	q.set(rigThird, 3)
	calls := r.store.Calls()
	cookie := q.end()
	r.request(cookie, func(q *rigRequest) {
		require.Equal(t, []int{1, 2, 3}, []int{q.get(rigCount), q.get(rigOther), q.get(rigThird)})
	})
	require.Empty(t, calls, "there is nothing to load again")
}
