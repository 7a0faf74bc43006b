package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// requireConflict sets rigCount. Either the Set or the commit must say that the
// key has changed since the request read it.
func (q *rigRequest) requireConflict(n int) {
	q.t.Helper()
	err := rigCount.Set(q.ctx, n)
	if err == nil {
		_, err = q.commit()
	}
	var conflict *session.ConflictError
	require.ErrorAs(q.t, err, &conflict)
	require.Equal(q.t, []string{rigCount.Name()}, conflict.Keys)
}

// Both requests wrote the same value, and still one increment of the two would
// be lost.
func TestPromise1_SetOfAnOldValueConflictsEvenWithItsEqual(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(3)
	q := r.open(cookie)
	n := q.get(rigCount)
	r.request(cookie, func(o *rigRequest) { o.increment() })
	q.set(rigOther, 1)
	q.save() // the request's state now holds the 4 of the other one
	q.requireConflict(n + 1)
	require.Equal(t, 4, r.open(cookie).get(rigCount))
}

// What a request reads of its own changes is loaded data once it is saved.
func TestPromise1_ReadOfAnOwnChangeCountsAfterSave(t *testing.T) {
	t.Parallel()
	for name, read := range map[string]func(q *rigRequest) int{
		"get":    func(q *rigRequest) int { return q.get(rigCount) },
		"update": func(q *rigRequest) int { return q.increment() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) { q.set(rigOther, 1) })
			q := r.open(cookie)
			q.set(rigCount, 1)
			n := read(q)
			q.save()
			r.request(cookie, func(o *rigRequest) { o.increment() })
			q.requireConflict(n + 1)
			require.Equal(t, n+1, r.open(cookie).get(rigCount), "only the other request's")
		})
	}
}

// Value has no error to return. Where the commit itself runs the function that
// uses it, nothing must be stored that was computed from a zero.
func TestPromise6_ValueThatFailsInAReplayFailsTheCommit(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 3); q.set(rigOther, 5) })
	q := r.open(cookie)
	_, err := rigCount.Update(q.ctx, func(n *int) error { *n += rigOther.Value(q.ctx); return nil })
	require.NoError(t, err)
	r.request(cookie, func(o *rigRequest) {
		require.NoError(t, session.Key[string](rigOther.Name()).Set(o.ctx, "no number"))
	})
	_, err = q.commit()
	var bad *session.ValueError
	require.ErrorAs(t, err, &bad)
	require.Equal(t, rigOther.Name(), bad.Key)
	require.Equal(t, 3, r.open(cookie).get(rigCount))
}

// A function given to Update may return any error, for example what it got from
// the session of another scope. That says nothing about this session.
func TestErrorOfAnUpdateFunctionIsNotTheSessionsOwn(t *testing.T) {
	t.Parallel()
	for _, theirs := range []error{session.ErrUnknown, session.ErrDestroyed, session.ErrSuperseded} {
		for name, before := range map[string]func(q *rigRequest){
			"":                    func(*rigRequest) {},
			" of a login":         func(q *rigRequest) { q.login("alice") },
			" of a second change": func(q *rigRequest) { q.set(rigOther, 1) },
		} {
			t.Run(theirs.Error()+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				cookie := r.start(3)
				q := r.open(cookie)
				id := q.info().ID
				before(q)
				runs := 0
				_, err := rigCount.Update(q.ctx, func(n *int) error {
					if runs++; runs == 2 {
						return theirs
					}
					*n += 10
					return nil
				})
				require.NoError(t, err)
				r.request(cookie, func(o *rigRequest) { o.increment() })
				var refused *session.ReplayError
				require.ErrorAs(t, q.s.Save(q.ctx), &refused)
				require.ErrorIs(t, refused, theirs)
				require.Equal(t, 13, q.get(rigCount), "the change is still pending")
				q.save()
				require.Equal(t, 14, q.get(rigCount))
				require.Equal(t, id, q.info().ID)
				q.end()
			})
		}
	}
}

// A transport that asks again must not be told that all is well.
func TestPromise6_CommitThatFailedKeepsFailing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(3)
	q := r.open(cookie)
	q.set(rigCount, q.get(rigCount)+1)
	r.request(cookie, func(o *rigRequest) { o.increment() })
	var conflict *session.ConflictError
	for range 2 {
		_, err := q.commit()
		require.ErrorAs(t, err, &conflict)
	}
	require.Equal(t, 4, r.open(cookie).get(rigCount))
}
