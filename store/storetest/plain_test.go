package storetest_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/typedsession/session/store"
)

// plain is a store as simple as it can be: a map and a mutex. With a bug it is
// broken in one way; without, it shows that the laws do not ask for more than
// the contract says.
type plain struct {
	bug  bug
	mu   sync.Mutex
	rows map[string]*row
	ears []*plainWatch
}

type row struct {
	store.Record
	key   store.Key
	ends  int64  // when it really ends, in milliseconds
	index string // the owner under which it is found
	past  []int64
}

func newPlain(b bug) *plain { return &plain{bug: b, rows: make(map[string]*row)} }

func (p *plain) is(b bug) bool { return p.bug == b }

// gap lets others in between two steps of one operation.
func (p *plain) gap(b bug) {
	if p.is(b) {
		p.mu.Unlock()
		if rand.IntN(2) == 0 {
			runtime.Gosched()
		} else {
			<-time.After(200 * time.Microsecond)
		}
		p.mu.Lock()
	}
}

func (p *plain) begin(ctx context.Context) error {
	switch err := ctx.Err(); {
	case err == nil || p.is(contextIgnored):
		return nil
	case p.is(contextMeansAbsent):
		return store.ErrNotFound
	default:
		return err
	}
}

// name is how the key is stored.
func (p *plain) name(key store.Key) string {
	switch p.bug {
	case keyFolded:
		return string(bytes.ToLower(key[:]))
	case keyCut:
		return string(key[:31])
	case keyTrimmed:
		return string(bytes.TrimRight(key[:], "\x00 "))
	case keyCutAtNUL:
		before, _, _ := bytes.Cut(key[:], []byte{0})
		return string(before)
	case keyText:
		return strings.ToValidUTF8(string(key[:]), "?")
	}
	return string(key[:])
}

// live returns the row of key if it has not ended. The lock is held.
func (p *plain) live(key store.Key, ignore ...bug) *row {
	r := p.rows[p.name(key)]
	if r == nil || !p.isLive(r) && !slices.Contains(ignore, p.bug) {
		if r != nil && p.is(lazyPurge) {
			delete(p.rows, p.name(key))
		}
		return nil
	}
	return r
}

func (p *plain) isLive(r *row) bool {
	now := time.Now().UnixMilli()
	switch p.bug {
	case clockAhead:
		now += 700
	case clockBehind:
		now -= 700
	case endsEarly:
		return r.ends > now+5000
	case endsRounded:
		return r.ends/1000 > now/1000
	}
	return r.ends > now
}

// kept is r as it is stored, which is where stores lose what they cannot hold.
func (p *plain) kept(r store.Record) store.Record {
	switch p.bug {
	case dataCutAtNUL:
		r.Data, _, _ = bytes.Cut(r.Data, []byte{0})
	case dataCutAt64K:
		r.Data = r.Data[:min(len(r.Data), 1<<16-1)]
	case dataTrimmed:
		r.Data = bytes.TrimSpace(r.Data)
	case versionCut:
		r.Version = int64(uint32(r.Version))
	case versionFloat:
		r.Version = int64(float64(r.Version>>1)) << 1
	case expirySeconds:
		r.Expires = r.Expires.Truncate(time.Second)
	case ownerCut:
		r.Owner = r.Owner[:min(len(r.Owner), 255)]
	case ownerTrimmed:
		r.Owner = strings.TrimSpace(r.Owner)
	case dataScribbled:
		if len(r.Data) > 0 {
			r.Data[0] ^= 1
		}
	}
	return r
}

func (p *plain) Load(ctx context.Context, key store.Key) (store.Record, error) {
	if err := p.begin(ctx); err != nil {
		return store.Record{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.live(key, loadIgnoresExpiry)
	if r == nil {
		if p.is(loadInvents) {
			return store.Record{}, nil
		}
		return store.Record{}, store.ErrNotFound
	}
	got := r.Record
	if p.is(loadTorn) {
		p.gap(loadTorn)
		if r := p.live(key); r != nil {
			got.Data = r.Data
		}
	}
	return got, nil
}

func (p *plain) Insert(ctx context.Context, key store.Key, r store.Record) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	old := p.rows[p.name(key)]
	if old != nil && !p.is(insertReplaces) {
		switch {
		case p.isLive(old), p.is(insertOverExpiredExists):
			return store.ErrExists
		case p.is(insertRevives):
			old.Expires, old.ends = r.Expires, r.Expires.UnixMilli()
			return store.ErrExists
		}
	}
	p.gap(insertGetThenSet)
	r = p.kept(r)
	p.rows[p.name(key)] = &row{Record: r, key: key, ends: r.Expires.UnixMilli(), index: r.Owner}
	return nil
}

func (p *plain) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	if err := p.begin(ctx); err != nil {
		return store.Record{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cur := p.live(key, swapIgnoresExpiry)
	if cur == nil {
		if p.is(swapUpserts) {
			p.rows[p.name(key)] = &row{Record: r, key: key, ends: r.Expires.UnixMilli(), index: r.Owner}
			return store.Record{}, nil
		}
		return store.Record{}, store.ErrNotFound
	}
	if p.is(swapRemembers) && slices.Contains(cur.past, r.Version) {
		return store.Record{}, nil
	}
	if cur.Version == r.Version && !p.is(repeatWrites) && !p.is(repeatConflicts) {
		return store.Record{}, nil
	}
	if !p.matches(cur.Version, old, r.Version) {
		found := cur.Record
		switch p.bug {
		case conflictWritesExpiry:
			cur.Expires = r.Expires
		case conflictLies:
			found.Data = r.Data
		case conflictZero:
			found = store.Record{}
		}
		return found, store.ErrConflict
	}
	p.gap(swapGetThenSet)
	p.tellTooSoon(key, r.Version)
	if p.is(swapReindexes) {
		cur.index = ""
		p.gap(swapReindexes)
	}
	p.replace(key, cur, r)
	p.tellOfSwap(key, cur.Version, r.Version)
	return store.Record{}, nil
}

func (p *plain) matches(stored, old, next int64) bool {
	switch p.bug {
	case swapIgnoresVersion:
		return true
	case repeatWrites:
		return stored == old || stored == next
	case versionsOrdered:
		return stored == old && next > stored
	case versionsNear:
		return float64(stored) == float64(old)
	}
	return stored == old
}

func (p *plain) replace(key store.Key, cur *row, r store.Record) {
	next := &row{Record: p.kept(r), key: key, index: r.Owner, past: append(cur.past, cur.Version)}
	switch p.bug {
	case versionCounts:
		next.Version = cur.Version + 1
	case swapKeepsOwner:
		next.Owner = cur.Owner
	case swapKeepsExpiry:
		next.Expires = cur.Expires
	case swapOnlyLengthens:
		if cur.Expires.After(next.Expires) {
			next.Expires = cur.Expires
		}
	case swapForgetsIndex:
		next.index = cur.index
	case bufferReused:
		next.Data = append(cur.Data[:0], r.Data...)
	}
	next.ends = next.Expires.UnixMilli()
	if p.is(swapKeepsTimer) {
		next.ends = cur.ends
	}
	p.rows[p.name(key)] = next
}

func (p *plain) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cur := p.live(key, touchRevives)
	if cur == nil {
		if p.is(touchUpserts) {
			p.rows[p.name(key)] = &row{Record: store.Record{Version: old, Expires: exp}, key: key, ends: exp.UnixMilli()}
		}
		if p.is(touchFails) {
			return store.ErrNotFound
		}
		return nil
	}
	if p.is(touchNothing) || cur.Version != old && !p.is(touchAnyVersion) || !exp.After(cur.Expires) && !p.is(touchShortens) {
		return nil
	}
	next := *cur
	next.Expires, next.ends = exp, exp.UnixMilli()
	switch p.bug {
	case touchKeepsTimer:
		next.ends = cur.ends
	case touchNewVersion:
		next.Version++
	case touchDropsData:
		next.Data = nil
	case touchDropsOwner:
		next.Owner, next.index = "", ""
	}
	p.gap(touchGetThenSet)
	p.rows[p.name(key)] = &next
	return nil
}

func (p *plain) Delete(ctx context.Context, key store.Key) error {
	if err := p.begin(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.is(deleteSwallowed) {
		return nil
	}
	if p.is(deleteAbsentFails) && p.live(key) == nil {
		return store.ErrNotFound
	}
	r := p.rows[p.name(key)]
	delete(p.rows, p.name(key))
	if r != nil {
		p.tellOfDelete(key, r.Version)
	}
	return nil
}
