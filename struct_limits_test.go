package session_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// What does not fit leaves the session as it was, all of it, and usable.
func TestPromise10_StructLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 200)
	for name, c := range map[string]struct {
		limit   session.Limit
		keys    int
		change  func(q *rigRequest) error
		atLast  bool // only the commit can know
		smaller func(q *rigRequest)
	}{
		"set, keys": {
			session.LimitKeys, 3, func(q *rigRequest) error { return scAll.Set(q.ctx, scTrio{A: 7, B: 7, C: "c"}) }, false,
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 7, B: 7}) },
		},
		"set, bytes": {
			session.LimitBytes, 9, func(q *rigRequest) error { return scAll.Set(q.ctx, scTrio{A: 7, B: 7, C: long}) }, false,
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 7, B: 7}) },
		},
		"update, keys": {session.LimitKeys, 3, func(q *rigRequest) error {
			_, err := scAll.Update(q.ctx, func(v *scTrio) error { v.A, v.B, v.C = 7, 7, "c"; return nil })
			return err
		}, false, func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.A, v.B = 7, 7 }) }},
		"update, bytes": {session.LimitBytes, 9, func(q *rigRequest) error {
			_, err := scAll.Update(q.ctx, func(v *scTrio) error { v.A, v.B, v.C = 7, 7, long; return nil })
			return err
		}, false, func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.A, v.B = 7, 7 }) }},
		"get or set, bytes": {session.LimitBytes, 9, func(q *rigRequest) error {
			_, _, err := scAll.Take(q.ctx)
			require.NoError(q.t, err)
			_, err = scAll.GetOrSet(q.ctx, func() (scTrio, error) { return scTrio{C: long}, nil })
			return err
		}, false, func(q *rigRequest) { scSet(q, scAll, scTrio{A: 7, B: 7}) }},
		"with what others add": {
			session.LimitKeys, 4, func(q *rigRequest) error { return scAll.Set(q.ctx, scTrio{A: 7, B: 7, C: "c"}) }, true,
			func(q *rigRequest) { scSet(q, scAll, scTrio{A: 7, B: 7}) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			m := r.manager(func(cfg *session.Config) { cfg.MaxBytes, cfg.MaxKeys = 200, c.keys })
			cookie := r.request("", func(q *rigRequest) { scSet(q, scAll, scTrio{A: 1, B: 2}); q.set(rigOther, 1) })
			q := r.openOn(m, cookie)
			q.set(rigOther, 2)
			err := c.change(q)
			if c.atLast {
				require.NoError(t, err)
				r.request(cookie, func(q *rigRequest) { q.set(rigThird, 3) })
				err = q.s.Save(q.ctx)
			}
			limit := new(session.LimitError)
			require.ErrorAs(t, err, &limit)
			require.Equal(t, c.limit, limit.Limit)
			require.Equal(t, 2, q.get(rigOther))
			c.smaller(q)
			q.end()
			got := scStored(r, cookie)
			delete(got, "rig.third")
			require.Equal(t, map[string]string{"sc_a": "7", "sc_b": "7", "rig.other": "2"}, got)
		})
	}
}

// An Update that does not fit into the log is not there by half.
func TestPromise10_StructUpdatesMeetTheLimitOfChanges(t *testing.T) {
	t.Parallel()
	const most = 10_000
	r := newRig(t)
	cookie := r.scStart(scTrio{})
	q := r.open(cookie)
	for range most/2 - 1 { // each is an entry, and one for the field it changes
		scUpdate(q, scAll, func(v *scTrio) { v.A++ })
	}
	scSet(q, scC, "c")
	limit := new(session.LimitError)
	_, err := scAll.Update(q.ctx, func(v *scTrio) error { v.A++; return nil })
	require.ErrorAs(t, err, &limit)
	require.Equal(t, session.LimitError{Limit: session.LimitChanges, Max: most, Got: most + 1}, *limit)
	require.ErrorAs(t, scAll.Set(q.ctx, scTrio{A: -1, B: -1}), &limit)
	scSet(q, scC, "d") // takes the place of the last one
	scUpdate(q, scAll, func(*scTrio) {})
	require.ErrorAs(t, scB.Set(q.ctx, 1), &limit)
	r.beforeSwap(cookie, func(q *rigRequest) { scSet(q, scA, 1) })
	q.save()
	require.Equal(t, scTrio{A: most / 2, C: "d"}, scGet(q, scAll))
	scUpdate(q, scAll, func(v *scTrio) { v.B = 1 }) // there is room again
	q.end()
	require.Equal(t, scTrio{A: most / 2, B: 1, C: "d"}, scGet(r.open(cookie), scAll))
}

// Inside an Update function, first or again, on whatever goroutine, all reads show
// the state before, and nothing can be changed.
func TestStructVerbsInAnUpdate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2})
	q := r.open(cookie)
	var seen []scTrio
	inside := func(v scTrio) {
		seen = append(seen, scGet(q, scAll))
		require.Equal(t, v, scGet(q, scAll))
		require.Equal(t, v.B, scGet(q, scTail).B)
		_, errUpdate := scTail.Update(q.ctx, func(*scDuo) error { return nil })
		_, _, errTake := scAll.Take(q.ctx)
		_, errOrSet := scMaybe.GetOrSet(q.ctx, func() (scOptional, error) { return scOptional{X: 1}, nil })
		for _, err := range []error{
			errUpdate, errTake, errOrSet, scAll.Set(q.ctx, scTrio{A: 9}), scAll.Set(q.ctx, v), scTail.Delete(q.ctx), scA.Set(q.ctx, 9),
			q.s.Clear(q.ctx), q.s.Save(q.ctx), q.s.Reload(q.ctx), q.s.Login(q.ctx, "ann"),
		} {
			require.ErrorIs(t, err, session.ErrInUpdate)
		}
	}
	scUpdate(q, scAll, func(v *scTrio) { inside(*v); v.A++ })
	scUpdate(q, scA, func(n *int) { inside(scGet(q, scAll)); *n *= 10 })
	r.request(cookie, func(q *rigRequest) { scSet(q, scAll, scTrio{A: 5, B: 6, C: "c"}) })
	done := make(chan error)
	go func() {
		_, err := q.commit()
		done <- err
	}()
	require.NoError(t, <-done)
	require.Equal(t, []scTrio{{A: 1, B: 2}, {A: 2, B: 2}, {A: 5, B: 6, C: "c"}, {A: 6, B: 6, C: "c"}}, seen)
	require.Equal(t, scTrio{A: 60, B: 6, C: "c"}, scGet(r.open(cookie), scAll))
}

// A struct that could not be read cannot be replaced, nor can any field of it, until
// it has been read, or deleted.
func TestPromise6_StructAfterAFailedRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2, C: "c"})
	q := r.open(cookie)
	for range 2 {
		_, err := scAll.Get(q.ended())
		require.ErrorIs(t, err, context.Canceled)
		for _, err := range []error{
			scAll.Set(q.ctx, scTrio{}), scTail.Set(q.ctx, scDuo{B: 1}), scA.Set(q.ctx, 1), scB.Set(q.ctx, 1), scC.Set(q.ctx, "d"),
		} {
			require.ErrorIs(t, err, context.Canceled)
		}
		q.set(rigOther, 1)
		require.NoError(t, scB.Delete(q.ctx)) // gives that field free, and no other
		scSet(q, scB, 3)
		require.ErrorIs(t, scA.Set(q.ctx, 1), context.Canceled)
		q.end()
		require.Equal(t, map[string]string{"sc_a": "1", "sc_b": "3", "sc_c": `"c"`, "rig.other": "1"}, scStored(r, cookie))
		q = r.open(cookie)
	}
	_, err := scAll.Get(q.ended())
	require.Error(t, err)
	v := scGet(q, scAll)
	v.A++
	scSet(q, scAll, v)
	q.end()
	require.Equal(t, "2", scStored(r, cookie)["sc_a"])

	q = r.open(cookie)
	r.failing(spy.Load)
	_, err = scAll.Get(q.ctx)
	require.ErrorIs(t, err, errRig)
	r.store.Hook(nil)
	require.ErrorIs(t, scAll.Set(q.ctx, scTrio{}), errRig)
	require.ErrorIs(t, scB.Delete(q.ctx), errRig)
	_, err = q.commit()
	require.ErrorIs(t, err, errRig)
}

// What a Set leaves out is removed: also that would overwrite what was not read.
func TestStructSetAfterAFailedRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scMaybe, scOptional{X: 1, Y: "y"}) })
	q := r.open(cookie)
	v, err := scMaybe.Get(q.ended())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, scMaybe.Set(q.ctx, v), context.Canceled)
	q.end()
	require.Equal(t, map[string]string{"sc_x": "1", "sc_y": `"y"`}, scStored(r, cookie))
}

// A default that an Update has turned into nothing does not come back.
func TestStructUpdateOfADefaultToZero(t *testing.T) {
	t.Parallel()
	view := session.Struct[scTrio]().WithDefault(scTrio{A: 5})
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) {
		require.Equal(t, scTrio{}, scUpdate(q, view, func(v *scTrio) { require.Equal(t, 5, v.A); v.A = 0 }))
		require.Equal(t, scTrio{}, scGet(q, view))
	})
	require.Equal(t, scTrio{}, scGet(r.open(cookie), view))
}

// What the session's own verbs make of Updates of structs that wait.
func TestStructUpdatesThatWait(t *testing.T) {
	t.Parallel()
	count := func(q *rigRequest) { scUpdate(q, scAll, func(v *scTrio) { v.A++; v.C += "+" }) }
	for name, c := range map[string]struct {
		then   func(q *rigRequest)
		theirs func(q *rigRequest) // before the commit
		want   map[string]string   // of the session that the request ends with
	}{
		"save": {
			func(q *rigRequest) {
				q.save()
				require.Equal(t, scTrio{A: 12, B: 2, C: "+"}, scGet(q, scAll))
				count(q)
			}, nil, map[string]string{"sc_a": "13", "sc_b": "2", "sc_c": `"++"`, "rig.third": "3"},
		},
		"reload": {
			func(q *rigRequest) {
				require.ErrorIs(t, q.s.Reload(q.ctx), session.ErrPending)
				q.save()
				require.NoError(t, q.s.Reload(q.ctx))
				count(q)
			}, nil, map[string]string{"sc_a": "13", "sc_b": "2", "sc_c": `"++"`, "rig.third": "3"},
		},
		"clear": {
			func(q *rigRequest) { require.NoError(t, q.s.Clear(q.ctx)); count(q) }, nil,
			map[string]string{"sc_a": "1", "sc_c": `"+"`},
		},
		"login": {
			func(q *rigRequest) { q.login("ann"); count(q) }, nil,
			map[string]string{"sc_a": "13", "sc_b": "2", "sc_c": `"++"`, "rig.third": "3"},
		},
		"login of another owner": {
			func(q *rigRequest) { q.login("bob"); count(q) }, nil, map[string]string{"sc_a": "1", "sc_c": `"+"`},
		},
		"settled behind a login of another owner": {
			func(q *rigRequest) {
				q.login("bob")
				count(q)
				v, ok := scTake(q, scAll)
				require.True(t, ok)
				require.Equal(t, scTrio{A: 1, C: "+"}, v)
				require.Equal(t, scDuo{B: 5}, scOrSet(q, scTail, scDuo{B: 5}))
				require.Equal(t, scTrio{B: 5}, scGet(q, scAll))
			}, nil, map[string]string{"sc_b": "5"},
		},
		"a login that lost": {
			func(q *rigRequest) { q.login("ann"); count(q) }, func(q *rigRequest) { q.login("ann") },
			map[string]string{"sc_a": "2", "sc_c": `"++"`}, // its own changes, on nothing
		},
		"destroy": {
			func(q *rigRequest) { require.NoError(t, q.s.Destroy(q.ctx)); count(q) }, nil,
			map[string]string{"sc_a": "1", "sc_c": `"+"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) { scSet(q, scAll, scTrio{A: 1, B: 2}); q.login("ann") })
			q := r.open(cookie)
			count(q)
			r.request(cookie, func(q *rigRequest) { scSet(q, scA, 11); q.set(rigThird, 3) })
			c.then(q)
			if c.theirs != nil {
				r.request(cookie, c.theirs)
			}
			if sent := q.end(); sent != "" {
				cookie = sent
			}
			require.Equal(t, c.want, scStored(r, cookie))
		})
	}
}
