package integration_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// donePoll is how often sessions are looked at where the store does not tell.
const donePoll = 400 * time.Millisecond

// doneTold is how late an end may be noticed of which a store has told: a busy machine
// takes longer than the message does.
const doneTold = 5 * time.Second

// doneEnds end a session on another node.
var doneEnds = []struct {
	name  string
	cause error
	act   func(ctx context.Context, m *session.Manager, d *doneSession) error
}{
	{"Destroy", session.ErrDestroyed, func(ctx context.Context, m *session.Manager, d *doneSession) error {
		_, err := visit(ctx, m, d.credential, func(ctx context.Context) error { return session.FromContext(ctx).Destroy(ctx) })
		return err
	}},
	{"Revoke", session.ErrDestroyed, func(ctx context.Context, m *session.Manager, d *doneSession) error {
		return m.Revoke(ctx, d.id)
	}},
	{"RevokeOwner", session.ErrDestroyed, func(ctx context.Context, m *session.Manager, d *doneSession) error {
		return m.RevokeOwner(ctx, d.owner)
	}},
	{"Login", session.ErrSuperseded, func(ctx context.Context, m *session.Manager, d *doneSession) error {
		_, err := visit(ctx, m, d.credential, func(ctx context.Context) error { return session.FromContext(ctx).Login(ctx, d.owner) })
		return err
	}},
}

// A session that is watched on one node ends on another: that is noticed within
// moments where the store tells of changes, and within the interval where it does not.
func TestDoneOnAnotherNode(t *testing.T) {
	t.Parallel()
	for _, k := range tellingKinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			place := k.site(t)
			r := newDoneRig(t, place.node, place.node(t).(store.Watcher), session.DefaultWatchInterval)
			took := doneOnAnotherNode(r, 25, doneTold, 0)
			require.Less(t, took, time.Second, "the median")
		})
	}
	for _, b := range backends {
		count := map[string]int{"SQLite": 15, "MariaDB": 15, "MongoDB": 5}[b.name] // a stand-in is slow
		if count == 0 {
			continue
		}
		t.Run(b.name+", not told", func(t *testing.T) {
			t.Parallel()
			r := newDoneRig(t, b.site(t).node, nil, donePoll)
			took := doneOnAnotherNode(r, count, donePoll, doneBusy)
			require.Less(t, took, donePoll+time.Second, "the median")
			require.Zero(t, r.log.count("WARN"), "there is nothing to be warned of")
		})
	}
}

// doneOnAnotherNode ends so many sessions by each act, and returns the median.
func doneOnAnotherNode(r *doneRig, count int, bound, slack time.Duration) time.Duration {
	t := r.t
	t.Helper()
	ctx := t.Context()
	watched := func(what string) (all []*doneSession) {
		for i := range count {
			all = append(all, r.watch(r.session(fmt.Sprintf("%s %d", what, i))))
		}
		return all
	}
	kept := watched("kept")
	r.stands()
	for _, d := range kept {
		before := d.credential
		eventually(t, func() bool { // a rotation is due a millisecond after the one before
			next, err := visit(ctx, r.ending, d.credential, func(ctx context.Context) error { return session.FromContext(ctx).Rotate(ctx) })
			require.NoError(t, err)
			d.credential = next
			return next != before
		})
		_, err := visit(ctx, r.ending, d.credential, func(ctx context.Context) error { return counter.Set(ctx, 7) })
		require.NoError(t, err)
	}
	quiet := time.After(3 * donePoll)

	var all []time.Duration
	for _, end := range doneEnds {
		ending := watched(end.name)
		for _, d := range ending {
			require.NoError(t, end.act(ctx, r.ending, d))
			d.ended = time.Now()
			if r.ear != nil { // so that one does not hold up the next
				eventually(t, d.isOver)
			}
		}
		took := r.noticed(ending, end.cause)
		r.judge(end.name, took, bound, slack)
		all = append(all, took...)
	}

	<-quiet
	for i, d := range kept {
		require.True(t, d.isUntouched(), "session %d, of %v: neither a rotation nor a change ends it", i, context.Cause(d.context))
	}
	for _, d := range kept {
		r.revoke(d)
	}
	all = append(all, r.noticed(kept, session.ErrDestroyed)...)
	slices.Sort(all)
	r.judge("all", all, bound, slack)
	return all[len(all)/2]
}
