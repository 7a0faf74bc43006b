package storetest_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/typedsession/session/store"
)

func (p *plain) owns(owner string, r *row) bool {
	switch p.bug {
	case ownersFolded:
		return strings.EqualFold(owner, r.index)
	case ownersPadded:
		return strings.TrimRight(owner, " ") == strings.TrimRight(r.index, " ")
	case ownersPrefix:
		return strings.HasPrefix(r.index, owner)
	case ownerEmpty:
		return r.index == owner
	}
	return owner != "" && r.index == owner
}

func (p *plain) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	if err := p.begin(ctx); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []store.Entry
	for _, r := range p.rows {
		from := bytes.Compare(r.key[:], after[:])
		if p.owns(owner, r) && (from > 0 || from == 0 && p.is(listFromAfter)) &&
			(p.isLive(r) || p.is(listExpired) || p.is(listEndsEarly)) {
			list = append(list, store.Entry{Key: r.key, Record: r.Record})
		}
	}
	slices.SortFunc(list, func(a, b store.Entry) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	if p.is(listUnordered) {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	if !p.is(listUnlimited) {
		list = list[:min(limit, len(list))]
	}
	switch p.bug {
	case listEndsEarly: // the expired were dropped after the page was cut
		list = slices.DeleteFunc(list, func(e store.Entry) bool { return !p.isLive(p.rows[p.name(e.Key)]) })
	case listBare:
		for i := range list {
			list[i].Record.Data = nil
		}
	}
	return list, nil
}

func (p *plain) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	if err := p.begin(ctx); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var owned []store.Key
	for _, r := range p.rows {
		if p.owns(owner, r) && (!slices.Contains(except, r.key) || p.is(deleteOwnerAll)) {
			owned = append(owned, r.key)
		}
	}
	var n int64
	for _, key := range owned {
		p.gap(deleteOwnerBlind)
		r := p.rows[p.name(key)]
		if r == nil {
			continue
		}
		if p.isLive(r) || p.is(deleteOwnerCountsExpired) {
			n++
		}
		delete(p.rows, p.name(key))
		if !p.is(watchDeafToOwners) {
			p.tell(store.Change{Key: key})
		}
	}
	if p.is(deleteOwnerMiscounts) {
		n = 0
	}
	return n, nil
}

func (p *plain) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	if err := p.begin(ctx); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var n int64
	for name, r := range p.rows {
		if n >= int64(limit) && !p.is(sweepUnlimited) {
			break
		}
		if p.isLive(r) && !p.is(sweepRemovesLive) {
			continue
		}
		n++
		if !p.is(sweepOnlyCounts) {
			delete(p.rows, name)
		}
		if p.is(sweepStopsEarly) {
			break
		}
	}
	switch p.bug {
	case sweepMiscounts:
		return 0, nil
	case sweepOnlyCounts:
		return min(n, int64(limit)-1), nil
	}
	return n, nil
}

// cache is a near cache in front of a plain store. It may answer Load with what
// it has seen last, for ever.
type cache struct {
	*plain
	seen map[store.Key]store.Record
}

func newCache(b bug) *cache { return &cache{newPlain(b), make(map[store.Key]store.Record)} }

func (c *cache) Load(ctx context.Context, key store.Key) (store.Record, error) {
	c.mu.Lock()
	r, ok := c.seen[key]
	r2 := c.rows[c.name(key)]
	expired := r2 != nil && !c.isLive(r2)
	c.mu.Unlock()
	if ok && !expired && ctx.Err() == nil {
		if c.is(cacheInvents) {
			r.Version++
		}
		return r, nil
	}
	return c.fill(ctx, key)
}

func (c *cache) fill(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := c.plain.Load(ctx, key)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		c.seen[key] = r
	} else {
		delete(c.seen, key)
	}
	return r, err
}

// freshCache is a cache that says so.
type freshCache struct{ *cache }

func (c freshCache) LoadFresh(ctx context.Context, key store.Key) (store.Record, error) {
	switch c.bug {
	case freshIsCached:
		return c.Load(ctx, key)
	case freshDoesNotFill:
		return c.plain.Load(ctx, key)
	}
	return c.fill(ctx, key)
}
