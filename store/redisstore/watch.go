package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
)

const (
	// beatTime is how often a Watch tries whether it would hear of a change.
	beatTime = time.Second
	// deafTime is how old the last try may be of which it has heard. Some of
	// store.WatchPatience is left for a busy machine.
	deafTime = store.WatchPatience - time.Second
	// lookTime is how often it looks how old that is.
	lookTime = 200 * time.Millisecond
	// subscribeTime is how long it may take to connect and subscribe.
	subscribeTime = 2 * store.WatchPatience
)

var (
	errDeaf         = errors.New("cut off: what was published did not arrive")
	errNotInTime    = errors.New("the server has not confirmed the subscription in time")
	errUnsubscribed = errors.New("the server has ended the subscription")
	errRenewed      = errors.New("the driver has connected anew")
)

// Watch implements [store.Watcher], for a store with [WithNotify] whose client is a
// [redis.Client] or a [redis.ClusterClient]. With any other its error wraps
// [errors.ErrUnsupported].
//
// It takes a connection of its own, on a cluster four, which the client does not
// count as part of its PoolSize. Once a second it publishes something that nobody
// else hears, through the pool of the client, and listens for it: ready is called
// when that has come back on each connection. When what was published four seconds
// ago has not come back, Watch ends: the server is away, or another one
// has taken its place, or the pool has had no connection to spare. It also ends when a
// connection breaks, when the slot of a channel moves, and when the client is closed.
//
// It ends soon after ctx has; but while it connects to a server that does not
// answer, only when the ReadTimeout of the client is over.
//
// On one server no change is missed between ready and the end. On a cluster one may be:
// see the package comment.
func (s *Store) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	const op = "watch"
	if s.err != nil {
		return fmt.Errorf("redisstore: %s: %w: %w", op, errors.ErrUnsupported, s.err)
	}
	if s.telling == silent {
		reason := "the store has been made without WithNotify"
		if s.config.notify {
			reason = fmt.Sprintf("WithNotify takes a *redis.Client or a *redis.ClusterClient, not a %T", s.client)
		}
		return fmt.Errorf("redisstore: %s: %w: %s", op, errors.ErrUnsupported, reason)
	}
	if err := s.usable(ctx, op, reads); err != nil {
		return err
	}
	w := &watch{s: s, begun: time.Now(), events: make(chan event, 64), confirmed: make(chan struct{}), ready: ready, changed: changed}
	err := w.run(ctx)
	if cluster, ok := s.client.(*redis.ClusterClient); ok && ctx.Err() == nil {
		cluster.ReloadState(ctx) // so that the next one goes where the channels are now
	}
	return s.failure(ctx, op, reads, err)
}

// watch is a Watch under way. Its own goroutine has all of it, but for what a
// subscription reads and the beats.
type watch struct {
	s         *Store
	begun     time.Time
	events    chan event
	confirmed chan struct{} // closed when the beats have to begin
	subs      []*subscription
	doubt     error // of the last beat that was not published
	isReady   bool
	ready     func()
	changed   func(store.Change)
}

// subscription is a connection of a watch.
type subscription struct {
	pubsub  *redis.PubSub
	channel string
	echo    string // where nobody else listens, in the same slot

	missing int           // confirmations
	heard   time.Duration // when the latest beat that came back was published, after begun
	echoed  bool
}

// event is what a goroutine of a watch has to say.
type event struct {
	sub     *subscription
	message any   // of the driver
	err     error // that ends it
	doubt   error // that may
}

// run returns why it ended, when nothing goes on any more.
func (w *watch) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel() // ends what is connecting
		for _, sub := range w.subs {
			_ = sub.pubsub.Close()
		}
		wg.Wait()
	}()
	for _, channel := range w.s.channels {
		sub := w.newSubscription(inner, channel)
		w.subs = append(w.subs, sub)
		wg.Go(func() { w.receive(inner, sub) })
	}
	wg.Go(func() { w.beat(inner) })
	look := time.NewTicker(lookTime)
	defer look.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case e := <-w.events:
			err = w.hear(e)
		case <-look.C:
			err = w.look()
		}
		if err != nil {
			return err
		}
	}
}

func (w *watch) newSubscription(ctx context.Context, channel string) *subscription {
	sub := &subscription{channel: channel, echo: channel + ":" + rand.Text(), missing: 2}
	if w.s.telling == sharded {
		sub.pubsub = w.s.client.SSubscribe(ctx) // to nothing: it does not connect yet
	} else {
		sub.pubsub = w.s.client.Subscribe(ctx)
	}
	return sub
}

// receive subscribes, and passes on what comes until there is an error.
func (w *watch) receive(ctx context.Context, sub *subscription) {
	subscribe := sub.pubsub.Subscribe
	if w.s.telling == sharded {
		subscribe = sub.pubsub.SSubscribe
	}
	// The driver would connect anew when the connection breaks. It cannot with a
	// context that has ended, of which it asks nothing else.
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	e := event{sub: sub, err: subscribe(ctx, sub.channel, sub.echo)}
	for {
		if e.err == nil {
			e.message, e.err = sub.pubsub.ReceiveTimeout(ended, 0)
		}
		if !w.say(ctx, e) || e.err != nil {
			return
		}
	}
}

// say returns false when nobody listens any more.
func (w *watch) say(ctx context.Context, e event) bool {
	select {
	case w.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// beat publishes what the watch itself has to hear. That goes the way of a change:
// it shows that the connections are alive, and also that they lead to the servers to
// which changes go.
func (w *watch) beat(ctx context.Context) {
	select {
	case <-w.confirmed:
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(beatTime)
	defer tick.Stop()
	for {
		for _, sub := range w.subs {
			attempt, cancel := context.WithTimeout(ctx, tellTime)
			now := binary.BigEndian.AppendUint64(nil, uint64(time.Since(w.begun))) //nolint:gosec // G115: not negative
			err := w.s.publish(attempt, sub.echo, [][]byte{now})
			cancel()
			e := event{sub: sub, doubt: err}
			if _, reply := errors.AsType[redis.Error](err); reply {
				e.err = err
			}
			if err != nil && !w.say(ctx, e) {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// hear returns an error that ends the watch.
func (w *watch) hear(e event) error {
	w.doubt = cmp.Or(e.doubt, w.doubt)
	if e.err != nil {
		return e.err
	}
	switch m := e.message.(type) {
	case *redis.Subscription:
		return w.hearSubscription(e.sub, m)
	case *redis.Message:
		switch m.Channel {
		case e.sub.echo:
			w.hearEcho(e.sub, m.Payload)
		case e.sub.channel:
			if c, ok := parseChange(m.Payload); ok && w.isReady {
				w.changed(c)
			}
		}
	}
	return nil
}

func (w *watch) hearSubscription(sub *subscription, m *redis.Subscription) error {
	switch m.Kind {
	case "subscribe", "ssubscribe":
		if sub.missing == 0 {
			return errRenewed
		}
	default:
		return errUnsubscribed
	}
	sub.missing--
	for _, sub := range w.subs {
		if sub.missing > 0 {
			return nil
		}
	}
	for _, sub := range w.subs {
		sub.heard = time.Since(w.begun) // the time runs from now
	}
	close(w.confirmed)
	return nil
}

func (w *watch) hearEcho(sub *subscription, payload string) {
	if len(payload) != 8 {
		return
	}
	at := time.Duration(binary.BigEndian.Uint64([]byte(payload))) //nolint:gosec // G115: looked at next
	if at < sub.heard || at > time.Since(w.begun) {
		return
	}
	sub.heard, sub.echoed = at, true
	if w.isReady {
		return
	}
	for _, sub := range w.subs {
		if !sub.echoed {
			return
		}
	}
	w.isReady = true
	w.ready()
}

// look returns an error if the watch has heard of nothing for too long.
func (w *watch) look() error {
	now := time.Since(w.begun)
	for _, sub := range w.subs {
		switch {
		case sub.missing > 0 && now > subscribeTime:
			return errNotInTime
		case sub.heard > 0 && now-sub.heard > deafTime && w.doubt != nil:
			// Not as it is: it may be that of a context, which is not the caller's.
			return fmt.Errorf("%w: %w", errDeaf, hiddenError{w.doubt})
		case sub.heard > 0 && now-sub.heard > deafTime:
			return errDeaf
		}
	}
	return nil
}
