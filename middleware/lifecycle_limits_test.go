package middleware_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

func countOps(ops []spy.Op, op spy.Op) (n int) {
	for _, o := range ops {
		if o == op {
			n++
		}
	}
	return n
}

func TestPromise8_Idle(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		reader := site.known(setTo(vCount, 1))
		writer := site.known(setTo(vCount, 1))
		idler := site.known(setTo(vCount, 1))
		failing := site.known(setTo(vCount, 1))
		for range 3 {
			elapse(59 * time.Minute)
			reader.do(load(vCount)).requirePage(t)
			writer.do(increment(vOther)).requirePage(t)
			idler.do(nothing).requirePage(t) // does not touch its session
			failing.doStatus(500, load(vCount))
		}
		require.False(t, reader.info().New)
		require.False(t, writer.info().New)
		require.True(t, idler.info().New)
		require.True(t, failing.info().New)

		elapse(time.Hour - time.Millisecond)
		require.False(t, reader.info().New)
		elapse(time.Millisecond)
		require.True(t, writer.info().New)
		elapse(time.Hour - time.Millisecond)
		require.True(t, reader.info().New)
		reader.do(increment(vCount)).requirePage(t)
		requireStored(reader, vCount, 1)
	})
}

// The server's clock ends a session whatever is done with it; only a login
// begins a new term.
func TestPromise8_Absolute(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		activity := map[string][]visitStep{
			"read":    {load(vCount)},
			"write":   {increment(vOther)},
			"save":    {increment(vOther), save},
			"rotate":  {rotate},
			"elevate": {elevate},
			"expiry":  {setExpiry(session.OnInactivity(time.Hour))},
			"clear":   {empty, setTo(vCount, 1)},
		}
		visitors := map[string]*visitor{}
		for name := range activity {
			visitors[name] = site.known(login("ada"), setTo(vCount, 1))
		}
		again := site.known(login("ada"), setTo(vCount, 1))
		for range 48 {
			elapse(30*time.Minute - time.Millisecond)
			for name, v := range visitors {
				v.do(activity[name]...).requirePage(t)
				require.False(t, v.info().New, name)
			}
			if i := again.info(); time.Since(i.LoggedIn) > 20*time.Hour {
				again.do(login("ada")).requirePage(t)
			}
		}
		elapse(48 * time.Millisecond)
		for name, v := range visitors {
			require.True(t, v.info().New, name)
		}
		require.False(t, again.info().New)
		requireStored(again, vCount, 1)
		for range 60 {
			elapse(20 * time.Minute)
			again.do(load(vCount)).requirePage(t)
		}
		require.False(t, again.info().New)
		for range 13 {
			elapse(20 * time.Minute)
			again.do(load(vCount)).requirePage(t)
		}
		require.True(t, again.info().New, "24 hours after the second login")
	})
}

// A fixed end without an idle limit needs no touch and gets none.
func TestAtTime(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1), setExpiry(session.AtTime(time.Now().Add(10*time.Hour))))
		sp.Calls()
		elapse(10*time.Hour - time.Millisecond)
		requireStored(v, vCount, 1)
		require.Zero(t, countOps(sp.Calls(), spy.Touch))
		elapse(time.Millisecond)
		require.True(t, v.info().New)
	})
}

// Reads are recorded now and then: at most once a minute, or ten times per
// inactivity limit.
func TestTouchIsThrottled(t *testing.T) {
	for name, c := range map[string]struct {
		expiry session.Expiry
		every  time.Duration
		least  time.Duration // between two touches
	}{
		"default":    {session.OnSessionEnd(), 10 * time.Second, time.Minute},
		"short idle": {session.OnInactivity(time.Minute), time.Second, 6 * time.Second},
		"long idle":  {session.OnInactivity(20 * time.Hour), 10 * time.Second, time.Minute},
		"slow":       {session.OnSessionEnd(), 5 * time.Minute, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
				v := site.known(setTo(vCount, 1))
				sp.Calls()
				const reads = 60
				for range reads {
					elapse(c.every)
					v.do(load(vCount)).requirePage(t)
				}
				ops := sp.Calls()
				require.Equal(t, reads, countOps(ops, spy.Load))
				require.Equal(t, int(reads*c.every/c.least), countOps(ops, spy.Touch))
				require.Len(t, ops, reads+int(reads*c.every/c.least), "a touch writes no data")
			}, func(cfg *session.Config) { cfg.Expiry = c.expiry })
		})
	}
}

// Near the absolute end there is nothing to lengthen.
func TestNoTouchAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1))
		for range 47 {
			elapse(30 * time.Minute)
			v.do(load(vCount)).requirePage(t)
		}
		sp.Calls()
		for range 29 {
			elapse(time.Minute)
			v.do(load(vCount)).requirePage(t)
		}
		require.Zero(t, countOps(sp.Calls(), spy.Touch))
	})
}

// A shorter limit counts from when it is set, and a touch does not undo it.
func TestShorterIdle(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		elapse(2 * time.Minute)
		slow := v.tab().hold(load(vCount)) // will touch with the old limit
		v.do(setExpiry(session.OnSessionEnd().WithIdle(10 * time.Minute))).requirePage(t)
		slow.finish().requirePage(t)
		require.True(t, v.info().Expires.Equal(time.Now().Add(10*time.Minute)))
		elapse(10 * time.Minute)
		require.True(t, v.info().New)
	})
}

// A request that takes longer than the session lives cannot save.
func TestRequestOutlivesSession(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		a := v.do(increment(vCount), func(context.Context) error {
			elapse(time.Hour)
			return nil
		})
		a.requireRefused(t, 409, session.ErrDestroyed)
	})
}

func TestInfoExpires(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		require.True(t, v.info().Expires.Equal(time.Now().Add(time.Hour)))
		require.True(t, v.info().Created.Equal(time.Now()))
		elapse(23 * time.Minute)
		v.do(increment(vCount)).requirePage(t)
		require.True(t, v.info().Expires.Equal(time.Now().Add(time.Hour)))
		for range 23 {
			elapse(59 * time.Minute)
			v.do(load(vCount)).requirePage(t)
		}
		require.True(t, v.info().Expires.Equal(v.info().Created.Add(24*time.Hour)), "the absolute end is nearer")
	})
}
