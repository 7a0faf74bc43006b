package integration_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// behind is a store that acknowledges what it has in memory, and writes it a moment
// later: a cache that writes behind.
type behind struct {
	store.Store // in memory
	inner       store.Store

	mu    sync.Mutex
	dirty map[store.Key]bool
}

const behindTime = 100 * time.Millisecond

func newBehind(ctx context.Context, inner store.Store) *behind {
	b := &behind{Store: memory.New(), inner: inner, dirty: map[store.Key]bool{}}
	go func() {
		for tick := time.NewTicker(behindTime); ; {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			b.mu.Lock()
			for key := range b.dirty {
				b.flush(ctx, key)
			}
			clear(b.dirty)
			b.mu.Unlock()
		}
	}()
	return b
}

// flush makes the store hold what the memory has.
func (b *behind) flush(ctx context.Context, key store.Key) {
	_ = b.inner.Delete(ctx, key)
	if r, err := b.Store.Load(ctx, key); err == nil {
		_ = b.inner.Insert(ctx, key, r)
	}
}

func (b *behind) Load(ctx context.Context, key store.Key) (store.Record, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, err := b.Store.Load(ctx, key); err == nil || b.dirty[key] {
		return r, err
	}
	r, err := b.inner.Load(ctx, key)
	if err == nil {
		err = b.Store.Insert(ctx, key, r)
	}
	return r, err
}

// change notes that the key has to be written, and lets nobody see half of a change.
func (b *behind) change(key store.Key, f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dirty[key] = true
	f()
}

func (b *behind) Insert(ctx context.Context, key store.Key, r store.Record) (err error) {
	b.change(key, func() { err = b.Store.Insert(ctx, key, r) })
	return err
}

func (b *behind) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (cur store.Record, err error) {
	b.change(key, func() { cur, err = b.Store.Swap(ctx, key, old, r) })
	return cur, err
}

func (b *behind) Delete(ctx context.Context, key store.Key) (err error) {
	b.change(key, func() { err = b.Store.Delete(ctx, key) })
	return err
}

// What TestKilledProgram does rejects a store that acknowledges what it has not
// written, and finds nothing wrong with it while nobody is killed.
func TestKillsFindAStoreThatWritesBehind(t *testing.T) {
	t.Parallel()
	long(t)
	e := effort.Of(t)
	spec := sqlitePlace.spec(t, nil)
	spec.Behind = true
	p := startProgram(t, spec)
	load := startFaultLoad(t, e, p.faultNode)
	load.await(t, "everything", load.enough)
	require.Empty(t, load.wrongs(), "before the first kill")
	for i := 0; len(load.wrongs()) == 0 && i < 20; i++ {
		crash(t, e, load, func(*rand.Rand) {
			p.kill(t)
			p.start(t)
		})
	}
	load.stop()
	t.Logf("%q; %v", load.wrongs(), load)
	require.NotEmpty(t, load.wrongs())
}

// What TestKilledServer does rejects a server that keeps nothing, or not at once.
func TestKillsFindAServerThatForgets(t *testing.T) {
	t.Parallel()
	long(t)
	wrong, summary := killedServer(t, effort.Of(t), redisPlace)
	t.Logf("%q; %s", wrong, summary)
	require.Contains(t, wrong, "in the end: "+errLost.Error())
}
