package redisstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// DefaultPrefix begins the names of all keys unless WithPrefix says otherwise.
const DefaultPrefix = "session:"

// Option changes what New makes.
type Option func(*config)

type config struct {
	prefix string
	wait   wait
	notify bool
}

// WithPrefix begins the names of all keys of the store in Redis, with any bytes.
// The default is DefaultPrefix. Stores that share a database and are to be apart
// need different ones, of which none begins with another.
func WithPrefix(prefix string) Option {
	return func(c *config) { c.prefix = prefix }
}

// WithWait makes Delete and DeleteOwner wait until so many replicas have the
// deletion, so that a failover to one of them does not bring a session back; a
// failover to another one still can. Insert, Swap and Touch wait for it, too, when they
// enter a record into the list of its owner, at a login above all: DeleteOwner would
// miss a session that is not in the list, and so such a write is refused. They wait
// for timeout at most, which must be at least a millisecond and shorter than the
// ReadTimeout of the client; then the error is a [*ReplicasError]. Nothing else
// waits. The default is not to wait.
//
// The client must be a [redis.Client] or a [redis.ClusterClient]: the command
// WAIT has to go where the deletion went, on the same connection.
func WithWait(replicas int, timeout time.Duration) Option {
	return func(c *config) { c.wait = wait{wanted: true, replicas: replicas, timeout: timeout} }
}

// WithNotify makes Swap, Delete and DeleteOwner tell of what they change, so that Watch
// hears of it. The default is not to tell, because it costs something, and needs
// Redis 7 on a cluster and rights that users of Redis 7 do not have unless they are
// given them. The package comment has both. Where these rights are missing
// writes are done all the same, and nobody hears of them; Watch reports it.
//
// All programs with the same records need it, or what they change is not told. Stores
// hear each other if they have the same prefix: also those in other
// databases of one server, as publishing knows no SELECT. That is harmless.
//
// The client must be a [redis.Client] or a [redis.ClusterClient]. With any other one
// there is no telling, for the store does not know where the others listen, and
// Watch returns an error that wraps [errors.ErrUnsupported].
func WithNotify() Option {
	return func(c *config) { c.notify = true }
}

// wait is what WithWait says.
type wait struct {
	wanted   bool
	replicas int
	timeout  time.Duration
}

func (c *config) waits() bool { return c.wait.wanted }

// problems returns why the store cannot be used.
func (c *config) problems(client redis.UniversalClient) []error {
	var found []error
	problem := func(format string, args ...any) { found = append(found, fmt.Errorf(format, args...)) }
	var readTimeout time.Duration
	picks := false // whose connection to a master can be picked
	missing := client == nil
	switch client := client.(type) {
	case *redis.Client:
		if missing = client == nil; missing {
			break
		}
		picks = true
		o := client.Options()
		readTimeout = o.ReadTimeout
		if o.ClientSideCache != nil || o.ClientSideCacheConfig != nil {
			problem("the client answers from a cache: leave ClientSideCache and ClientSideCacheConfig unset")
		}
	case *redis.ClusterClient:
		if missing = client == nil; missing {
			break
		}
		picks = true
		o := client.Options()
		readTimeout = o.ReadTimeout
		if o.ReadOnly || o.RouteByLatency || o.RouteRandomly {
			problem("the client reads from replicas: leave ReadOnly, RouteByLatency and RouteRandomly unset")
		}
	case *redis.Ring:
		problem("a redis.Ring looks for a key elsewhere while a server is away: use a cluster")
	}
	if missing {
		found = append(found, errors.New("the client is nil: make one with redis.NewClient"))
	}
	if w := c.wait; w.wanted {
		if w.replicas < 1 {
			problem("WithWait for %d replicas: at least one is needed", w.replicas)
		}
		if w.timeout < time.Millisecond {
			problem("WithWait for %v: at least a millisecond is needed", w.timeout)
		}
		if readTimeout > 0 && w.timeout >= readTimeout {
			problem("WithWait for %v: that must be shorter than the client's ReadTimeout of %v", w.timeout, readTimeout)
		}
		if !missing && !picks {
			problem("WithWait cannot pick a connection of a %T: it takes a *redis.Client or a *redis.ClusterClient", client)
		}
	}
	return found
}
