package history_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/proofs/history"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// brokenStore is a store in memory, some methods of which are as they were in stores
// that have been published. The others are those of the store.
type brokenStore struct {
	*memory.Store

	mu   sync.Mutex
	past map[store.Key][]store.Record // all that has been stored

	load   func(b *brokenStore, ctx context.Context, key store.Key) (store.Record, error)
	insert func(b *brokenStore, ctx context.Context, key store.Key, r store.Record) error
	swap   func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error)
	touch  func(b *brokenStore, ctx context.Context, key store.Key, old int64, exp time.Time) error
	delete func(b *brokenStore, ctx context.Context, key store.Key) error
}

func (b *brokenStore) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if b.load != nil {
		return b.load(b, ctx, key)
	}
	return b.Store.Load(ctx, key)
}

func (b *brokenStore) Insert(ctx context.Context, key store.Key, r store.Record) error {
	b.keep(key, r)
	if b.insert != nil {
		return b.insert(b, ctx, key, r)
	}
	return b.Store.Insert(ctx, key, r)
}

func (b *brokenStore) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	swap := (*memory.Store).Swap
	if b.swap != nil {
		swap = func(_ *memory.Store, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
			return b.swap(b, ctx, key, old, r)
		}
	}
	cur, err := swap(b.Store, ctx, key, old, r)
	if err == nil {
		b.keep(key, r)
	}
	return cur, err
}

func (b *brokenStore) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	if b.touch != nil {
		return b.touch(b, ctx, key, old, exp)
	}
	return b.Store.Touch(ctx, key, old, exp)
}

func (b *brokenStore) Delete(ctx context.Context, key store.Key) error {
	if b.delete != nil {
		return b.delete(b, ctx, key)
	}
	return b.Store.Delete(ctx, key)
}

func (b *brokenStore) keep(key store.Key, r store.Record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.past == nil {
		b.past = map[store.Key][]store.Record{}
	}
	b.past[key] = append(b.past[key], r)
}

// kept returns the record that had a version.
func (b *brokenStore) kept(key store.Key, version int64) (store.Record, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.past[key] {
		if r.Version == version {
			return r, true
		}
	}
	return store.Record{}, false
}

// overwrite replaces whatever is there.
func (b *brokenStore) overwrite(ctx context.Context, key store.Key, r store.Record) error {
	for {
		cur, err := b.Store.Load(ctx, key)
		if err != nil {
			return err
		}
		if _, err := b.Store.Swap(ctx, key, cur.Version, r); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
}

// lastWriteWins replaces a record whatever its version.
func lastWriteWins() *brokenStore {
	return &brokenStore{Store: memory.New(), swap: func(b *brokenStore, ctx context.Context, key store.Key, _ int64, r store.Record) (store.Record, error) {
		return store.Record{}, b.overwrite(ctx, key, r)
	}}
}

func moment(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 100*time.Microsecond)
	defer cancel()
	<-ctx.Done()
}

var brokenStores = []struct {
	name   string
	faults bool
	store  func() *brokenStore
}{
	{"last write wins", false, lastWriteWins},
	{"the version is looked at, and then the record written", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
			cur, err := b.Store.Load(ctx, key)
			switch {
			case err != nil:
				return cur, err
			case cur.Version == r.Version:
				return store.Record{}, nil
			case cur.Version != old:
				return cur, store.ErrConflict
			}
			moment(ctx)
			return store.Record{}, b.overwrite(ctx, key, r)
		}}
	}},
	{"a swap is a delete and an insert", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
			cur, err := b.Store.Load(ctx, key)
			switch {
			case err != nil:
				return cur, err
			case cur.Version != old:
				return cur, store.ErrConflict
			}
			if err := b.Store.Delete(ctx, key); err != nil {
				return store.Record{}, err
			}
			moment(ctx)
			return store.Record{}, b.Store.Insert(ctx, key, r)
		}}
	}},
	{"a swap creates", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
			cur, err := b.Store.Swap(ctx, key, old, r)
			if errors.Is(err, store.ErrNotFound) {
				return cur, b.Store.Insert(ctx, key, r)
			}
			return cur, err
		}}
	}},
	{"a touch revives", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), touch: func(b *brokenStore, ctx context.Context, key store.Key, old int64, exp time.Time) error {
			if _, err := b.Store.Load(ctx, key); err == nil {
				return b.Store.Touch(ctx, key, old, exp)
			}
			r, _ := b.kept(key, old)
			r.Expires = exp
			return b.Store.Insert(ctx, key, r)
		}}
	}},
	{"a touch writes what had been loaded", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), touch: func(b *brokenStore, ctx context.Context, key store.Key, old int64, exp time.Time) error {
			r, ok := b.kept(key, old)
			if r.Expires = exp; ok {
				_ = b.overwrite(ctx, key, r)
			}
			return nil
		}}
	}},
	{"a delete is swallowed", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), delete: func(*brokenStore, context.Context, store.Key) error { return nil }}
	}},
	{"versions count", true, func() *brokenStore {
		return &brokenStore{
			Store: memory.New(),
			insert: func(b *brokenStore, ctx context.Context, key store.Key, r store.Record) error {
				r.Version = 1
				return b.Store.Insert(ctx, key, r)
			},
			swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
				if r.Version = old + 1; old > 1<<32 { // of a node that has just inserted it
					r.Version = 2
				}
				return b.Store.Swap(ctx, key, r.Version-1, r)
			},
		}
	}},
	{"a repeated swap is another one", true, func() *brokenStore {
		return &brokenStore{Store: memory.New(), swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
			if cur, err := b.Store.Load(ctx, key); err == nil && cur.Version == r.Version {
				cur.Version++ // it does not remember
				return cur, store.ErrConflict
			}
			return b.Store.Swap(ctx, key, old, r)
		}}
	}},
	{"a load may be old", false, func() *brokenStore {
		var calls int
		return &brokenStore{Store: memory.New(), load: func(b *brokenStore, ctx context.Context, key store.Key) (store.Record, error) {
			r, err := b.Store.Load(ctx, key)
			b.mu.Lock()
			defer b.mu.Unlock()
			if calls++; err == nil && calls%8 == 0 && len(b.past[key]) > 1 {
				r = b.past[key][len(b.past[key])-2]
			}
			return r, err
		}}
	}},
	{"nothing expires", false, func() *brokenStore {
		later := func(r store.Record) store.Record { r.Expires = r.Expires.Add(time.Hour); return r }
		return &brokenStore{
			Store: memory.New(),
			insert: func(b *brokenStore, ctx context.Context, key store.Key, r store.Record) error {
				return b.Store.Insert(ctx, key, later(r))
			},
			swap: func(b *brokenStore, ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
				return b.Store.Swap(ctx, key, old, later(r))
			},
		}
	}},
	{"a touch does nothing", false, func() *brokenStore {
		return &brokenStore{Store: memory.New(), touch: func(*brokenStore, context.Context, store.Key, int64, time.Time) error { return nil }}
	}},
}

// A store that is broken is found out, last-write-wins in each single history.
func TestBrokenStoresAreRejected(t *testing.T) {
	e := effort.Of(t)
	for i, broken := range brokenStores {
		t.Run(broken.name, func(t *testing.T) {
			t.Parallel()
			const most = 200
			tries := 0
			for ; tries < most; tries++ {
				h := inBubble(t, e.Rand(uint64(1000*i+tries)).Uint64(), broken.faults, nil, broken.store())
				if h.Check().Result == history.Rejected {
					break
				}
			}
			require.Less(t, tries, most, "nobody has noticed")
			t.Logf("rejected after %d others", tries)
		})
	}
	t.Run("last write wins, always", func(t *testing.T) {
		t.Parallel()
		for i := range e.Count(25, 500) {
			seed := e.Rand(uint64(1_000_000 + i)).Uint64()
			v := inBubble(t, seed, i%2 == 0, nil, lastWriteWins()).Check()
			require.Equal(t, history.Rejected, v.Result, "history %d\n%s", seed, v.Text)
		}
	})
}

// What is rejected can be read, and drawn.
func TestRejectedIsPrinted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(history.DirVariable, dir)
	const seed = 42
	v := inBubble(t, seed, false, nil, lastWriteWins()).Check()
	require.Equal(t, history.Rejected, v.Result)
	require.Contains(t, v.Text, "history 42 on memory (2 nodes, faults: false; ")
	require.Regexp(t, `(?m)^ +\d+ +\d+-\d+ +\S+ \d/\d load +with 0: done, owner "", sees x \d`, v.Text)
	require.Contains(t, v.Text, "none of these can come next: ")
	drawing, err := os.ReadFile(filepath.Join(dir, "history-42.html"))
	require.NoError(t, err)
	require.Contains(t, string(drawing), "load")
}
