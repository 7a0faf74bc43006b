package cached_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

const (
	stormTTL   = 50 * time.Millisecond
	stormSlots = 12
)

// gone is the index of the absence that follows a record.
const gone = 1 << 30

// truth is the store that the nodes share. It knows the order of the versions of each
// key, and when each was replaced.
type truth struct {
	*memory.Store
	mu   sync.Mutex
	keys map[store.Key]*life
}

// life is what one key has gone through.
type life struct {
	mu       sync.Mutex
	index    map[int64]int       // of a version, written before it can be seen
	replaced map[int64]time.Time // written after it was
	last     int64               // version that is stored
	ending   bool                // a deletion has begun
}

func (tr *truth) life(key store.Key) *life {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	l := tr.keys[key]
	if l == nil {
		l = &life{index: make(map[int64]int), replaced: make(map[int64]time.Time)}
		tr.keys[key] = l
	}
	return l
}

func (tr *truth) Insert(ctx context.Context, key store.Key, r store.Record) error {
	l := tr.life(key)
	l.mu.Lock()
	l.index[r.Version], l.last = 1, r.Version
	l.mu.Unlock()
	return tr.Store.Insert(ctx, key, r)
}

func (tr *truth) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	l := tr.life(key)
	l.mu.Lock()
	l.index[r.Version] = l.index[old] + 1
	l.mu.Unlock()
	cur, err := tr.Store.Swap(ctx, key, old, r)
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.replaced[old] = time.Now()
		if l.index[r.Version] > l.index[l.last] {
			l.last = r.Version
		}
	}
	return cur, err
}

func (tr *truth) Delete(ctx context.Context, key store.Key) error {
	defer tr.end(key)()
	return tr.Store.Delete(ctx, key)
}

func (tr *truth) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	list, err := tr.ListOwner(ctx, owner, store.Key{}, 10)
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		defer tr.end(e.Key)()
	}
	return tr.Store.DeleteOwner(ctx, owner, except...)
}

func (tr *truth) end(key store.Key) func() {
	l := tr.life(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ending = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if _, ok := l.replaced[l.last]; !ok {
			l.replaced[l.last] = time.Now()
		}
	}
}

// link is the way of one node to the truth.
type link struct{ *truth }

// trip makes a call over the link.
func (l link) trip(ctx context.Context, writes bool, do func() error) error {
	if err := pause(ctx, slow()); err != nil {
		return err
	}
	dice := rand.IntN(100)
	if dice < 5 {
		return errBroken // nothing was done
	}
	err := do()
	if perr := pause(ctx, slow()); perr != nil {
		return perr
	}
	if writes && dice < 10 {
		return errBroken // the answer is lost
	}
	return err
}

// slow returns how long one way takes.
func slow() time.Duration {
	switch dice := rand.IntN(100); {
	case dice < 2:
		return rand.N(3 * stormTTL)
	case dice < 15:
		return rand.N(stormTTL * 9 / 10)
	default:
		return rand.N(2 * time.Millisecond)
	}
}

func (l link) Load(ctx context.Context, key store.Key) (r store.Record, err error) {
	err = l.trip(ctx, false, func() error { r, err = l.truth.Load(ctx, key); return err })
	return r, err
}

func (l link) Insert(ctx context.Context, key store.Key, r store.Record) error {
	return l.trip(ctx, true, func() error { return l.truth.Insert(ctx, key, r) })
}

func (l link) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (cur store.Record, err error) {
	err = l.trip(ctx, true, func() error { cur, err = l.truth.Swap(ctx, key, old, r); return err })
	return cur, err
}

func (l link) Delete(ctx context.Context, key store.Key) error {
	return l.trip(ctx, true, func() error { return l.truth.Delete(ctx, key) })
}

func (l link) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (n int64, err error) {
	err = l.trip(ctx, true, func() error { n, err = l.truth.DeleteOwner(ctx, owner, except...); return err })
	return n, err
}

// Watch loses half of what it hears, and stops now and then.
func (l link) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	ctx, cancel := context.WithTimeout(ctx, rand.N(time.Second))
	defer cancel()
	return l.truth.Watch(ctx, ready, func(c store.Change) {
		if rand.IntN(2) == 0 {
			changed(c)
		}
	})
}

// node is one program. It knows what it may not go back behind.
type node struct {
	s     *cached.Store
	truth *truth
	mu    sync.Mutex
	seen  map[store.Key]int // index of what was written here or returned by LoadFresh

	loads, stale atomic.Int64
	oldest       atomic.Int64
}

func (n *node) saw(key store.Key, index int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.seen[key] = max(n.seen[key], index)
}

func (n *node) bound(key store.Key) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.seen[key]
}

// read loads key and checks what comes.
func (n *node) read(ctx context.Context, key store.Key, ask func(context.Context, store.Key) (store.Record, error), most time.Duration) (store.Record, int, error) {
	least := n.bound(key)
	start := time.Now()
	r, err := ask(ctx, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return r, 0, nil // the link failed
	}
	l := n.truth.life(key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if !l.ending {
			return r, 0, fmt.Errorf("a record that is there is not found")
		}
		return r, gone, nil
	}
	index := l.index[r.Version]
	if index < least {
		return r, index, fmt.Errorf("state %d was read after state %d had been written or read past the cache", index, least)
	}
	if at, ok := l.replaced[r.Version]; ok && start.After(at) {
		age := start.Sub(at)
		n.stale.Add(1)
		for old := n.oldest.Load(); old < int64(age) && !n.oldest.CompareAndSwap(old, int64(age)); old = n.oldest.Load() {
		}
		if age > most {
			return r, index, fmt.Errorf("a state was read that had been replaced %v before, the bound is %v", age, most)
		}
	}
	return r, index, nil
}

// load is a Load, or now and then a LoadFresh.
func (n *node) load(ctx context.Context, key store.Key, fresh bool) (store.Record, error) {
	n.loads.Add(1)
	if !fresh {
		r, _, err := n.read(ctx, key, n.s.Load, stormTTL)
		return r, err
	}
	r, index, err := n.read(ctx, key, n.s.LoadFresh, 0)
	n.saw(key, index)
	return r, err
}

// write replaces or deletes the record under key.
func (n *node) write(ctx context.Context, key store.Key, owner string) (over bool, err error) {
	switch dice := rand.IntN(24); dice {
	case 0:
		if n.s.Delete(ctx, key) == nil {
			n.saw(key, gone)
			return true, nil
		}
	case 1:
		if _, err := n.s.DeleteOwner(ctx, owner); err == nil {
			n.saw(key, gone)
			return true, nil
		}
	default:
		r, err := n.load(ctx, key, dice%2 == 0)
		if err != nil || r.Version == 0 {
			return false, err
		}
		next := stormRecord(owner)
		if _, err := n.s.Swap(ctx, key, r.Version, next); err == nil {
			l := n.truth.life(key)
			l.mu.Lock()
			index := l.index[next.Version]
			l.mu.Unlock()
			n.saw(key, index)
		}
	}
	return false, nil
}

func stormRecord(owner string) store.Record {
	return store.Record{Version: 1 + rand.Int64N(1<<62), Expires: time.Now().Add(time.Hour), Owner: owner}
}

// slot holds the key that is used now; a new one comes when its record has gone.
type slot struct {
	owner string
	key   atomic.Pointer[store.Key]
}

// begin inserts a new record.
func (sl *slot) begin(ctx context.Context, n *node) {
	var k store.Key
	for i := range k {
		k[i] = byte(rand.Uint32())
	}
	if n.s.Insert(ctx, k, stormRecord(sl.owner)) == nil {
		n.saw(k, 1)
		sl.key.Store(&k)
	}
}

// storm lets two nodes read and write for long.
func storm(t *testing.T, long time.Duration) {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	tr := &truth{Store: memory.New(), keys: make(map[store.Key]*life)}
	var slots []*slot
	for i := range stormSlots {
		slots = append(slots, &slot{owner: fmt.Sprint("owner ", i)})
	}
	var failed atomic.Pointer[error]
	report := func(err error) {
		if err != nil && failed.CompareAndSwap(nil, &err) {
			cancel()
		}
	}
	var wg sync.WaitGroup
	var nodes []*node
	for i := range 2 {
		opts := []cached.Option{cached.WithTTL(stormTTL), cached.WithLogger(silent)}
		if i == 1 {
			opts = append(opts, cached.WithNegative(stormTTL/2), cached.WithMaxEntries(stormSlots))
		}
		n := &node{s: cached.New(link{tr}, opts...), truth: tr, seen: make(map[store.Key]int)}
		nodes = append(nodes, n)
		wg.Go(func() { _ = n.s.Run(ctx) })
		for range 4 { // readers
			wg.Go(func() {
				for pause(ctx, rand.N(time.Millisecond)) == nil {
					if k := slots[rand.IntN(stormSlots)].key.Load(); k != nil {
						callCtx, end := maybeShort(ctx)
						_, err := n.load(callCtx, *k, rand.IntN(50) == 0)
						end()
						report(err)
					}
				}
			})
		}
		for range 4 { // writers
			wg.Go(func() {
				for pause(ctx, rand.N(20*time.Millisecond)) == nil {
					sl := slots[rand.IntN(stormSlots)]
					k := sl.key.Load()
					if k == nil {
						sl.begin(ctx, n)
						continue
					}
					over, err := n.write(ctx, *k, sl.owner)
					report(err)
					if over || rand.IntN(300) == 0 {
						sl.begin(ctx, n)
					}
				}
			})
		}
	}
	wg.Wait()
	var all, stale int64
	var oldest time.Duration
	for i, n := range nodes {
		all, stale = all+n.loads.Load(), stale+n.stale.Load()
		oldest = max(oldest, time.Duration(n.oldest.Load()))
		t.Logf("node %d: %+v", i, n.s.Stats())
		require.Zero(t, n.s.Flights())
		require.Positive(t, n.s.Stats().Hits)
	}
	t.Logf("%d loads, %d of what had been replaced; the oldest by %v, the bound is %v", all, stale, oldest, stormTTL)
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	require.Positive(t, stale, "nothing was tried")
}

// maybeShort returns a context that may end while the call is under way.
func maybeShort(ctx context.Context) (context.Context, context.CancelFunc) {
	if rand.IntN(20) == 0 {
		return context.WithTimeout(ctx, rand.N(stormTTL))
	}
	return ctx, func() {}
}
