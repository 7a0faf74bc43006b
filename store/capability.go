package store

import (
	"context"
	"time"
)

// The interfaces of this file are optional. The library looks for them once,
// when a manager is built; an operation that needs one a store does not have
// fails with an error that wraps errors.ErrUnsupported.

// Entry is a record together with its key.
type Entry struct {
	Key    Key
	Record Record
}

// OwnerIndex finds records by Record.Owner.
type OwnerIndex interface {
	// ListOwner returns the live records of owner whose keys are greater than
	// after, in ascending order of their keys (as bytes), at most limit of
	// them. Fewer than limit means that there are no more. The zero Key starts
	// from the beginning. A record that is live and owned by owner during the
	// whole of a listing is in it; one that comes, goes or changes its owner
	// meanwhile may be or not. Nobody is listed under the empty owner. limit is
	// positive.
	ListOwner(ctx context.Context, owner string, after Key, limit int) ([]Entry, error)

	// DeleteOwner deletes every record that is owned by owner when the method
	// is called and still when it is reached, except those whose keys are
	// given. Each deletion is one Delete that happens only while owner still
	// owns the record. It returns how many live records it deleted, also with an
	// error. The empty owner owns nothing: no record is deleted.
	DeleteOwner(ctx context.Context, owner string, except ...Key) (int64, error)
}

// Sweeper removes what has expired. A store whose backend does so by itself
// need not implement it.
type Sweeper interface {
	// DeleteExpired removes at most limit records that have expired by the
	// store's clock and returns how many it removed, also with an error. Fewer
	// than limit means that none are left; limit is positive. It never removes a
	// live record, and
	// holds nothing up for long: the caller comes back for the rest.
	DeleteExpired(ctx context.Context, limit int) (int64, error)
}

// FreshLoader is implemented by a store that may answer Load with a record
// that has been replaced or deleted meanwhile: a cache.
type FreshLoader interface {
	// LoadFresh is Load past every cache, and refreshes what is cached.
	LoadFresh(ctx context.Context, key Key) (Record, error)
}

// Layer is implemented by a store in front of another one. Whatever else it
// implements to pass on counts only if the store beneath implements it, but for
// FreshLoader.
type Layer interface {
	// Beneath returns the store that this one is in front of.
	Beneath() Store
}

// Watcher is implemented by a store that tells of changes as they happen. What it
// tells makes others look sooner; nothing is decided by it.
type Watcher interface {
	// Watch calls changed for every Swap and every deletion that any node makes, soon
	// after it took effect. It calls ready once, before that, when it will hear of
	// all those that begin from then on. Inserts, touches and records that expire
	// need not be told. A change may be told twice, changes of one key in any order,
	// and one that never happened may be told too. Of several changes of one key all
	// but the last may be left out. One may be missed where the node that made it dies
	// at that moment.
	//
	// ready and changed are called by one goroutine at a time, with no lock held;
	// they return soon and call nothing of the store.
	//
	// Watch returns when ctx has ended, and when it may have missed changes for any
	// other reason: it notices within WatchPatience that it is cut off. Its error is
	// never nil. It wraps errors.ErrUnsupported when trying again cannot help,
	// because the store has not been set up to tell of changes. Nothing is called
	// and nothing goes on when it has returned. Several may watch at once.
	Watch(ctx context.Context, ready func(), changed func(Change)) error
}

// WatchPatience is how soon a Watch notices that it hears of nothing any more.
const WatchPatience = 5 * time.Second

// Change is what a [Watcher] tells.
type Change struct {
	Key     Key
	Version int64 // of the record that was written; 0 when it was deleted
}
