package integration_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/proofs/history"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// historyPlace is where the histories of a test are made: three nodes, and where
// there is an address, the same through a wire.
type historyPlace struct {
	backend
	direct, wired []store.Store
	wire          *wire
	lost          atomic.Int64 // answers, by the wire
	cache         func(store.Store) store.Store
}

func newHistoryPlace(t *testing.T, b backend) *historyPlace {
	t.Helper()
	p := &historyPlace{backend: b}
	place := b.site(t)
	for range 3 {
		p.direct = append(p.direct, place.node(t))
	}
	if place.addr != "" {
		p.wire = newWire(t, place.addr)
		for range 3 {
			p.wired = append(p.wired, place.at(t, p.wire.Addr().String()))
		}
	}
	return p
}

// count is how many histories there are, without faults and with them.
func (p *historyPlace) count(e effort.Effort) (plain, faulty int) {
	if p.name == "MongoDB" { // its stand-in is slow
		return e.Count(2, 200), e.Count(1, 100)
	}
	return e.Count(6, 2000), e.Count(5, 1000)
}

// options are those of one history. Every other one with faults goes through the
// wire, which loses the answers of the server, too.
func (p *historyPlace) options(e effort.Effort, i int, faults bool) history.Options {
	part := uint64(2 * i)
	if faults {
		part++
	}
	rnd := e.Rand(part)
	o := history.Options{
		Seed: rnd.Uint64(), Where: p.name, Faults: faults, Cache: p.cache,
		Stores: p.direct[:2+rnd.IntN(2)],
		Unit:   2 * time.Millisecond, Margin: 200 * time.Millisecond,
	}
	if p.name == "MongoDB" {
		o.Unit = 10 * time.Millisecond
	}
	if faults && i%2 == 0 && p.wire != nil {
		o.Where += ", through a wire"
		o.Stores = p.wired[:len(o.Stores)]
		o.Disturb = func(on bool) {
			lose := func() bool {
				if !on || rand.N(60) > 0 {
					return false
				}
				p.lost.Add(1)
				return true
			}
			p.wire.lose.Store(&lose)
		}
	}
	return o
}

// What clients of one session are told could have happened one after the other, on
// each kind of store, whatever they do at once and whatever gets lost.
func TestHistories(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) { histories(t, newHistoryPlace(t, b)) })
}

// The same with a near cache in each node, in which half of the requests may read what
// is old.
func TestHistoriesBehindACache(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		p := newHistoryPlace(t, b)
		p.cache = func(st store.Store) store.Store { return cached.New(st, cached.WithTTL(20*time.Millisecond)) }
		histories(t, p)
	})
}

func histories(t *testing.T, p *historyPlace) {
	t.Helper()
	e := effort.Of(t)
	plain, faulty := p.count(e)
	var tally history.Tally
	defer func() { t.Logf("%v; the wire lost %d answers", &tally, p.lost.Load()) }()
	judge := func(i int, faults bool) {
		h, err := history.Run(t.Context(), p.options(e, i, faults))
		require.NoError(t, err)
		if v := h.Check(); tally.Add(h, v) {
			t.Fatal(v.Text)
		}
	}
	for i := 0; i < max(plain, faulty) && !e.Over(); i++ {
		if i < plain {
			judge(i, false)
		}
		if i < faulty {
			judge(i, true)
		}
	}
	require.LessOrEqual(t, 4*tally.Thrown, tally.Histories+4, "many histories say too little")
}

// lastWriteWins makes a store replace whatever there is.
type lastWriteWins struct{ store.Store }

func (s lastWriteWins) Swap(ctx context.Context, key store.Key, _ int64, r store.Record) (store.Record, error) {
	for {
		cur, err := s.Load(ctx, key)
		if err != nil {
			return cur, err
		}
		if _, err = s.Store.Swap(ctx, key, cur.Version, r); !errors.Is(err, store.ErrConflict) {
			return store.Record{}, err
		}
	}
}

// The same histories find out that a store overwrites what others have written, each
// of them.
func TestHistoriesRejectLastWriteWins(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		e := effort.Of(t)
		p := newHistoryPlace(t, b)
		for i, st := range p.direct {
			p.direct[i] = lastWriteWins{st}
		}
		for i := range e.Count(1, 20) {
			o := p.options(e, i, false)
			o.Endless = true
			h, err := history.Run(t.Context(), o)
			require.NoError(t, err)
			v := h.Check()
			require.Equal(t, history.Rejected, v.Result, "history %d", o.Seed)
		}
	})
}
