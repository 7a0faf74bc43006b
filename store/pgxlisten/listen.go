package pgxlisten

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// A cut is noticed when the server has been silent for both, and what is left of
// store.WatchPatience is for a busy machine.
const (
	idle   = store.WatchPatience * 2 / 5 // how long nothing may be heard until the server is asked
	answer = store.WatchPatience * 2 / 5 // how long it may take to answer
)

var (
	// ErrConnString is returned by New for what is no connection string. It does not
	// say why, and does not wrap what pgx says, because that may show a password:
	// pgx.ParseConfig tells whoever needs to know.
	ErrConnString = errors.New("pgxlisten: the connection string cannot be parsed")
	// ErrSilent says that the server has not answered in time. Notifications may
	// have been missed.
	ErrSilent = errors.New("pgxlisten: the server does not answer")
)

// New returns a listener that connects with a URL or with keywords and values, as
// [pgx.ParseConfig] reads them, together with the environment (PGHOST, PGPASSWORD,
// and so on). It does not connect. The error is [ErrConnString].
func New(connString string) (sqlstore.Listener, error) {
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		return nil, ErrConnString
	}
	return FromConfig(config), nil
}

// FromConfig returns a listener that connects with a copy of config, which
// [pgx.ParseConfig] has made; nothing else will do. OnNotification is not called. A
// ConnectTimeout of none, or of more than [store.WatchPatience], counts as that;
// where there are several addresses each gets as much.
//
// The listener is safe for concurrent use; each call has a connection of its own.
// Its errors hold neither the password nor config.
func FromConfig(config *pgx.ConnConfig) sqlstore.Listener {
	config = config.Copy()
	config.OnNotification = nil // or pgx would not hand them out
	if config.ConnectTimeout <= 0 || config.ConnectTimeout > store.WatchPatience {
		config.ConnectTimeout = store.WatchPatience
	}
	return func(ctx context.Context, channel string, ready func(), notify func(payload string)) error {
		err := listen(ctx, config, channel, ready, notify)
		if end := ctx.Err(); end != nil {
			return end
		}
		return err
	}
}

func listen(ctx context.Context, config *pgx.ConnConfig, channel string, ready func(), notify func(payload string)) error {
	l := &line{dial: config.DialFunc}
	l.ctx, l.cancel = context.WithCancel(ctx)
	defer l.cut()
	config = config.Copy()
	config.DialFunc = l.connect
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("pgxlisten: connect: %w", withoutConfig(err))
	}
	defer l.hangUp(conn)
	if err := ask(ctx, conn, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
		return fmt.Errorf("pgxlisten: listen: %w", err)
	}
	ready()
	for {
		n, err := await(ctx, conn)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case n != nil && n.Channel == channel:
			notify(n.Payload)
		}
	}
}

// await returns the next notification, or nil when the server has none but is
// there.
func await(ctx context.Context, conn *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, idle)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil, n != nil:
		return n, nil
	case waiting.Err() == nil || conn.IsClosed():
		return nil, fmt.Errorf("pgxlisten: wait: %w", err)
	}
	if err := ask(ctx, conn, "-- ping"); err != nil {
		return nil, fmt.Errorf("pgxlisten: ping: %w", err)
	}
	return nil, nil //nolint:nilnil // the server is there: documented
}

// ask executes a statement, which the server answers soon.
func ask(ctx context.Context, conn *pgx.Conn, text string) error {
	asking, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	_, err := conn.Exec(asking, text)
	if err != nil && asking.Err() != nil && ctx.Err() == nil {
		return ErrSilent
	}
	return err
}

// withoutConfig returns what a failed connection says, without the configuration,
// and the password in it, that pgx keeps with the error.
func withoutConfig(err error) error {
	if failed, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return failed.Unwrap()
	}
	return err
}

// hangUpTime is how long a polite end of a connection may take.
const hangUpTime = time.Second / 2
