package schedule_test

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/schedule"
)

// A call whose answer comes later than its effect has no outcome that one without this
// gap has not: there are only more schedules.
func TestAnswersMayComeAtOnce(t *testing.T) {
	t.Parallel()
	cases := schedule.Pairs(schedule.Programs(1, schedule.Ops))
	if next := list(cases, 11); raceEnabled {
		cases = nil
		for c, ok := next(); ok; c, ok = next() {
			cases = append(cases, c)
		}
	}
	one, two := 0, 0
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			outcomes := func(split bool) (seen []string, schedules int) {
				set := map[string]bool{}
				s := schedule.Site{Split: split, Seen: func(outcome string) { set[outcome] = true }}
				r, err := s.Explore(schedule.Schedule{Case: c})
				require.NoError(t, err)
				if r.Violation != nil {
					t.Fatal(r.Violation)
				}
				return slices.Sorted(maps.Keys(set)), r.Schedules
			}
			want, n := outcomes(false)
			got, m := outcomes(true)
			one, two = one+n, two+m
			require.Equal(t, want, got, "%s", schedule.Schedule{Case: c})
		})
	}
	t.Logf("%d schedules, %d when answers come later", one, two)
	require.Greater(t, two, 2*one)
}
