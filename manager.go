package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/go-playground/validator/v10"

	"github.com/typedsession/session/store"
)

// Defaults of [Config].
const (
	DefaultLifetime  = 24 * time.Hour // NIST SP 800-63B, AAL2
	DefaultGrace     = 30 * time.Second
	DefaultMinRotate = time.Minute
	DefaultTimeout   = 10 * time.Second

	DefaultWatchInterval = 10 * time.Second

	DefaultMaxBytes = 1 << 20
	DefaultMaxKeys  = 1000
	DefaultMaxDepth = 32
)

// Bounds that are not configurable.
const (
	maxName    = 1024   // bytes in a key name
	maxOwner   = 255    // bytes in an owner
	maxChanges = 10_000 // entries in the log of one request

	maxWatchInterval = 24 * time.Hour
)

// Config is the configuration of a [Manager]. Only Store is required; a zero
// field means its default.
type Config struct {
	// Store keeps the sessions. Required.
	Store store.Store

	// Codec turns values into JSON; the default is [JSON].
	Codec Codec

	// Expiry is what a session starts with; the default is OnSessionEnd(). An
	// AtTime ends all sessions at that time, and from then on none can be
	// created: SetExpiry is the better place for it.
	Expiry Expiry

	// Lifetime is the absolute limit of a session: activity does not move it, and
	// only Login starts a new one. The default is DefaultLifetime.
	Lifetime time.Duration

	// Validator checks what is stored: see [ValidationError]. The default knows the
	// rules of github.com/go-playground/validator and names fields by their json
	// tags. One of your own, with rules of your own, is complete before NewManager
	// is called.
	Validator *validator.Validate

	// Scope tells the sessions of this manager from those of others in the same
	// program or on the same store.
	Scope Scope

	// Grace is how long after a rotation the replaced credential is still
	// recognized, so that requests under way are not answered as logged out. The
	// default is DefaultGrace.
	Grace time.Duration

	// MinRotate is the shortest time between two calls of Rotate that take
	// effect; it is at least Grace, because a second rotation would cut off the
	// requests the grace is for. The default is DefaultMinRotate, or Grace where
	// that is longer.
	MinRotate time.Duration

	// Timeout limits the commit of a request, which does not end when the client
	// goes away. The default is DefaultTimeout.
	Timeout time.Duration

	// MaxBytes, MaxKeys and MaxDepth bound what a session may hold, when it is
	// written and when it is read: bytes of all names and values, number of
	// keys, and levels of nesting in one value. The defaults are DefaultMaxBytes,
	// DefaultMaxKeys and DefaultMaxDepth. For as long as Grace after a Login or
	// Elevate a record holds what the old credential may read as well: a store has
	// to take twice MaxBytes.
	MaxBytes int
	MaxKeys  int
	MaxDepth int

	// WatchInterval is how soon [Session.Done] notices an end that the store has not
	// told of, where the store can be read. While the store tells of changes, it is
	// longer by [store.WatchPatience], in which a subscription that is cut off has not
	// been noticed to be; and a single notification that is lost is made up for within
	// six intervals. The default is DefaultWatchInterval; it is a day at most.
	WatchInterval time.Duration

	// Logger receives what has no caller to return to: failures of RunSweeper, and
	// those to listen to the store for [Session.Done]. The default is slog.Default.
	Logger *slog.Logger
}

// Manager opens, commits and revokes sessions. It holds no session of its own,
// and starts no goroutine but for [Session.Done]: a few, however many sessions are
// watched, which end soon after the last of them. It is safe for concurrent use; the zero Manager is
// not usable.
type Manager struct {
	cfg        Config
	store      store.Store
	fresh      store.FreshLoader // nil when Load is never stale
	owners     store.OwnerIndex  // nil when there is none
	sweeper    store.Sweeper     // nil when there is none
	codec      valueCodec
	contextKey any
	scopeHash  [partSize]byte
	queue      queue
	watcher    watcher
}

// NewManager returns a manager, or a *[ConfigError] with every problem of cfg and
// of the declarations of its scope that package variables hold: keys of one name
// with different types, structs that cannot be used, validation rules that do not
// exist or do not fit, each with its place in the source.
func NewManager(cfg Config) (*Manager, error) {
	var problems []error
	check := func(err error) {
		if err != nil {
			problems = append(problems, err)
		}
	}
	positive := func(name string, d *time.Duration, def time.Duration) {
		switch {
		case *d == 0:
			*d = def
		case *d < time.Millisecond:
			check(fmt.Errorf("%s of %v: it must be at least a millisecond", name, *d))
			*d = def // or more problems would follow from this one
		}
	}
	bound := func(name string, n *int, def, most int) {
		switch {
		case *n == 0:
			*n = def
		case *n < 0 || *n > most:
			check(fmt.Errorf("%s of %d: it must lie between 1 and %d", name, *n, most))
			*n = def
		}
	}
	if cfg.Store == nil {
		check(errors.New("no Store: for a first try, memory.New()"))
	} else if v := reflect.ValueOf(cfg.Store); v.Kind() == reflect.Pointer && v.IsNil() {
		check(fmt.Errorf("the Store is a nil %T", cfg.Store))
	}
	positive("Lifetime", &cfg.Lifetime, DefaultLifetime)
	positive("Grace", &cfg.Grace, DefaultGrace)
	positive("MinRotate", &cfg.MinRotate, max(DefaultMinRotate, cfg.Grace))
	positive("Timeout", &cfg.Timeout, DefaultTimeout)
	positive("WatchInterval", &cfg.WatchInterval, DefaultWatchInterval)
	if cfg.WatchInterval > maxWatchInterval {
		check(fmt.Errorf("WatchInterval of %v: it must be at most %v", cfg.WatchInterval, maxWatchInterval))
	}
	bound("MaxBytes", &cfg.MaxBytes, DefaultMaxBytes, 1<<30)
	bound("MaxKeys", &cfg.MaxKeys, DefaultMaxKeys, 1<<20)
	bound("MaxDepth", &cfg.MaxDepth, DefaultMaxDepth, 1000)
	if cfg.MinRotate < cfg.Grace {
		check(fmt.Errorf("MinRotate of %v is shorter than Grace of %v", cfg.MinRotate, cfg.Grace))
	}
	if cfg.Expiry == (Expiry{}) {
		cfg.Expiry = OnSessionEnd()
		cfg.Expiry.idle = min(cfg.Expiry.idle, cfg.Lifetime)
	}
	now := time.Now()
	if err := cfg.Expiry.check(now, now.Add(cfg.Lifetime), cfg.Lifetime); err != nil {
		check(fmt.Errorf("Expiry: %w", err))
	}
	check(cfg.Scope.check())
	if cfg.Codec == nil {
		cfg.Codec = JSON{}
	}
	broken := probe(cfg.Codec)
	check(broken)
	codec := valueCodec{Codec: cfg.Codec, maxDepth: cfg.MaxDepth}
	_, codec.plain = cfg.Codec.(JSON)
	codec.validator, codec.custom = cfg.Validator, cfg.Validator != nil
	if !codec.custom {
		codec.validator = defaultValidator()
	}
	problems = append(problems, codec.checkDeclarations(cfg.Scope, broken == nil)...)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if len(problems) > 0 {
		return nil, &ConfigError{Problems: problems}
	}

	m := &Manager{cfg: cfg, store: cfg.Store, scopeHash: cfg.Scope.hash(), contextKey: defaultKey}
	m.codec = codec
	if cfg.Scope.name != "" {
		m.contextKey = scopeKey(cfg.Scope.name)
	}
	m.fresh, _ = cfg.Store.(store.FreshLoader)
	m.owners, _ = capability[store.OwnerIndex](cfg.Store)
	m.sweeper, _ = capability[store.Sweeper](cfg.Store)
	m.watcher.m = m
	m.watcher.notifier, _ = capability[store.Watcher](cfg.Store)
	return m, nil
}

// capability returns the optional interface C of a store. A layer has it only where
// what is beneath has it.
func capability[C any](s store.Store) (c C, ok bool) {
	c, ok = s.(C)
	if layer, is := s.(store.Layer); is && ok {
		_, ok = capability[C](layer.Beneath())
	}
	if !ok {
		var none C
		return none, false
	}
	return c, true
}

// Scope returns the scope of the manager.
func (m *Manager) Scope() Scope { return m.cfg.Scope }

// Session returns the session that a transport of this manager has put into
// ctx. It panics like [NewContext] when another manager of the same scope has.
func (m *Manager) Session(ctx context.Context) (*Session, bool) {
	s, ok := lookup(ctx, m.contextKey)
	if ok && s.m != m {
		panic(twoManagers(m.cfg.Scope))
	}
	return s, ok
}

// Revoke ends the session with the public handle id ([Info.ID]): from then on
// nobody reads or writes it. A session that is gone is no error. Revoke does not ask
// whose session it is; when id comes from a visitor, look it up among
// [Manager.Sessions] of that visitor first.
func (m *Manager) Revoke(ctx context.Context, id string) error {
	key, err := parseHandle(id)
	if err != nil {
		return err
	}
	return storeError("delete", m.store.Delete(ctx, key))
}

// Handles are encoded record keys: hashes, of which no credential can be made.
func handle(key store.Key) string { return base64.RawURLEncoding.EncodeToString(key[:]) }

func parseHandle(id string) (key store.Key, err error) {
	b, err := encoding.DecodeString(id)
	if err != nil || len(b) != len(key) || len(id) != encoding.EncodedLen(len(key)) { // line breaks are skipped
		return key, &ValueError{Key: "id", Err: errors.New("not the ID of a session")}
	}
	return store.Key(b), nil
}

func storeError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &StoreError{Op: op, Err: err}
}

// newVersion returns a random positive 63-bit number. It identifies a write
// and is no secret.
func newVersion() int64 {
	return rand.Int64N(1<<63-1) + 1 //nolint:gosec // has to be unique, not secret
}

// load reads a record, past every cache when fresh is set.
func (m *Manager) load(ctx context.Context, key store.Key, fresh bool) (store.Record, error) {
	if fresh && m.fresh != nil {
		return m.fresh.LoadFresh(ctx, key)
	}
	return m.store.Load(ctx, key)
}
