//go:build race

package redisstore_test

// raceEnabled says that the race detector is on, which allocates.
const raceEnabled = true
