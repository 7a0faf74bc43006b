// Package schedule runs requests of one session in every order in which their calls of
// the store can happen, and checks each against a small model of one session.
//
// A request is a [Program] of verbs, followed by the commit. All requests of a [Case]
// begin with the cookie of one session, on one node or each on a node of its own. A
// request waits before each call of the store until the scheduler lets it pass, so an
// order of calls is a [Schedule], and all of them are tried: depth first, each from the
// beginning. Nothing is drawn at random; secrets and versions are, and decide nothing.
// Time stands still.
//
// A call and its answer are one step. Between the two a request does nothing that
// others can see, and others do nothing to it: what it does with the answer touches its
// own state and, on one node, the turn in the queue of commits, which it then gives up
// later than it could have. So each order with two steps has the outcome of one with a
// single step. [Site.Split] takes them apart nevertheless, and a test compares.
//
// What a request does between two calls happens as soon as it can. Where a step sets two
// requests of one node going, because one has passed its turn in the queue on, it is a
// choice, too, which of them begins its next verb first. That a request waits in the
// queue is seen by [testing/synctest.Wait], not by looking into it.
//
// The answers of the verbs, and what can be read afterwards with each cookie, must be
// those that the model gives when each load, each commit, Take, GetOrSet and Destroy
// happens at one moment between the beginning and the end of its verb. The model is no
// part of package session: it is a record of a few numbers, and a list of changes.
package schedule
