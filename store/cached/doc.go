// Package cached puts a near cache in front of any store: this node keeps what it has
// read and written lately, and answers reads from it without a round trip.
//
//	st := cached.New(back, cached.WithTTL(2*time.Second))
//	m, err := session.NewManager(session.Config{Store: st})
//	...
//	go st.Run(ctx) // where back tells of changes: copies of what others change are dropped at once
//
// # The bound
//
// Load returns a state that was current in the store beneath at some moment that is
// no longer ago than the TTL when Load is called: two seconds unless [WithTTL] says
// otherwise. The age of a copy counts from when the question, or the write, was sent.
// It does not get younger because the answer took long, a message is lost, or the
// record is touched.
//
// Within the bound, a node
//
//   - never reads what is older than a write of its own that has returned, whether that
//     was an Insert, a Swap, a Delete or a DeleteOwner, but for what DeleteOwner says;
//   - never reads by Load what is older than what LoadFresh has returned to it;
//   - uses no copy past its Expires, by its own clock.
//
// Writes go to the store beneath, and are as exact as without a cache, whatever is
// cached: a Swap from an old version is a conflict.
//
// Ages are measured by the monotonic clock, which stands still on some systems while
// the machine is suspended: right after that a copy can be older. The bounds of a
// cache in front of a cache add up.
//
// # What each operation does
//
//	Load         a copy that is young enough; else an answer that another Load is waiting
//	             for, if that was asked within the TTL; else asks
//	LoadFresh    asks, past every cache, and renews the copy
//	Insert       writes; what was written is kept
//	Swap         writes; what was written is kept, or the record that a conflict shows
//	Touch        writes; the copy shows the later end, and is as old as before
//	Delete       drops the copy, deletes, drops the copy; a failure is returned
//	DeleteOwner  the same for all copies of the owner's records
//	ListOwner, DeleteExpired, Watch are passed on
//
// A write that fails drops the copy, for its outcome may not be known. An answer that
// is on its way while its key is written, or a change of it is heard of, is given to
// its caller and not kept. Two answers that overlap in time and differ cannot be put
// in order: neither is kept.
//
// Errors are not kept. That there is no record is not either, unless [WithNegative]
// says so.
//
// # A logout on another node
//
// A session that another node has ended, by a logout or a revocation, can be read here
// until the copy is too old, and changes that another node has made are seen that much
// later. It cannot be written: a commit finds that the session is gone. So choose the
// TTL as the time that you can bear a revoked session to be readable; where you cannot
// bear any, use no cache. A logout on this node ends the session on this node at once.
//
// Requests that change something need the current state. A transport asks for it with
// session.Opening.Fresh, as the middleware does for every method but GET and HEAD, and
// the manager does when a credential does not fit the copy: a login on one node is seen
// on the others at once.
//
// # Hearing of changes
//
// While [Store.Run] works, and the store beneath tells of changes, a copy is dropped as
// soon as the store tells that another node has changed its record. That shortens what
// is usual, and nothing else. A message may be lost, and a subscription may be cut off
// without a sign for up to [store.WatchPatience]; the TTL holds all along. Run logs when
// it does not hear, and when it does again, and
// [Stats].Listening tells.
//
// # Size
//
// [WithMaxEntries] and [WithMaxBytes] bound what is kept, 100,000 records and 64 MiB
// unless told otherwise, whichever is met first; while many are added at once there can
// be some more. So a record counts as MaxBytes /
// MaxEntries at the least: 672 bytes by default. What is used often stays.
// A copy that has become too old stays, too, until it is asked for again or another needs
// its place: nothing looks for them, and a cache that has been full stays full. It pays
// for sessions that are read several times within a TTL: room for those that are in use
// during a TTL is enough. With a store that is as fast as memory there is nothing to
// gain.
//
// # Cost
//
// A hit costs no round trip and allocates nothing. A miss costs what the store beneath
// costs, and once for all who ask for the same key meanwhile. Whoever waits for another
// Load stops waiting when its own context ends; when that Load gives up because its
// context has ended, one of those who wait takes over.
//
// Nothing runs in the background. The upkeep of the cache is done by whoever reads or
// writes, now and then; while its table grows, by several goroutines, which are
// waited for.
package cached
