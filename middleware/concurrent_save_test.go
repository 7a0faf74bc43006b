package middleware_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// A Save between reading and writing does not hide that others wrote.
func TestPromise1_SaveBetweenGetAndSet(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	var n int
	plusOne := func(ctx context.Context) error { return vCount.Set(ctx, n+1) }

	// What it would set is what others have stored meanwhile: two increments.
	v := a.known(setTo(vCount, 3))
	slow := v.tab().hold(read(vCount, &n), setTo(vOther, 1), save, plusOne)
	v.at(b).do(increment(vCount)).requirePage(t)
	var conflict *session.ConflictError
	require.ErrorAs(t, slow.finish().err, &conflict)
	requireStored(v, vCount, 4)

	// Its own value, once it is stored, is a stored value like any other.
	for _, own := range []visitStep{setTo(vCount, 1), func(ctx context.Context) error {
		return errors.Join(setTo(vCount, 0)(ctx), increment(vCount)(ctx))
	}} {
		slow = v.tab().hold(func(ctx context.Context) error {
			return errors.Join(own(ctx), read(vCount, &n)(ctx), save(ctx))
		}, plusOne)
		v.at(b).do(increment(vCount)).requirePage(t)
		a := slow.finish()
		require.ErrorAs(t, errors.Join(a.err, a.failed), &conflict)
		requireStored(v, vCount, 2)
	}
}

// Reads of every kind work inside an Update function, also when it runs again.
func TestInfoAndKeysInUpdate(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(login("ada"), setTo(vCount, 1))
	var seen [][]string
	update := func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(n *int) error {
			*n++
			s := session.FromContext(ctx)
			keys, err := s.Keys(ctx)
			info, infoErr := s.Info(ctx)
			seen = append(seen, append([]string{info.Owner}, keys...))
			return errors.Join(err, infoErr)
		})
		return err
	}
	within(t, "an Update function", func() {
		slow := v.tab().hold(update)
		v.at(b).do(setTo(vOther, 1)).requirePage(t)
		slow.finish().requirePage(t)
	})
	require.Equal(t, [][]string{{"ada", "count"}, {"ada", "count", "other"}}, seen)
	requireStored(v, vCount, 2)
}

// A request that has saved a new secret does not send it once the session is
// over: it could replace a newer cookie.
func TestNoCookieOfEndedSession(t *testing.T) {
	for name, c := range map[string]struct {
		end  visitStep
		want error
	}{
		"destroyed": {destroy, session.ErrDestroyed},
		"logged in": {login("eve"), session.ErrSuperseded},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
				v := site.known(setTo(vCount, 1))
				time.Sleep(pastMinRotate)
				slow := v.tab().hold(func(ctx context.Context) error { return errors.Join(rotate(ctx), save(ctx)) }, increment(vCount))
				v.do(c.end).requirePage(t) // with the secret before, which is still good
				slow.finish().requireRefused(t, http.StatusConflict, c.want)
			})
		})
	}
}

// A login that commits a key at once and then loses against another login
// starts over like any other.
func TestParallelLoginsWithGetOrSet(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	for _, at := range []visitStep{orSet(vOther, 1), take(vCount)} {
		v := a.known(setTo(vCount, 1))
		slow := v.tab().hold(load(vName), login("ada"), at, setTo(vName, "slow"))
		quick := v.at(b)
		quick.do(login("ada"), setTo(vName, "quick")).requirePage(t)
		slow.finish().requirePage(t)
		require.NotEqual(t, quick.key(), slow.tab.key())
		requireStored(slow.tab, vName, "slow")
		requireStored(quick, vName, "quick")
		require.Equal(t, "ada", slow.tab.info().Owner)
	}
}

// What the old secret may read is not kept longer than it may read it.
func TestFrozenValuesAreDropped(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(login("ada"), setTo(vName, "confidential"))
		v.do(elevate, remove(vName), setTo(vCount, 1)).requirePage(t)
		var data []byte
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Next(); c.Op == spy.Swap {
				data = c.Arg.Data
			}
		})
		v.do(increment(vCount)).requirePage(t)
		require.True(t, bytes.Contains(data, []byte("confidential")))
		time.Sleep(session.DefaultGrace)
		v.do(increment(vCount)).requirePage(t)
		require.False(t, bytes.Contains(data, []byte("confidential")))
	})
}

// Commits that wait for each other on one node send one swap each.
func TestQueueSparesSwaps(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 0))
		const n = 50
		held := make([]*heldRequest, n)
		for i := range held {
			held[i] = v.tab().hold(load(vName), increment(vCount))
		}
		sp.Calls()
		first := true
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if first {
				first = false
				synctest.Wait() // until all others are in the queue
			}
			c.Next()
		})
		for _, h := range held {
			h.release()
		}
		for _, h := range held {
			(<-h.answer).requirePage(t)
		}
		require.Equal(t, n, countOps(sp.Calls(), spy.Swap))
		sp.Hook(nil)
		requireStored(v, vCount, n)
	})
}
