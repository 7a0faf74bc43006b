package redisstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
)

var (
	_ store.Store      = (*Store)(nil)
	_ store.OwnerIndex = (*Store)(nil)
	_ store.Watcher    = (*Store)(nil)
)

// Store is a [store.Store] in Redis, with an owner index, that tells of changes if
// [WithNotify] says so. Make one with New; the
// zero Store is of no use.
//
// All methods are safe for concurrent use, by any number of goroutines and
// processes. Each command and each script concerns one key, so that it works on a
// cluster.
//
// A write that certainly changed nothing, because the server was not reached or
// would not do it, returns an error that wraps [store.ErrRefused] and what the
// driver said. When the context has ended the error wraps that of the context.
// After any other error of a write its outcome is not known. Errors hold neither
// keys nor anything of a record.
type Store struct {
	client   redis.UniversalClient
	config   config
	telling  telling
	channels []string // in which changes are told
	err      error    // of the configuration
}

// New returns a store that keeps its records through c, which stays the caller's:
// to configure, and to close. New sends nothing.
//
// When the arguments are of no use, every method of the store says so, and
// changes nothing: its error has all problems with them. That is so for a client
// that is nil, that may read from a replica or from a cache in the program
// (ReadOnly, RouteByLatency, RouteRandomly, ClientSideCache), and for a
// [redis.Ring], which looks for a key elsewhere while a server is away and so
// would bring back what was deleted meanwhile.
func New(c redis.UniversalClient, opts ...Option) *Store {
	s := &Store{client: c, config: config{prefix: DefaultPrefix}}
	for _, opt := range opts {
		opt(&s.config)
	}
	if err := errors.Join(s.config.problems(c)...); err != nil {
		s.err = fmt.Errorf("the configuration is of no use: %w", err)
	}
	if s.config.notify {
		s.telling, s.channels = tellingOf(c, s.config.prefix)
	}
	return s
}

// recordKey returns the name of a record. What follows the prefix is the ID of the
// session, as the library shows it.
func (s *Store) recordKey(key store.Key) string {
	return s.name("", key[:])
}

func (s *Store) name(kind string, id []byte) string {
	var buf [96]byte
	b := append(buf[:0], s.config.prefix...)
	b = append(b, kind...)
	return string(base64.RawURLEncoding.AppendEncode(b, id))
}

// Load implements [store.Store]. It takes one round trip.
func (s *Store) Load(ctx context.Context, key store.Key) (store.Record, error) {
	const op = "load"
	if err := s.usable(ctx, op, reads); err != nil {
		return store.Record{}, err
	}
	value, err := s.client.Get(ctx, s.recordKey(key)).Bytes()
	if errors.Is(err, redis.Nil) {
		return store.Record{}, store.ErrNotFound
	}
	if err != nil {
		return store.Record{}, s.failure(ctx, op, reads, err)
	}
	r, err := parseFrame(value)
	if err != nil {
		return store.Record{}, s.failure(ctx, op, reads, err)
	}
	return r, nil
}

// Insert implements [store.Store]. It takes one round trip, and two for a record
// with an owner.
func (s *Store) Insert(ctx context.Context, key store.Key, r store.Record) error {
	const op = "insert"
	if err := s.usable(ctx, op, writes); err != nil {
		return err
	}
	f, err := newFrame(&r)
	if err != nil {
		return s.failure(ctx, op, writes, err)
	}
	if r.Owner != "" {
		// Before the record: see owner.go.
		if f.hinted, err = s.addHint(ctx, op, r.Owner, key, f.expires); err != nil {
			return err
		}
	}
	reply, err := s.do(ctx, once, "set", s.recordKey(key), f.encode(), "nx", "pxat", redisExpiry(f.expires))
	if errors.Is(err, redis.Nil) {
		return store.ErrExists
	}
	if err == nil && reply != "OK" {
		err = unexpected(reply)
	}
	if err != nil {
		return s.failure(ctx, op, writes, err)
	}
	return nil
}

// Swap implements [store.Store]. With a conflict it returns the current record.
// It takes one round trip; two more when the owner changes, and now and then when
// the record has an owner and its life is lengthened.
func (s *Store) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	const op = "swap"
	if err := s.usable(ctx, op, writes); err != nil {
		return store.Record{}, err
	}
	f, err := newFrame(&r)
	if err != nil {
		return store.Record{}, s.failure(ctx, op, writes, err)
	}
	name := s.recordKey(key)
	for {
		control := make([]byte, 0, 8+headerSize+len(f.owner))
		control = binary.BigEndian.AppendUint64(control, uint64(old)) //nolint:gosec // G115: a version is a pattern of bits
		reply, err := s.run(ctx, &swapScript, once, name, f.appendHeader(control), f.data)
		if err != nil {
			if !isRefusal(err) { // it may be done
				s.tellOf(ctx, key, r.Version)
			}
			return store.Record{}, s.failure(ctx, op, writes, err)
		}
		switch reply := reply.(type) {
		case int64:
			switch reply {
			case scriptGone:
				return store.Record{}, store.ErrNotFound
			case scriptDone:
				// Once more if it had been done before: that may not have been told.
				s.tellOf(ctx, key, r.Version)
				return store.Record{}, nil
			case scriptForeign:
				return store.Record{}, s.failure(ctx, op, writes, errForeign)
			case scriptHint:
				if f.hinted == 0 {
					if f.hinted, err = s.addHint(ctx, op, f.owner, key, f.expires); err != nil {
						return store.Record{}, err
					}
					continue
				}
			}
		case string:
			cur, err := parseFrame([]byte(reply))
			if err != nil {
				return store.Record{}, s.failure(ctx, op, writes, err)
			}
			return cur, store.ErrConflict
		}
		return store.Record{}, s.failure(ctx, op, writes, unexpected(reply))
	}
}

// Touch implements [store.Store]. It takes one round trip, and now and then two
// more for a record with an owner.
func (s *Store) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	const op = "touch"
	if err := s.usable(ctx, op, writes); err != nil {
		return err
	}
	expires := milli(exp)
	var hinted []byte
	for {
		reply, err := s.run(ctx, &touchScript, once, s.recordKey(key),
			number(uint64(old)), number(expires), hinted, redisExpiry(expires)) //nolint:gosec // G115: a version is a pattern of bits
		if err != nil {
			return s.failure(ctx, op, writes, err)
		}
		switch reply := reply.(type) {
		case int64:
			switch reply {
			case scriptGone, scriptDone:
				return nil
			case scriptForeign:
				return s.failure(ctx, op, writes, errForeign)
			}
		case string: // the owner, who needs a hint
			if hinted == nil {
				until, err := s.addHint(ctx, op, reply, key, expires)
				if err != nil {
					return err
				}
				hinted = number(until)
				continue
			}
		}
		return s.failure(ctx, op, writes, unexpected(reply))
	}
}

// Delete implements [store.Store]. It takes one round trip, a second one where the
// answer of the first is lost, and waits for
// replicas if WithWait says so: with too few of them its error is a
// [*ReplicasError], and the record is gone all the same.
func (s *Store) Delete(ctx context.Context, key store.Key) error {
	const op = "delete"
	if err := s.usable(ctx, op, writes); err != nil {
		return err
	}
	name := s.recordKey(key)
	try := func() (err error) {
		switch {
		case s.config.waits():
			_, err = s.runAndWait(ctx, &deleteScript, once, []string{name})
		case s.telling == inScript:
			_, err = s.run(ctx, &deleteTellingScript, once, name, s.channels[0])
		default:
			_, err = s.do(ctx, once, "del", name)
		}
		return err
	}
	e, err := writes, try()
	if _, few := errors.AsType[*ReplicasError](err); err != nil && !few && !isRefusal(err) && ended(ctx) == nil {
		// It may be done, so that whatever a second one meets is no refusal. The
		// driver would not tell a second one from a first.
		e, err = wroteElse, try()
	}
	if e == wroteElse || err == nil || !isRefusal(err) {
		s.tellOf(ctx, key, 0)
	}
	if err != nil {
		return s.failure(ctx, op, e, err)
	}
	return nil
}
