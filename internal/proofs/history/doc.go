// Package history lets several clients use one session at once, over several nodes,
// and checks what they were told: whether it could have happened one after the other
// (linearizability), as doc.go of the session package promises.
//
// A request is two operations. Its load sees one state of the session; its change
// takes effect at one moment after that, or not at all. The model is the state of the
// one session: values, owner, which credential is current and which is the one before
// it, privileges, and when it may and must have ended. A change whose answer was lost
// stays open for ever. What failed has no effect: its values are unique, so the first
// who reads one gives it away.
package history
