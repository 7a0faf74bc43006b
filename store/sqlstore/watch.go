package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

var _ store.Watcher = (*Store)(nil)

var (
	errNoListener = fmt.Errorf("%w: the store was made without WithNotify", errors.ErrUnsupported)
	errNoTriggers = fmt.Errorf("%w: the table has no triggers that notify, or they are disabled: call Store.Migrate", errors.ErrUnsupported)
	errNotHeard   = errors.New("what the store notifies of does not reach the listener: " +
		"it needs a session of its own on the same database, not one behind a pooler in transaction mode")
	errSaysNothing = errors.New("the listener returned without an error")
)

// Watch implements [store.Watcher], with PostgreSQL and [WithNotify]; otherwise its
// error wraps errors.ErrUnsupported, as it does where the triggers are missing that
// [Store.Migrate] creates, or are disabled. It looks for them, and calls ready when
// it has heard itself: two statements of the store, and what the listener needs.
// What an administrator updates or deletes by hand is told as well; TRUNCATE is not,
// nor that somebody removes the triggers meanwhile.
func (s *Store) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	const op = "watch"
	if s.config.listen == nil {
		return fmt.Errorf("sqlstore: %s: %w", op, errNoListener)
	}
	var n notifying
	err := s.attempt(ctx, op, reads, func() (err error) {
		n, err = s.notifyingInPostgres(ctx, s.db)
		if errors.Is(err, ErrTrigger) {
			err = fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return err
	})
	if err != nil {
		return err
	}
	if !n.complete() {
		return failure(ctx, op, unknown, errNoTriggers)
	}
	listening, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	w := &watch{db: s.db, ctx: listening, stop: stop, channel: n.channel, probe: "probe:" + rand.Text(), ready: ready, changed: changed}
	defer w.end()
	err = s.config.listen(listening, n.channel, w.begin, w.hear)
	if err == nil {
		err = errSaysNothing
	}
	if why := context.Cause(listening); why != nil && ctx.Err() == nil {
		err = why
	}
	return failure(ctx, op, unknown, err)
}

// watch is one Watch. Its listener calls its methods one at a time.
type watch struct {
	db      *sql.DB
	ctx     context.Context // the listener's, which calls without one
	stop    context.CancelCauseFunc
	channel string
	probe   string
	ready   func()
	changed func(store.Change)

	begun   bool
	timer   *time.Timer // runs while the probe is not heard
	isReady bool
}

// begin is called when the listener listens. Whether it hears what is notified on
// the connections of the store is another matter: it may have another database or,
// behind a pooler, a session that is somebody else's by now. So it has to hear a
// notification first.
func (w *watch) begin() {
	if w.begun {
		return
	}
	w.begun = true
	ctx, cancel := context.WithTimeout(w.ctx, store.WatchPatience)
	defer cancel()
	if _, err := w.db.ExecContext(ctx, "SELECT pg_catalog.pg_notify($1, $2)", w.channel, w.probe); err != nil {
		w.stop(err)
		return
	}
	w.timer = time.AfterFunc(store.WatchPatience, func() { w.stop(errNotHeard) })
}

func (w *watch) hear(payload string) {
	switch {
	case w.ctx.Err() != nil:
	case w.isReady:
		if c, ok := parseChange(payload); ok {
			w.changed(c)
		}
	case payload == w.probe && w.timer != nil && w.timer.Stop():
		w.isReady = true
		w.ready()
	}
}

func (w *watch) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
}
