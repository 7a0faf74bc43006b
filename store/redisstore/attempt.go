package redisstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
)

// effect is what an operation has done to the database when it fails.
type effect int

const (
	reads      effect = iota
	writes            // nothing, unless the command that failed did
	wroteElse         // something, whatever the command that failed did
	wroteHints        // nothing but a hint, whatever the command that failed did
)

// usable returns why an operation must not begin.
func (s *Store) usable(ctx context.Context, op string, e effect) error {
	switch {
	case s.err != nil && e == reads:
		return fmt.Errorf("redisstore: %s: %w", op, s.err)
	case s.err != nil:
		return fmt.Errorf("redisstore: %s: %w: %w", op, store.ErrRefused, s.err)
	case ended(ctx) != nil:
		return s.failure(ctx, op, e, ended(ctx))
	}
	return nil
}

// ended is the error of a context that has ended, or is about to: the driver gives
// up at the deadline, which may be a moment before the context does.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}

// failure returns the error of an operation. That of an ended context comes
// first: it ends an operation that has, or has not, taken effect.
func (s *Store) failure(ctx context.Context, op string, e effect, err error) error {
	s.lookAround(ctx, err)
	refused := e == wroteHints || e == writes && isRefusal(err)
	err = withoutArguments(err)
	end := ended(ctx)
	switch {
	case end != nil && !errors.Is(err, end):
		return fmt.Errorf("redisstore: %s: %w: %w", op, end, err)
	case end == nil && refused:
		return fmt.Errorf("redisstore: %s: %w: %w", op, store.ErrRefused, err)
	default:
		return fmt.Errorf("redisstore: %s: %w", op, err)
	}
}

// lookAround lets the client of a cluster ask who the masters are, when one of
// them may be down. By itself it would ask a minute later, by default.
func (s *Store) lookAround(ctx context.Context, err error) {
	cluster, ok := s.client.(*redis.ClusterClient)
	if !ok {
		return
	}
	if _, network := errors.AsType[net.Error](err); network || errors.Is(err, io.EOF) {
		cluster.ReloadState(ctx) // in the background, five times a second at most
	}
}

// refusals begin the errors of servers that have done nothing. Other errors may
// come from a proxy, after the command went on to a server.
var refusals = []string{
	"OOM", "READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "CROSSSLOT", "MOVED", "ASK",
	"NOAUTH", "WRONGPASS", "NOPERM", "DENIED", "MISCONF", "NOREPLICAS", "NOSCRIPT", "BUSY",
}

// errRefusals are those that have no word of their own.
var errRefusals = []string{
	"max number of clients", "unknown command", "unknown subcommand", "invalid expire", "Protocol error", "syntax error",
	"DISABLED", "This instance has cluster support disabled", "AUTH", "invalid password", "invalid username-password pair",
}

// isRefusal says that an error means that a command was not done, or not even sent.
func isRefusal(err error) bool {
	if reply, ok := errors.AsType[redis.Error](err); ok {
		word, rest, _ := strings.Cut(reply.Error(), " ")
		if word == "ERR" {
			return slices.ContainsFunc(errRefusals, func(text string) bool { return strings.HasPrefix(rest, text) })
		}
		return slices.Contains(refusals, word)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true // there was no connection to send it on
	}
	for _, unsent := range []error{redis.ErrPoolTimeout, redis.ErrPoolExhausted, redis.ErrClosed, errBadOwner} {
		if errors.Is(err, unsent) {
			return true
		}
	}
	return err.Error() == "redis: cluster has no nodes" // which has no name
}

// withoutArguments returns an error of the driver without what it quotes: the
// arguments of a command that the server does not know, an answer that is none.
// Nothing of it is wrapped, for %#v would show that.
func withoutArguments(err error) error {
	text := err.Error()
	if known, _, found := strings.Cut(text, ", with args beginning with"); found {
		return errors.New(known)
	}
	if strings.Contains(text, "can't parse") {
		return errors.New("the server gave an answer that is none of Redis's")
	}
	return err
}

// worst returns an error of commands that were sent together: one that leaves
// something open, if there is one.
func worst(cmds []*redis.Cmd) (err error) {
	for _, cmd := range cmds {
		if e := cmd.Err(); e != nil && (err == nil || isRefusal(err)) {
			err = e
		}
	}
	return err
}
