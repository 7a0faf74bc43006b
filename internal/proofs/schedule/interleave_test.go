package schedule_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/schedule"
)

// calls returns a task of so many calls, which says when it makes one.
func calls(n int, made func()) func(g *schedule.Gate) {
	return func(g *schedule.Gate) {
		for range n {
			g.Pass()
			made()
		}
	}
}

// Tasks of m and n calls have (m+n)! / m! n! orders, each of which comes once.
func TestInterleavesEveryOrderOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calls  []int
		orders int
	}{
		{[]int{0, 0}, 1},
		{[]int{1, 0}, 1},
		{[]int{1, 1}, 2},
		{[]int{2, 3}, 10},
		{[]int{4, 4}, 70},
		{[]int{6, 5}, 462},
		{[]int{1, 1, 1}, 6},
		{[]int{2, 2, 2}, 90},
		{[]int{3, 2, 4}, 1260},
	} {
		t.Run(fmt.Sprint(c.calls), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				seen := map[string]bool{}
				order := ""
				tasks := func() []func(g *schedule.Gate) {
					seen[order] = true
					order = ""
					var tasks []func(g *schedule.Gate)
					for i, n := range c.calls {
						tasks = append(tasks, calls(n, func() { order += fmt.Sprint(i) }))
					}
					return tasks
				}
				n, err := schedule.Interleave(tasks)
				require.NoError(t, err)
				require.Equal(t, c.orders, n)
				seen[order] = true
				delete(seen, "")
				if slices.Max(c.calls) > 0 {
					require.Len(t, seen, c.orders)
				}
			})
		})
	}
}

// A task that waits for another one cannot go before it.
func TestInterleavesWithWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, err := schedule.Interleave(func() []func(g *schedule.Gate) {
			turn := make(chan struct{})
			return []func(g *schedule.Gate){
				func(g *schedule.Gate) { g.Pass(); g.Pass(); close(turn); g.Pass() },
				func(g *schedule.Gate) { g.Pass(); <-turn; g.Pass() },
			}
		})
		require.NoError(t, err)
		require.Equal(t, 7, n, "3 of the 10 have the second call of B before the second one of A")
	})
}

func TestInterleavesNoDeadlock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		defer close(never)
		_, err := schedule.Interleave(func() []func(g *schedule.Gate) {
			return []func(g *schedule.Gate){func(*schedule.Gate) { <-never }}
		})
		require.ErrorContains(t, err, "wait for each other")
	})
}

func TestInterleavesNoEndlessTask(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, err := schedule.Interleave(func() []func(g *schedule.Gate) {
			return []func(g *schedule.Gate){func(g *schedule.Gate) {
				for g.Pass() { //nolint:revive // it has nothing else to do
				}
			}}
		})
		require.ErrorContains(t, err, "do not end")
	})
}

func TestInterleavesOnlyWhatIsDecided(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		_, err := schedule.Interleave(func() []func(g *schedule.Gate) {
			runs++
			return []func(g *schedule.Gate){calls(2, func() {}), calls(runs%2, func() {})}
		})
		require.ErrorContains(t, err, "another way")
	})
}
