package redisstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// listener notes what a Watch tells.
type listener struct {
	cancel context.CancelFunc
	ready  chan struct{}
	done   chan struct{}
	err    error // when done

	mu      sync.Mutex
	changes []store.Change
	early   int // changes before ready
	at      map[store.Change]time.Time
}

// begin calls Watch. It is ended with the test at the latest.
func begin(t testing.TB, s *redisstore.Store) *listener {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{cancel: cancel, ready: make(chan struct{}), done: make(chan struct{}), at: map[store.Change]time.Time{}}
	go func() {
		defer close(l.done)
		l.err = s.Watch(ctx, func() { close(l.ready) }, l.note)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.done
	})
	return l
}

func (l *listener) note(c store.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.ready:
	default:
		l.early++
	}
	l.changes = append(l.changes, c)
	l.at[c] = time.Now()
}

// listen calls Watch and waits until it is ready.
func listen(t testing.TB, s *redisstore.Store) *listener {
	t.Helper()
	l := begin(t, s)
	select {
	case <-l.ready:
	case <-l.done:
		t.Fatalf("Watch has ended: %v", l.err)
	case <-time.After(20 * time.Second):
		t.Fatal("Watch is not ready")
	}
	return l
}

// listenAgain calls Watch until it gets ready, as a Manager does.
func listenAgain(t testing.TB, s *redisstore.Store) (l *listener) {
	t.Helper()
	poll(t, func() bool {
		l = begin(t, s)
		select {
		case <-l.ready:
			return true
		case <-l.done:
			return false
		}
	}, "a later Watch is ready")
	return l
}

func (l *listener) heard() []store.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]store.Change(nil), l.changes...)
}

func (l *listener) has(want store.Change) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.at[want]
	return ok
}

func (l *listener) requireHears(t testing.TB, want ...store.Change) {
	t.Helper()
	for _, c := range want {
		poll(t, func() bool {
			if l.has(c) {
				return true
			}
			l.requireGoesOn(t)
			return false
		}, "it is told")
	}
}

// requireEnds waits until Watch has returned by itself.
func (l *listener) requireEnds(t testing.TB, within time.Duration) error {
	t.Helper()
	select {
	case <-l.done:
	case <-time.After(within):
		t.Fatalf("Watch goes on after %v", within)
	}
	require.Error(t, l.err)
	require.NotErrorIs(t, l.err, context.Canceled)
	return l.err
}

func (l *listener) requireGoesOn(t testing.TB) {
	t.Helper()
	select {
	case <-l.done:
		t.Fatalf("Watch has ended: %v", l.err)
	default:
	}
}

// telling returns a store that tells of changes, and its prefix.
func telling(c redis.UniversalClient, opts ...redisstore.Option) (*redisstore.Store, redisstore.Option) {
	p := redisstore.WithPrefix(prefix())
	return redisstore.New(c, append(opts, p, redisstore.WithNotify())...), p
}

// swapOnce swaps a record, and returns what has to be told.
func swapOnce(t testing.TB, s *redisstore.Store, key store.Key, old int64) store.Change {
	t.Helper()
	next := record("")
	_, err := s.Swap(t.Context(), key, old, next)
	require.NoError(t, err)
	return store.Change{Key: key, Version: next.Version}
}
