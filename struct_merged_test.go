package session_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Delete asks for no rules, however often it is applied.
func TestStructDeleteWithRulesIsReplayed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 2}) })
	q := r.open(cookie)
	require.NoError(t, scRange.Delete(q.ctx))
	r.request(cookie, func(q *rigRequest) { q.set(rigOther, 1) })
	_, err := q.commit()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"rig.other": "1"}, scStored(r, cookie))
}

// What others made of the rest of a struct is checked with what this request makes of it.
func TestMergedStructIsValidated(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(q *rigRequest){
		"set":            func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 5, Hi: 10, Z: 1}) },
		"set and more":   func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 5, Hi: 10, Z: 2}); scSet(q, scZ, 3) },
		"update":         func(q *rigRequest) { scUpdate(q, scRange, func(v *scOrdered) { v.Lo += 4 }) },
		"set and update": func(q *rigRequest) { scSet(q, scLo, 4); scUpdate(q, scRange, func(v *scOrdered) { v.Lo++ }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 1}) })
			q := r.open(cookie)
			change(q)
			r.request(cookie, func(q *rigRequest) { scSet(q, scHi, 3) })
			_, err := q.commit()
			requireRefusedReplay(t, err)
			require.Equal(t, "1", scStored(r, cookie)["sc_lo"])
		})
	}
}

// A conflict is named as such, though it breaks a rule as well.
func TestConflictOfAMergedStruct(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 1}) })
	q := r.open(cookie)
	scGet(q, scRange)
	scSet(q, scRange, scOrdered{Lo: 5, Hi: 10, Z: 1})
	r.request(cookie, func(q *rigRequest) { scSet(q, scLo, 2); scSet(q, scHi, 3) })
	_, err := q.commit()
	conflict := new(session.ConflictError)
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, []string{"sc_lo"}, conflict.Keys)
}

func requireRefusedReplay(t *testing.T, err error) {
	t.Helper()
	replay, invalid := new(session.ReplayError), new(session.ValidationError)
	require.ErrorAs(t, err, &replay)
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "scOrdered", replay.Key)
}

// A Take does not spare a pending Set the rules of what others make of it: the Set
// is committed with the Take.
func TestStructSetIsCommittedWithATake(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 1}) })
	q := r.open(cookie)
	scSet(q, scRange, scOrdered{Lo: 5, Hi: 10, Z: 2})
	scTake(q, scZ)
	require.Equal(t, map[string]string{"sc_lo": "5", "sc_hi": "10"}, scStored(r, cookie))
	r.request(cookie, func(q *rigRequest) { scSet(q, scHi, 3) })
	_, err := q.commit()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sc_lo": "5", "sc_hi": "3"}, scStored(r, cookie))
}

// The rules held when Set was called; what is taken later breaks none of its own.
func TestStructSetThenTakeOfARequiredField(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 1}) })
	q := r.open(cookie)
	scSet(q, scRange, scOrdered{Lo: 5, Hi: 10, Z: 2})
	n, ok := scTake(q, scLo)
	require.Equal(t, 5, n)
	require.True(t, ok)
	_, err := q.commit()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"sc_hi": "10", "sc_z": "2"}, scStored(r, cookie))
}

// A login that lost goes on in a session of its own, with what it had set.
func TestStructSetInALoginThatLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.request("", func(q *rigRequest) { scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 1}) })
	q := r.open(cookie)
	q.login("ann")
	scSet(q, scRange, scOrdered{Lo: 1, Hi: 10, Z: 2})
	r.request(cookie, func(q *rigRequest) { q.login("bob") })
	own, err := q.commit()
	require.NoError(t, err)
	require.Equal(t, "2", scStored(r, own.Credential())["sc_z"])
}
