package memory

import (
	"bytes"
	"context"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/typedsession/session/store"
)

// ListOwner implements [store.OwnerIndex]. The empty owner owns nothing, and a
// limit that is not positive lists nothing.
func (s *Store) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	var list []store.Entry
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		want := limit - len(list)
		if want <= 0 {
			return list, nil
		}
		keys := s.owners.keys(owner, after, want)
		for i := range keys {
			if r, ok := s.loadOwned(&keys[i], owner); ok {
				list = append(list, store.Entry{Key: keys[i], Record: r})
			}
		}
		if len(keys) < want {
			return list, nil
		}
		// Some of them may have expired: only the index can say that it ends.
		after = keys[len(keys)-1]
	}
}

// DeleteOwner implements [store.OwnerIndex]. The empty owner owns nothing.
// Expired records are not counted.
func (s *Store) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	kept := make(map[store.Key]struct{}, len(except))
	for _, key := range except {
		kept[key] = struct{}{}
	}
	var deleted int64
	for _, key := range s.owners.all(owner) {
		if _, ok := kept[key]; ok {
			continue
		}
		if err := ctx.Err(); err != nil {
			return deleted, err
		}
		if s.deleteOwned(&key, owner) {
			deleted++
		}
	}
	return deleted, nil
}

func (s *Store) loadOwned(key *store.Key, owner string) (store.Record, bool) {
	sh := s.shard(key)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	e := sh.live(key, nowMilli())
	if e == nil || e.owner != owner {
		return store.Record{}, false
	}
	return e.record(), true
}

func (s *Store) deleteOwned(key *store.Key, owner string) bool {
	sh := s.shard(key)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	e := sh.live(key, nowMilli())
	if e == nil || e.owner != owner {
		return false
	}
	s.remove(sh, e)
	s.watchers.tell(key, 0)
	return true
}

// ownerIndex finds the entries of an owner. They are chained through their next
// and prev, so that owning costs no allocation but the owner's slot. What it
// answers is a hint: whoever acts on a key looks again under the lock of its
// record. Entries without an owner are not in it.
type ownerIndex [shardCount]ownerShard

type ownerShard struct {
	mu    sync.RWMutex
	first map[string]*entry
	_     [32]byte // fills a cache line
}

// ownerSeed makes the choice of a shard unpredictable: owners may be names that
// visitors choose.
var ownerSeed = maphash.MakeSeed()

func (x *ownerIndex) shard(owner string) *ownerShard {
	return &x[maphash.String(ownerSeed, owner)%shardCount]
}

// add puts e under its owner. The lock of e's record shard is held.
func (x *ownerIndex) add(e *entry) {
	if e.owner == "" {
		return
	}
	sh := x.shard(e.owner)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.first == nil {
		sh.first = make(map[string]*entry)
	}
	if e.next = sh.first[e.owner]; e.next != nil {
		e.next.prev = e
	}
	sh.first[e.owner] = e
}

// remove takes e from under its owner. The lock of e's record shard is held.
func (x *ownerIndex) remove(e *entry) {
	if e.owner == "" {
		return
	}
	sh := x.shard(e.owner)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if e.next != nil {
		e.next.prev = e.prev
	}
	switch {
	case e.prev != nil:
		e.prev.next = e.next
	case e.next != nil:
		sh.first[e.owner] = e.next
	default:
		delete(sh.first, e.owner)
	}
	e.next, e.prev = nil, nil
}

// keys returns the limit smallest keys of owner that lie after the given one,
// in ascending order.
func (x *ownerIndex) keys(owner string, after store.Key, limit int) []store.Key {
	sh := x.shard(owner)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	var keys []store.Key
	for e := sh.first[owner]; e != nil; e = e.next {
		if bytes.Compare(e.key[:], after[:]) <= 0 {
			continue
		}
		keys = append(keys, e.key)
		if len(keys)/2 >= limit { // an owner of very many costs little more than the page
			keys = smallest(keys, limit)
		}
	}
	return smallest(keys, limit)
}

func smallest(keys []store.Key, limit int) []store.Key {
	slices.SortFunc(keys, func(a, b store.Key) int { return bytes.Compare(a[:], b[:]) })
	return keys[:min(len(keys), limit)]
}

// all returns every key of owner, in no order.
func (x *ownerIndex) all(owner string) []store.Key {
	sh := x.shard(owner)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	var keys []store.Key
	for e := sh.first[owner]; e != nil; e = e.next {
		keys = append(keys, e.key)
	}
	return keys
}
