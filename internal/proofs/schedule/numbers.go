package schedule

// How many schedules there are in the short form of the tests.
const (
	SchedulesOfPairs = 142376 // TestSchedules: of programs of one or two steps, and a Save
	SchedulesOfThree = 11365  // TestSchedulesOfThree
)
