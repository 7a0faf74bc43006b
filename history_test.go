package session_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// Histories are long random sequences of verbs, of several requests in turns,
// that are held to properties which need no exact model. A few seeds run always;
// SESSION_TEST_HISTORIES=50000 runs that many, and SESSION_TEST_SEED=7 the one.

// rigHistory is one history. It fails with all its steps.
type rigHistory struct {
	*testing.T
	seed  uint64
	rnd   *rand.Rand
	steps strings.Builder
}

// rigHistories runs a kind of history, each in a bubble, from seed 0 on: few of
// them, or as many as the environment asks for; one that costs much has a part
// of that number.
func rigHistories(t *testing.T, few, part uint64, run func(h *rigHistory)) {
	t.Helper()
	t.Parallel()
	from, to := uint64(0), few
	if n, ok := rigNumber(t, "SESSION_TEST_HISTORIES"); ok {
		to = max(few, n/part)
	}
	if seed, ok := rigNumber(t, "SESSION_TEST_SEED"); ok {
		from, to = seed, seed+1
	}
	for seed := from; seed < to; seed++ {
		synctest.Test(t, func(t *testing.T) {
			run(&rigHistory{T: t, seed: seed, rnd: rand.New(rand.NewPCG(seed, 0))})
		})
	}
}

func rigNumber(t *testing.T, variable string) (n uint64, ok bool) {
	t.Helper()
	text, ok := os.LookupEnv(variable)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	require.NoError(t, err, variable)
	return n, true
}

// Errorf adds the steps, and how to take them again.
func (h *rigHistory) Errorf(format string, args ...any) {
	h.Helper()
	h.T.Errorf("%s\nafter these steps:\n%sagain: SESSION_TEST_SEED=%d go test -run '^%s$' .",
		fmt.Sprintf(format, args...), h.steps.String(), h.seed, h.Name())
}

func (h *rigHistory) note(format string, args ...any) {
	_, _ = fmt.Fprintf(&h.steps, format+"\n", args...)
}

// once is true in one of n cases.
func (h *rigHistory) once(n int) bool { return h.rnd.IntN(n) == 0 }

// pass lets up to so many seconds pass.
func (h *rigHistory) pass(seconds int) {
	d := time.Duration(h.rnd.IntN(seconds)) * time.Second
	h.note("%v later", d)
	time.Sleep(d)
}

// rigLosing makes some calls of the store fail: of the swaps about one in swaps,
// half of them after they have happened, and of the loads one in loads.
func rigLosing(once func(n int) bool, swaps, loads int) spy.Hook {
	return func(_ context.Context, c *spy.Call) {
		switch {
		case c.Op == spy.Swap && once(swaps):
			if once(2) {
				c.Next()
			}
			c.Record, c.Err = store.Record{}, errRig
		case c.Op == spy.Load && once(loads):
			c.Err = errRig
		default:
			c.Next()
		}
	}
}

// rigDelaying makes the calls of the store take a while, each another one.
func rigDelaying(once func(n int) bool, next spy.Hook) spy.Hook {
	return func(ctx context.Context, c *spy.Call) {
		for !once(3) {
			time.Sleep(100 * time.Microsecond)
		}
		next(ctx, c)
	}
}

// rigOver reports an error after which a request cannot go on.
func rigOver(err error) bool {
	return errors.Is(err, session.ErrUnknown) || errors.Is(err, session.ErrDestroyed) ||
		errors.Is(err, session.ErrSuperseded)
}

// rigCounter is a request that counts in rigCount.
type rigCounter struct {
	*rigRequest
	id      int
	known   int // what it takes rigCount to be, once it has looked
	looked  bool
	pending int // increments that are not committed
	over    bool
}

// rigTally is what must have arrived in rigCount.
type rigTally struct {
	h              *rigHistory
	acked, unknown int
}

// committed notes the outcome of a commit.
func (c *rigTally) committed(q *rigCounter, what string, err error) {
	c.h.note("request %d: %s of %d: %v", q.id, what, q.pending, err)
	switch {
	case err == nil:
		c.acked += q.pending
	case errors.Is(err, session.ErrUnknown):
		c.unknown += q.pending
	}
	if err == nil || rigOver(err) {
		q.pending, q.over = 0, err != nil
	}
}

// step makes one request do something.
func (c *rigTally) step(q *rigCounter) {
	h, ctx := c.h, q.ctx
	k := []session.Typed[int]{rigOther, rigThird}[h.rnd.IntN(2)]
	var err error
	verb := [...]string{
		"get", "get", "set", "set", "update", "update", "save", "save",
		"get or set", "take", "set other", "delete", "reload",
	}[h.rnd.IntN(13)]
	switch verb {
	case "get":
		var n int
		if n, err = rigCount.Get(ctx); err == nil {
			q.known, q.looked = n, true
		}
	case "set":
		if !q.looked {
			return
		}
		if err = rigCount.Set(ctx, q.known+1); err == nil {
			q.known++
			q.pending++
		}
	case "update":
		var n int
		if n, err = rigCount.Update(ctx, func(n *int) error { *n++; return nil }); err == nil {
			q.known, q.looked = n, true
			q.pending++
		}
	case "save":
		c.committed(q, verb, q.s.Save(ctx))
		return
	case "get or set":
		_, err = k.GetOrSet(ctx, func() (int, error) { return h.rnd.IntN(5), nil })
	case "take":
		_, _, err = k.Take(ctx)
	case "set other":
		err = k.Set(ctx, h.rnd.IntN(5))
	case "delete":
		err = k.Delete(ctx)
	case "reload":
		if err = q.s.Reload(ctx); err == nil {
			q.looked = false
		}
	}
	h.note("request %d: %s: knows %d, %v", q.id, verb, q.known, err)
	if rigOver(err) { // nothing but that one key was sent
		q.over, q.pending = true, 0
	}
}

// Three requests in turns, on one node or two, count by Update and by
// Get-then-Set. What they were told is committed has been counted, and nothing
// else, though half of the histories lose answers of the store.
func TestPromise1_HistoriesOfIncrements(t *testing.T) {
	rigHistories(t, 100, 1, func(h *rigHistory) {
		r := newRig(h)
		nodes := []*session.Manager{r.m, r.manager()}[:1+h.rnd.IntN(2)]
		cookie := r.request("", func(q *rigRequest) { q.set(rigCount, 0); q.set(rigOther, 0) })
		if h.seed%2 == 1 {
			r.store.Hook(rigLosing(h.once, 4, 8))
		}
		c := rigTally{h: h}
		opened := 0
		open := func() *rigCounter {
			opened++
			return &rigCounter{rigRequest: r.openOn(nodes[opened%len(nodes)], cookie), id: opened}
		}
		requests := []*rigCounter{open(), open(), open()}
		for range 60 {
			i := h.rnd.IntN(len(requests))
			switch q := requests[i]; {
			case q.over || h.once(14):
				_, err := q.commit()
				c.committed(q, "commit", err)
				_ = q.m.Finish(q.ctx, q.s)
				requests[i] = open()
			default:
				c.step(q)
			}
		}
		for _, q := range requests {
			_, err := q.commit()
			c.committed(q, "commit", err)
		}
		r.store.Hook(nil)
		n := r.open(cookie).get(rigCount)
		require.GreaterOrEqual(h, n, c.acked, "increments were lost")
		require.LessOrEqual(h, n, c.acked+c.unknown, "increments that nobody was told of")
	})
}
