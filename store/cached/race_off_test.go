//go:build !race

package cached_test

// raceEnabled says that the race detector is on, which allocates.
const raceEnabled = false
