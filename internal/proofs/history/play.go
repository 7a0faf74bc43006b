package history

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// together is what clients do at one moment, one after the other.
var together = [][]kind{
	{update},
	{replace},
	{take},
	{getOrSet},
	{claim},
	{set},
	{pair},
	{rotate},
	{rotate, set},
	{rotate, update},
	{elevate},
	{elevate, set, update},
	{login},
	{login, set, take},
	{clearAll, set, update},
	everything,
}

// everything is what a client can do in a session that goes on.
var everything = []kind{update, set, replace, take, getOrSet, load, rotate, clearAll, elevate, login, remove, claim, pair}

// play has everybody act: at the same moment, at random, at the same moment again,
// and around the end of the session.
func (r *run) play(ctx context.Context, rnd *rand.Rand) {
	first := []kind{update, pair, claim, replace}
	r.burst(ctx, []kind{first[rnd.IntN(len(first))]}, 0)
	r.lose(1) // not in the first burst, which is sure to tell something
	r.free(ctx)
	second := together[rnd.IntN(len(together))]
	if second[0] == rotate && r.profile.grace < time.Hour {
		_ = pause(ctx, r.profile.grace+r.Unit) // or nothing would rotate
	}
	r.burst(ctx, second, r.Unit)
	switch r.profile.ending {
	case touch:
		r.read(ctx)
		r.burst(ctx, everything, min(r.profile.idle, r.profile.lifetime)*5/4)
		_ = pause(ctx, min(r.profile.idle, r.profile.lifetime)+2*r.Margin)
	default:
		r.lose(3)
		r.burst(ctx, []kind{r.profile.ending, update, load, set, load, take, rotate, elevate}, 5*r.Unit)
	}
	r.last(ctx)
}

// lose makes so many times the usual number of calls fail, if any are to fail.
func (r *run) lose(times int32) {
	if !r.Faults {
		return
	}
	for _, l := range r.links {
		l.faults.Store(times)
	}
	if r.Disturb != nil {
		r.Disturb(times > 0)
	}
}

// burst has every client load the session before any of them acts. The first client
// does the first of the kinds, and so on. Each waits for as long as spread before.
func (r *run) burst(ctx context.Context, kinds []kind, spread time.Duration) {
	var loaded, acted sync.WaitGroup
	loaded.Add(len(r.clients))
	for i, c := range r.clients {
		k := kinds[i%len(kinds)]
		turn := time.Duration(i) * time.Microsecond
		wait := turn + time.Duration(c.rnd.Int64N(int64(spread)+1))
		acted.Go(func() {
			_ = pause(ctx, turn)
			gate := func() {
				loaded.Done()
				loaded.Wait()
				_ = pause(ctx, wait)
			}
			if k == load { // a look at what the others do
				gate()
				gate = func() {}
			}
			c.request(ctx, k, 0, gate)
		})
	}
	acted.Wait()
}

// free lets everybody do what they like.
func (r *run) free(ctx context.Context) {
	var all sync.WaitGroup
	// A request is two operations. Two bursts follow, and what looks at the end.
	most := maxOps - 2*3*len(r.clients) - 15
	for _, c := range r.clients {
		all.Go(func() {
			for r.count() < most && c.lost < 2 {
				_ = pause(ctx, time.Duration(c.rnd.Int64N(int64(3*r.Unit))))
				c.request(ctx, c.choose(), c.rnd.IntN(keyCount), func() {
					_ = pause(ctx, time.Duration(c.rnd.Int64N(int64(2*r.Unit))))
				})
			}
		})
	}
	all.Wait()
}

// read keeps the session alive for longer than it would live unused.
func (r *run) read(ctx context.Context) {
	r.clients[0].stubborn = false
	for range 4 {
		_ = pause(ctx, r.profile.idle*2/5)
		r.clients[0].request(ctx, load, 0, func() {})
	}
}

// last looks at the session from every node, with the newest credential and with
// one that a client has kept.
func (r *run) last(ctx context.Context) {
	r.lose(0)
	for _, l := range r.links {
		l.late.Wait()
	}
	for _, c := range r.clients[:len(r.links)] {
		for _, stubborn := range []bool{false, true} {
			c.stubborn = stubborn
			c.request(ctx, load, 0, func() {})
		}
	}
}
