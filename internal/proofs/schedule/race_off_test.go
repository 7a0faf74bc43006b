//go:build !race

package schedule_test

// raceEnabled says that the race detector is on.
const raceEnabled = false
