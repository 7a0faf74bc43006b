//go:build race

package schedule_test

// raceEnabled says that the race detector is on. It takes ten times as long, and is
// there for what goes on within a step, which a part of the cases show.
const raceEnabled = true
