package sqlstore

import (
	"context"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/typedsession/session/store"
)

// A Listener hears what is notified in a PostgreSQL database, over a connection of
// its own: database/sql cannot. Package pgxlisten
// (github.com/typedsession/session/store/pgxlisten) makes one with pgx; what
// follows is for whoever writes another.
//
// It executes LISTEN for the channel, whose name has to be quoted as an identifier,
// in a session that lasts: directly on the primary server, and on the database of
// the store, not through a pooler in transaction mode. Then it calls ready, once,
// and from then on notify with the payload of each notification of that channel,
// in the order in which they come. It calls both from one goroutine at a time and
// holds no lock. ready runs a statement of the store, and ends with ctx; notify
// returns soon.
//
// It returns when ctx has ended, and when it may have missed a notification for
// any other reason: it asks the server often enough to notice within
// [store.WatchPatience] that it is cut off. It also gives up on a connection that
// does not come about in that time. Its error is never nil and holds no password;
// it wraps [errors.ErrUnsupported] when trying again cannot help. It closes its
// connection, and nothing is called and nothing goes on when it has returned. It is
// called again after that, and several times at once: each call has a connection
// of its own.
type Listener func(ctx context.Context, channel string, ready func(), notify func(payload string)) error

// WithNotify makes a store on PostgreSQL tell of changes: then [Store.Watch] works,
// and [Store.Migrate] also creates a function and two triggers, by which the table
// notifies of each swap and each deletion, whoever makes it. By default there are
// none, and Watch is not supported. New refuses it for other databases.
//
// What a notification costs: PostgreSQL takes one lock of the whole server for a
// transaction that notifies, from before its commit until that is on the disk. So
// swaps and deletions of all sessions are committed one after the other: where the
// disk takes 2 ms there are at most 500 of them a second, however many connections
// there are, and otherwise many share one write to the disk. Inserts, touches,
// reads and sweeps notify of nothing. A site that writes more than that is better
// off without.
//
// Whoever may connect to the database can listen, and sees the keys and the
// versions of records. Both are of no use to them: a key is a hash that opens no
// session.
//
// To be rid of it, leave the option away on all nodes, and then
//
//	DROP TRIGGER sessions_swapped ON sessions;
//	DROP TRIGGER sessions_deleted ON sessions;
//	DROP FUNCTION sessions_notify();
func WithNotify(l Listener) Option {
	return func(c *config) { c.notifies, c.listen = true, l }
}

// checkNotify returns what is wrong with the options that concern it.
func (c *config) checkNotify(d *dialect) error {
	switch {
	case !c.notifies:
		return nil
	case d != nil && d != &postgres:
		return errors.New("WithNotify: " + d.name + " cannot notify: it is for PostgreSQL")
	case c.listen == nil:
		return errors.New("WithNotify: the listener is nil")
	}
	return nil
}

// parseChange reads the payload of a notification: the key in hexadecimal digits, a
// colon, and the version, 0 for a deletion. Anybody may notify: what reads
// otherwise is not from a trigger.
func parseChange(payload string) (c store.Change, ok bool) {
	key, version, _ := strings.Cut(payload, ":")
	if len(key) != hex.EncodedLen(len(c.Key)) {
		return store.Change{}, false
	}
	if _, err := hex.Decode(c.Key[:], []byte(key)); err != nil {
		return store.Change{}, false
	}
	n, err := strconv.ParseUint(version, 10, 63)
	if err != nil {
		return store.Change{}, false
	}
	c.Version = int64(n)
	return c, true
}
