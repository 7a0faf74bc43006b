// Package scenario holds short stories of one or two requests, each of which ends
// badly in a library with a certain bug. They are for what the laws of stores, the
// histories and the schedules do not look at: structs, times, cookies, failures of
// the store at one certain moment. They are small, so that they are built anew for a
// mutant in no time.
package scenario
