package cached

import (
	"log/slog"
	"math"
	"time"
)

// The defaults of the options.
const (
	DefaultTTL              = 2 * time.Second
	DefaultMaxEntries       = 100_000
	DefaultMaxBytes   int64 = 64 << 20
)

// Option changes what New makes.
type Option func(*config)

type config struct {
	ttl        time.Duration
	negative   time.Duration
	maxEntries int
	maxBytes   int64
	logger     *slog.Logger
}

// WithTTL sets the bound: Load returns what was stored at some moment that lies at
// most d before Load was called. That long a session that another node has ended can
// be read here. The default, which also stands in for a d that is not positive, is
// DefaultTTL.
func WithTTL(d time.Duration) Option {
	return func(c *config) { c.ttl = d }
}

// WithMaxEntries bounds how many records are kept. The default, which also stands in
// for an n that is not positive, is DefaultMaxEntries. WithMaxBytes holds, too.
func WithMaxEntries(n int) Option {
	return func(c *config) { c.maxEntries = n }
}

// WithMaxBytes bounds how many bytes are kept: the data and the owner of each record,
// and a fixed amount for the room that it takes up besides. The default, which also
// stands in for an n that is not positive, is DefaultMaxBytes. A record larger than
// that is not kept at all. WithMaxEntries holds, too.
func WithMaxBytes(n int64) Option {
	return func(c *config) { c.maxBytes = n }
}

// WithNegative remembers for d, and no longer than the TTL, that a key has no record,
// so that a client that keeps sending the cookie of a session that is gone costs
// nothing. The default, which also stands in for a d that is not positive, is not to.
//
// A record that another node inserts meanwhile is not seen here for so long, and no
// store need tell of it. That takes somebody who has asked this node for the key
// before the record was there; keys are drawn at random and shown to nobody before, so
// it does not happen to visitors. An Insert of this node is never hidden.
func WithNegative(d time.Duration) Option {
	return func(c *config) { c.negative = d }
}

// WithLogger sets where Run says that it does not hear of changes, and that it does
// again. The default, which also stands in for nil, is slog.Default.
func WithLogger(l *slog.Logger) Option {
	return func(c *config) { c.logger = l }
}

func newConfig(opts []Option) config {
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	if c.ttl <= 0 {
		c.ttl = DefaultTTL
	}
	if c.maxEntries <= 0 {
		c.maxEntries = DefaultMaxEntries
	}
	if c.maxBytes <= 0 {
		c.maxBytes = DefaultMaxBytes
	}
	c.negative = min(max(c.negative, 0), c.ttl)
	if c.logger == nil {
		c.logger = slog.Default()
	}
	return c
}

// weights returns the bound of all weights together and the least weight of one
// entry, which is such that no more than maxEntries fit.
func (c *config) weights() (most uint64, least uint32) {
	bytes, entries := uint64(c.maxBytes), uint64(c.maxEntries) //nolint:gosec // G115: both are positive
	each := (bytes-1)/entries + 1
	if each > math.MaxUint32 { // the largest weight there is: fewer bytes then
		return entries * math.MaxUint32, math.MaxUint32
	}
	return bytes, uint32(each)
}
