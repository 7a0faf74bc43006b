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

// doneCuts are ways to cut a subscription off. Where sessions are looked at rarely, six
// intervals, after which each is looked at anyway, are much longer than the bound.
var doneCuts = []struct {
	name     string
	interval time.Duration
	cut      func(r *doneRig, l *doneLines)
}{
	{"reset", time.Second, doneReset},
	{"black hole", time.Second, doneHole},
	{"black hole, looked at rarely", 4 * time.Second, doneHole},
}

// cutBound is how soon an end is noticed of which nothing is heard: the cut is noticed,
// and then each session is looked at.
func (r *doneRig) cutBound() time.Duration { return r.interval + store.WatchPatience }

// The subscription is cut. What ends meanwhile is noticed in time, and afterwards the
// subscription stands again.
func TestDoneWhenTheSubscriptionIsCut(t *testing.T) {
	t.Parallel()
	long(t)
	for _, k := range tellingKinds {
		if k.name == "memory" { // nothing to cut
			continue
		}
		for _, c := range doneCuts {
			t.Run(k.name+", "+c.name, func(t *testing.T) {
				t.Parallel()
				place, l := k.site(t), newDoneLines(t)
				r := newDoneRig(t, place.node, place.ear(t, l.dial), c.interval)
				kept := r.watch(r.session("kept"))
				r.stands()
				r.judge("before", r.endInTurn(10), doneTold, 0)
				c.cut(r, l)
				r.judge("afterwards", r.endInTurn(10), doneTold, 0)
				require.True(t, kept.isUntouched(), "it ended by itself")
			})
		}
	}
}

// endInTurn ends sessions one after the other, each when the one before is noticed.
func (r *doneRig) endInTurn(count int) []time.Duration {
	r.t.Helper()
	var all []*doneSession
	for i := range count {
		all = append(all, r.watch(r.session(fmt.Sprintf("in turn %d", i))))
	}
	for _, d := range all {
		r.revoke(d)
		require.Eventually(r.t, d.isOver, patient, time.Millisecond)
	}
	return r.noticed(all, session.ErrDestroyed)
}

// doneReset resets all connections, again and again, with sessions that end just
// before and just after.
func doneReset(r *doneRig, l *doneLines) {
	r.t.Helper()
	const times = 4
	var took []time.Duration
	for i := range times {
		all := []*doneSession{r.watch(r.session(fmt.Sprintf("before %d", i))), r.watch(r.session(fmt.Sprintf("after %d", i)))}
		r.revoke(all[0])
		l.reset()
		r.revoke(all[1])
		took = append(took, r.noticed(all, session.ErrDestroyed)...)
		r.recovers(i + 1)
	}
	slices.Sort(took)
	r.judge("around a reset", took, r.cutBound(), doneBusy)
}

// recovers waits until the subscription stands again after so many cuts, of which the
// log has said so once each.
func (r *doneRig) recovers(cuts int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return r.log.count(doneHears) == cuts && r.ear.standing.Load() > 0 },
		2*patient, 5*time.Millisecond, "no subscription any more")
	require.Equal(r.t, cuts, r.log.count(doneDeaf), "warnings")
}

// doneHole lets sessions end one after the other from when nothing is heard any more
// until well after that is known.
func doneHole(r *doneRig, l *doneLines) {
	r.t.Helper()
	var all []*doneSession
	const every = 250 * time.Millisecond
	for i := range int(store.WatchPatience / every * 3 / 2) {
		all = append(all, r.watch(r.session(fmt.Sprintf("in the hole %d", i))))
	}
	l.hole(true)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for _, d := range all {
		r.revoke(d)
		<-tick.C
	}
	r.judge("in a black hole", r.noticed(all, session.ErrDestroyed), r.cutBound(), doneBusy)
	require.Zero(r.t, r.ear.standing.Load())
	require.Equal(r.t, 1, r.log.count(doneDeaf))
	require.Zero(r.t, r.log.count(doneHears))
	l.hole(false)
	r.recovers(1)
}

const doneAwayInterval = 3 * time.Second

// The server is killed and started again. Nothing ends by itself while it is away for
// less than three intervals, and what ends afterwards is noticed.
func TestDoneWhenTheServerIsRestarted(t *testing.T) {
	t.Parallel()
	long(t)
	for _, k := range tellingKinds {
		if k.alone == nil {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			place, srv := k.alone(t)
			r := newDoneRig(t, place.node, place.node(t).(store.Watcher), doneAwayInterval)
			var all []*doneSession
			for i := range 40 {
				all = append(all, r.watch(r.session(fmt.Sprintf("visitor %d", i))))
			}
			r.stands()
			// While a subscription stands they are looked at rarely. How long ago that was
			// when the server fails must make no difference.
			<-time.After(4 * doneAwayInterval)

			killed := time.Now()
			require.NoError(t, srv.Kill())
			<-time.After(doneAwayInterval) // so that each is looked at in vain
			require.NoError(t, srv.Start())
			away := time.Since(killed)
			t.Logf("the server was away for %v", away)
			require.Less(t, away, 3*doneAwayInterval-time.Second, "this machine is too slow")
			for i, d := range all {
				require.True(t, d.isUntouched(), "session %d ended by itself: %v", i, context.Cause(d.context))
			}
			r.recovers(1)
			ending, kept := all[:len(all)/2], all[len(all)/2:]
			for _, d := range ending {
				eventually(t, func() bool { // a connection from before is broken
					return r.ending.Revoke(t.Context(), d.id) == nil
				})
				d.ended = time.Now()
			}
			r.judge("afterwards", r.noticed(ending, session.ErrDestroyed), doneTold, 0)
			for i, d := range kept {
				require.True(t, d.isUntouched(), "session %d ended by itself: %v", i, context.Cause(d.context))
			}
		})
	}
}
