package integration_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// The load on caches: few sessions are used often, most of them seldom, as in the law
// of Zipf. A write is what a request does that changes something.
const (
	zipfSessions = 20_000
	zipfExponent = 1.1
	zipfWrites   = 10  // of a hundred
	zipfEnds     = 2   // of a hundred writes: a session ends, and a new one takes its place
	zipfOld      = 2   // of a hundred reads: of the session that was there before
	zipfWorkers  = 8   // on both nodes together
	zipfData     = 500 // bytes
)

// Two nodes, each behind a cache, over one store. No read returns what had been
// replaced for longer than the TTL, whether the caches hear of changes or not.
func TestCachesUnderZipf(t *testing.T) { // not parallel: it measures, and tests beside it would be in the way
	long(t)
	for _, k := range tellingKinds {
		if k.name != "Redis" && k.name != "PostgreSQL" {
			continue
		}
		for name, told := range map[string]bool{"": false, ", told": true} {
			t.Run(k.name+name, func(t *testing.T) {
				e := effort.Of(t)
				ttl, lasts := 200*time.Millisecond, 2*time.Second
				if e.Long {
					ttl, lasts = 2*time.Second, 1<<62 // until it is over
				}
				z := newZipf(t, e, k.site(t), told, ttl)
				z.run(t, lasts)
				z.report(t, ttl)
				require.LessOrEqual(t, z.ages.most, ttl)
			})
		}
	}
}

// The same judge finds out that copies are used for longer than the TTL.
func TestCachesUnderZipfJudge(t *testing.T) {
	long(t)
	z := newZipf(t, effort.Of(t), tellingRedis(t), false, time.Minute)
	const ttl = 100 * time.Millisecond
	z.run(t, 10*ttl)
	require.Greater(t, z.ages.most, ttl)
}

// zipf is a load on two nodes.
type zipf struct {
	e     effort.Effort
	nodes []*cached.Store
	backs []*zipfBack
	slots []atomic.Pointer[zipfSlot]
	last  atomic.Int64 // number of a session, and of a version

	reads, stale, fresh, writes, conflicts, ends atomic.Int64
	took                                         time.Duration

	mu    sync.Mutex
	ages  zipfAges // from when the answer to the replacing write had come
	upper zipfAges // from when it was sent
}

// zipfBack counts the reads that get to a store.
type zipfBack struct {
	store.Store
	store.Watcher
	loads atomic.Int64
}

// Load implements store.Store.
func (b *zipfBack) Load(ctx context.Context, key store.Key) (store.Record, error) {
	b.loads.Add(1)
	return b.Store.Load(ctx, key)
}

// zipfSlot is a session, and the one that was in its place before.
type zipfSlot struct {
	now, before *zipfSession
}

// zipfSession knows when each of its versions was replaced.
type zipfSession struct {
	key store.Key

	mu       sync.Mutex
	replaced map[int64]zipfMoment // by version
	gone     zipfMoment           // zero while it lives
}

// zipfMoment is between sent and answered: a write took effect.
type zipfMoment struct{ sent, answered time.Time }

// newZipf returns a load on new sessions of a site.
func newZipf(t *testing.T, e effort.Effort, place *tellingSite, told bool, ttl time.Duration) *zipf {
	t.Helper()
	z := &zipf{e: e, slots: make([]atomic.Pointer[zipfSlot], zipfSessions)}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var hearing sync.WaitGroup
	stores := []store.Store{place.node(t), place.node(t)}
	t.Cleanup(func() { stop(); hearing.Wait() }) // before the stores are closed
	for _, st := range stores {
		back := &zipfBack{Store: st, Watcher: st.(store.Watcher)}
		z.backs = append(z.backs, back)
		c := cached.New(back, cached.WithTTL(ttl))
		if told {
			hearing.Go(func() { _ = c.Run(ctx) })
			eventually(t, func() bool { return c.Stats().Listening })
		}
		z.nodes = append(z.nodes, c)
	}
	plain := place.node(t)
	var wg sync.WaitGroup
	for w := range zipfWorkers {
		wg.Go(func() {
			for i := w; i < zipfSessions; i += zipfWorkers {
				s, err := z.insert(t.Context(), plain)
				if err != nil {
					t.Error(err)
					return
				}
				z.slots[i].Store(&zipfSlot{now: s})
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return z
}

func (z *zipf) record() store.Record {
	return store.Record{Data: make([]byte, zipfData), Version: z.last.Add(1), Expires: time.Now().Add(24 * time.Hour)}
}

func (z *zipf) insert(ctx context.Context, st store.Store) (*zipfSession, error) {
	// Keys are hashes: a cache has a lock for each of their parts, a cluster a node.
	s := &zipfSession{key: sha256.Sum256(strconv.AppendInt(nil, z.last.Add(1), 10)), replaced: map[int64]zipfMoment{}}
	return s, st.Insert(ctx, s.key, z.record())
}

// run lets all workers work.
func (z *zipf) run(t *testing.T, lasts time.Duration) {
	t.Helper()
	var wg sync.WaitGroup
	begun := time.Now()
	for w := range zipfWorkers {
		wg.Go(func() {
			rnd := z.e.Rand(uint64(w))
			which := rand.NewZipf(rnd, zipfExponent, 1, zipfSessions-1)
			ages, upper := zipfAges{}, zipfAges{}
			for time.Since(begun) < lasts && !z.e.Over() && !t.Failed() {
				slot := &z.slots[which.Uint64()]
				n := z.nodes[rnd.IntN(len(z.nodes))]
				var err error
				switch {
				case rnd.IntN(100) >= zipfWrites:
					err = z.read(t.Context(), n, slot.Load().pick(rnd), &ages, &upper)
				case rnd.IntN(100) < zipfEnds:
					err = z.end(t.Context(), n, slot)
				default:
					err = z.write(t.Context(), n, slot.Load().now)
				}
				if err != nil {
					t.Error(err)
				}
			}
			z.mu.Lock()
			defer z.mu.Unlock()
			z.ages.add(&ages)
			z.upper.add(&upper)
		})
	}
	wg.Wait()
	z.took = time.Since(begun)
}

// pick returns the session to read.
func (s *zipfSlot) pick(rnd *rand.Rand) *zipfSession {
	if s.before != nil && rnd.IntN(100) < zipfOld {
		return s.before
	}
	return s.now
}

// read loads a session, and notes how old the answer is: how long ago, when Load was
// called, it had been replaced. That lies between two times. Where the replacing
// write is not over yet the answer is current.
//
// The lower one counts from the answer to that write: by then it had taken effect. It is
// what the bound is held against, for it cannot blame a cache that is right. The
// upper one counts from before the write was sent. It is what the figures are made
// of, for it cannot praise one.
func (z *zipf) read(ctx context.Context, n *cached.Store, s *zipfSession, ages, upper *zipfAges) error {
	start := time.Now()
	r, err := n.Load(ctx, s.key)
	z.reads.Add(1)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	at, old := s.replaced[r.Version]
	if !old {
		at, old = s.gone, s.gone != zipfMoment{}
	}
	s.mu.Unlock()
	if !old || !at.sent.Before(start) {
		return nil
	}
	z.stale.Add(1)
	ages.note(max(0, start.Sub(at.answered)))
	upper.note(start.Sub(at.sent))
	return nil
}

// write does what a request does that changes something.
func (z *zipf) write(ctx context.Context, n *cached.Store, s *zipfSession) error {
	z.fresh.Add(1)
	cur, err := n.LoadFresh(ctx, s.key)
	if err == nil {
		var at zipfMoment
		at.sent = time.Now()
		_, err = n.Swap(ctx, s.key, cur.Version, z.record())
		at.answered = time.Now()
		if err == nil {
			s.mu.Lock()
			s.replaced[cur.Version] = at
			s.mu.Unlock()
			z.writes.Add(1)
		}
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		z.conflicts.Add(1) // another worker was faster
		return nil
	}
	return err
}

// end ends a session, and puts another in its place.
func (z *zipf) end(ctx context.Context, n *cached.Store, slot *atomic.Pointer[zipfSlot]) error {
	old := slot.Load()
	next, err := z.insert(ctx, n)
	if err != nil {
		return err
	}
	if !slot.CompareAndSwap(old, &zipfSlot{now: next, before: old.now}) {
		z.conflicts.Add(1)
		return nil
	}
	at := zipfMoment{sent: time.Now()}
	if err := n.Delete(ctx, old.now.key); err != nil {
		return err
	}
	at.answered = time.Now()
	old.now.mu.Lock()
	old.now.gone = at
	old.now.mu.Unlock()
	z.ends.Add(1)
	return nil
}

// report logs what was measured.
func (z *zipf) report(t *testing.T, ttl time.Duration) {
	t.Helper()
	var all cached.Stats
	for _, n := range z.nodes {
		s := n.Stats()
		all.Hits += s.Hits
		all.Joined += s.Joined
		all.Misses += s.Misses
		all.Invalidations += s.Invalidations
		all.DroppedFills += s.DroppedFills
	}
	reads, stale := z.reads.Load(), z.stale.Load()
	require.EqualValues(t, reads, all.Hits+all.Joined+all.Misses)
	saved := reads + z.fresh.Load()
	for _, b := range z.backs {
		saved -= b.loads.Load()
	}
	require.EqualValues(t, all.Hits+all.Joined, saved)
	t.Logf("%v at TTL %v: %d reads, %d writes, %d ends, %d conflicts", z.took.Round(time.Millisecond), ttl,
		reads, z.writes.Load(), z.ends.Load(), z.conflicts.Load())
	t.Logf("hits: %.1f %% of reads; round trips saved: %d of %d, %.1f %%", 100*float64(all.Hits)/float64(reads), saved, reads, 100*float64(saved)/float64(reads))
	t.Logf("heard of %d changes, did not keep %d answers", all.Invalidations, all.DroppedFills)
	current := reads - stale
	t.Logf("age of what was read: median %v, 90 %% %v, 99 %% %v, 99.9 %% %v; at most %v, and surely %v; TTL: %v; %.2f %% were not current",
		z.upper.percentile(current, 0.5), z.upper.percentile(current, 0.9), z.upper.percentile(current, 0.99), z.upper.percentile(current, 0.999),
		z.upper.most.Round(10*time.Microsecond), z.ages.most.Round(10*time.Microsecond), ttl, 100*float64(stale)/float64(reads))
	require.Positive(t, all.Hits)
	require.Positive(t, z.writes.Load())
	require.Positive(t, z.ends.Load())
}

// zipfAges counts ages by the millisecond: there are many.
type zipfAges struct {
	counts []int64
	most   time.Duration
}

func (a *zipfAges) note(age time.Duration) {
	ms := int(age / time.Millisecond)
	if ms >= len(a.counts) {
		a.counts = append(a.counts, make([]int64, ms+1-len(a.counts))...)
	}
	a.counts[ms]++
	a.most = max(a.most, age)
}

func (a *zipfAges) add(more *zipfAges) {
	if n := len(more.counts) - len(a.counts); n > 0 {
		a.counts = append(a.counts, make([]int64, n)...)
	}
	for ms, n := range more.counts {
		a.counts[ms] += n
	}
	a.most = max(a.most, more.most)
}

// percentile returns what a part of the ages does not exceed, beside so many that are
// zero.
func (a *zipfAges) percentile(zero int64, part float64) time.Duration {
	all := zero
	for _, n := range a.counts {
		all += n
	}
	left := int64(part*float64(all)) - zero
	if left <= 0 {
		return 0
	}
	for ms, n := range a.counts {
		if left -= n; left <= 0 {
			return time.Duration(ms+1) * time.Millisecond
		}
	}
	return a.most
}
