package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

const racers = 16

// incrementAll sends racers*rounds increments of one session through two nodes
// and returns what was counted.
func incrementAll(t *testing.T, st store.Store, rounds int) int {
	t.Helper()
	nodes := [2]*visitSite{newVisitSite(t, st), newVisitSite(t, st)}
	v := nodes[0].known(setTo(vCount, 0))
	var wg sync.WaitGroup
	for i := range racers {
		tab := v.at(nodes[i%2])
		wg.Go(func() {
			for range rounds {
				if a := tab.do(increment(vCount)); a.code != http.StatusOK || a.err != nil || a.cookies > 0 {
					t.Errorf("status %d, %d cookies: %v, %v", a.code, a.cookies, a.err, a.failed)
					return
				}
			}
		})
	}
	wg.Wait()
	n, _ := stored(v, vCount)
	return n
}

func TestPromise1_NoLostUpdate(t *testing.T) {
	t.Parallel()
	require.Equal(t, racers*500, incrementAll(t, memory.New(), 500))
}

// The test above fails with a store that does not compare.
func TestLastWriteWinsStoreLoses(t *testing.T) {
	t.Parallel()
	inner := memory.New()
	sp := spy.Wrap(inner)
	sp.Hook(func(ctx context.Context, c *spy.Call) {
		if c.Op == spy.Swap {
			runtime.Gosched()
			if cur, err := inner.Load(ctx, c.Key); err == nil {
				c.Old = cur.Version
			}
		}
		c.Next()
	})
	require.Less(t, incrementAll(t, sp, 200), racers*200)
}

// holdAll starts requests with first, alternately on two nodes, and once all of
// them wait, lets them go on at the same time.
func holdAll(v *visitor, other *visitSite, n int, first visitStep, rest func(i int) visitStep) []*visitAnswer {
	held := make([]*heldRequest, n)
	for i := range held {
		site := v.site
		if i%2 == 1 {
			site = other
		}
		held[i] = v.at(site).hold(first, rest(i))
	}
	for _, h := range held {
		h.release()
	}
	answers := make([]*visitAnswer, n)
	for i, h := range held {
		answers[i] = <-h.answer
	}
	return answers
}

func twoNodes(t *testing.T) (a, b *visitSite) {
	t.Helper()
	st := memory.New()
	return newVisitSite(t, st), newVisitSite(t, st)
}

func TestPromise1_DifferentKeys(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	key := func(i int) session.Typed[int] { return session.Key[int](string(rune('a' + i))) }
	for _, answer := range holdAll(v, b, 26, load(vCount), func(i int) visitStep { return setTo(key(i), i) }) {
		answer.requirePage(t)
	}
	for i := range 26 {
		requireStored(v, key(i), i)
	}
}

func TestGetOrSetRace(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	var got, ran [32]int
	answers := holdAll(v, b, len(got), load(vOther), func(i int) visitStep {
		return func(ctx context.Context) (err error) {
			got[i], err = vOther.GetOrSet(ctx, func() (int, error) { ran[i]++; return 100 + i, nil })
			return err
		}
	})
	for i, answer := range answers {
		answer.requirePage(t)
		require.Equal(t, got[0], got[i], "two values won")
		require.Equal(t, 1, ran[i], "all of them had seen the key absent")
	}
	require.GreaterOrEqual(t, got[0], 100)
	requireStored(v, vOther, got[0])
}

func TestTakeRace(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1), setTo(vName, "once"))
	var got [32]string
	answers := holdAll(v, b, len(got), load(vName), func(i int) visitStep {
		return func(ctx context.Context) error {
			value, ok, err := vName.Take(ctx)
			if ok {
				got[i] = value
			} else if value != "" {
				return fmt.Errorf("%q beside false", value)
			}
			return err
		}
	})
	for _, answer := range answers {
		answer.requirePage(t)
	}
	slices.Sort(got[:])
	require.Equal(t, "once", got[31])
	require.Empty(t, got[30], "taken twice")
	requireAbsent(v, vName)
}

func TestBlindSets(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	for _, answer := range holdAll(v, b, 16, load(vOther), func(i int) visitStep { return setTo(vCount, 100+i) }) {
		answer.requirePage(t)
	}
	n, _ := stored(v, vCount)
	require.GreaterOrEqual(t, n, 100)
	require.Less(t, n, 116)
}

func TestGetThenSet(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(session.Typed[int], int) visitStep{
		"set":    func(k session.Typed[int], n int) visitStep { return setTo(k, n) },
		"delete": func(k session.Typed[int], _ int) visitStep { return remove(k) },
	} {
		for _, lww := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,last write wins %t", name, lww), func(t *testing.T) {
				t.Parallel()
				a, b := twoNodes(t)
				for range 20 {
					v := a.known(setTo(vCount, 1))
					k := vCount
					if lww {
						k = k.WithLastWriteWins()
					}
					answers := holdAll(v, b, 2, load(k), func(i int) visitStep {
						if i == 0 {
							return setTo(k, 100)
						}
						return change(k, 101)
					})
					slices.SortFunc(answers, func(a, b *visitAnswer) int { return a.code - b.code })
					answers[0].requirePage(t)
					if lww {
						answers[1].requirePage(t)
						continue
					}
					var conflict *session.ConflictError
					require.ErrorAs(t, answers[1].failed, &conflict)
					require.Equal(t, []string{"count"}, conflict.Keys)
					answers[1].requireRefused(t, http.StatusConflict, conflict)
				}
			})
		}
	}
}

// That a key was absent has been read too.
func TestLookupThenSet(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	slow := v.tab().hold(load(vOther), setTo(vOther, 5))
	v.at(b).do(setTo(vOther, 6)).requirePage(t)
	var conflict *session.ConflictError
	require.ErrorAs(t, slow.finish().failed, &conflict)
	requireStored(v, vOther, 6)

	// Back to what was read is no conflict: the read holds at the commit.
	slow = v.tab().hold(load(vOther), setTo(vOther, 7))
	v.at(b).do(setTo(vOther, 8)).requirePage(t)
	v.at(b).do(setTo(vOther, 6)).requirePage(t)
	slow.finish().requirePage(t)
	requireStored(v, vOther, 7)
}

var errTooPoor = errors.New("not enough money")

func TestReplaySeesFreshData(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 100), setTo(vOther, 1))
	withdraw := func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(n *int) error {
			if *n < 80 {
				return errTooPoor
			}
			*n -= 80
			return nil
		})
		return err
	}
	slow := v.tab().hold(withdraw, setTo(vName, "withdrew"))
	v.at(b).do(withdraw).requirePage(t)
	answer := slow.finish()
	require.NoError(t, answer.err, "the first run had enough")
	var replay *session.ReplayError
	require.ErrorAs(t, answer.failed, &replay)
	require.Equal(t, "count", replay.Key)
	answer.requireRefused(t, http.StatusConflict, errTooPoor)
	requireStored(v, vCount, 20)
	requireAbsent(v, vName) // all of a commit or nothing

	require.ErrorIs(t, v.do(withdraw).err, errTooPoor) // in the first run it is the caller's
	requireStored(v, vCount, 20)
}

// A replay reads other keys as they are now, and as this request had changed
// them before the Update.
func TestReplayReadsOtherKeys(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	mine := session.Key[int]("mine")
	v := a.known(setTo(vCount, 1), setTo(vOther, 2), setTo(mine, 3))
	var seen []int
	slow := v.tab().hold(setTo(mine, 30), func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(n *int) error {
			other, err := vOther.Get(ctx)
			if err != nil {
				return err
			}
			own, err := mine.Get(ctx)
			if err != nil {
				return err
			}
			self, err := vCount.Get(ctx)
			seen = append(seen, *n, self, other, own)
			*n += 1000*other + own
			return err
		})
		return err
	}, setTo(mine, 300))
	v.at(b).do(setTo(vOther, 7), increment(vCount)).requirePage(t)
	slow.finish().requirePage(t)
	require.Equal(t, []int{1, 1, 2, 30, 2, 2, 7, 30}, seen)
	requireStored(v, vCount, 7032)
	requireStored(v, mine, 300)
}

// Save shows what was stored, and knows what the request has read before.
func TestSaveShowsCommitted(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1), setTo(vOther, 1), setTo(vName, "before"))
	var provisional, committed, other int
	var late, blind error
	slow := v.tab().hold(load(vName), load(vOther), increment(vCount), read(vCount, &provisional), save,
		read(vCount, &committed), read(vOther, &other), setTo(vOther, 50),
		func(ctx context.Context) error {
			late = vName.Set(ctx, "after") // what it read is not what is stored
			blind = vName.WithLastWriteWins().Set(ctx, "after")
			return nil
		})
	v.at(b).do(increment(vCount), setTo(vOther, 5), setTo(vName, "meanwhile")).requirePage(t)
	slow.finish().requirePage(t)
	require.Equal(t, 2, provisional)
	require.Equal(t, 3, committed)
	require.Equal(t, 5, other)
	var conflict *session.ConflictError
	require.ErrorAs(t, late, &conflict)
	require.Equal(t, []string{"name"}, conflict.Keys)
	require.NoError(t, blind)
	requireStored(v, vCount, 3)
	requireStored(v, vOther, 50)
	requireStored(v, vName, "after")
}

var vFresh = session.Key[int]("fresh")

// What was committed at once takes part in later conflicts as it is by then.
func TestSettledThenChanged(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	slow := v.tab().hold(orSet(vOther, 7), increment(vOther), setTo(vName, "x"))
	v.at(b).do(setTo(vOther, 20)).requirePage(t)
	slow.finish().requirePage(t)
	requireStored(v, vOther, 21)

	slow = v.tab().hold(take(vName), increment(vCount))
	v.at(b).do(setTo(vName, "y")).requirePage(t)
	slow.finish().requirePage(t)
	requireStored(v, vName, "y")

	var conflict *session.ConflictError
	slow = v.tab().hold(orSet(vOther, 7), setTo(vOther, 100)) // it has seen 21
	v.at(b).do(increment(vOther)).requirePage(t)
	require.ErrorAs(t, slow.finish().failed, &conflict)
	requireStored(v, vOther, 22)

	// It knows what it has stored itself, too.
	for key, at := range map[session.Typed[int]]visitStep{vOther: take(vOther), vFresh: orSet(vFresh, 7)} {
		slow = v.tab().hold(at, setTo(key, 100))
		v.at(b).do(setTo(key, 30)).requirePage(t)
		require.ErrorAs(t, slow.finish().failed, &conflict, key.Name())
		requireStored(v, key, 30)
	}
}

// A Save that fails leaves the changes pending; the handler may go on without
// them.
func TestSaveConflict(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	var failed error
	slow := v.tab().hold(load(vCount), setTo(vCount, 9), setTo(vName, "ada"), func(ctx context.Context) error {
		failed = session.FromContext(ctx).Save(ctx)
		return nil
	})
	v.at(b).do(increment(vCount)).requirePage(t)
	answer := slow.finish()
	var conflict *session.ConflictError
	require.ErrorAs(t, failed, &conflict)
	require.ErrorAs(t, answer.failed, &conflict, "what was not saved is not reported as saved")
	require.Equal(t, http.StatusConflict, answer.code)
	requireStored(v, vCount, 2)
	requireAbsent(v, vName)
}
