package integration_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
)

// replied says that a store knows what became of an operation.
func replied(err error) bool {
	return err == nil || slices.ContainsFunc([]error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrRefused},
		func(known error) bool { return errors.Is(err, known) })
}

// insist is for what a store does after it should have given up.
func insist(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), faultContext)
}

// brokenStores are stores as they have been published, and what is to be found
// wrong with each.
var brokenStores = []struct {
	name string
	hook func(inner store.Store) spy.Hook
	want []string // one of these
	ends bool     // it is about deletions
}{
	{"what is lost is a success", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Swap && !replied(c.Err) {
				c.Err = nil
			}
		}
	}, []string{"is lost", "reported"}, false},
	{"what is lost is repeated on whatever is there", func(inner store.Store) spy.Hook {
		return func(ctx context.Context, c *spy.Call) {
			c.Next()
			for n := 0; c.Op == spy.Swap && !replied(c.Err) && n < 20; n++ {
				again, cancel := insist(ctx)
				cur, err := inner.Load(again, c.Key)
				if err == nil {
					c.Record, c.Err = inner.Swap(again, c.Key, cur.Version, c.Arg)
				}
				cancel()
			}
		}
	}, []string{"is lost", "reported", "note"}, false},
	{"versions are counted", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			switch c.Op {
			case spy.Insert:
				c.Arg.Version = 1
			case spy.Swap:
				c.Arg.Version = c.Old + 1
			}
			c.Next()
		}
	}, []string{"applied twice"}, false},
	{"what is lost is refused", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Swap && !replied(c.Err) {
				c.Err = store.ErrRefused
			}
		}
	}, []string{"in secret", "note"}, false},
	{"a lost deletion is a success", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Delete && !replied(c.Err) {
				c.Err = nil
			}
		}
	}, []string{errBack.Error()}, true},
	{"a lost deletion is refused", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Delete && !replied(c.Err) {
				c.Err = store.ErrRefused
			}
		}
	}, []string{errLost.Error(), errRefusedLogout.Error()}, true},
	{"what is gone is written again", func(inner store.Store) spy.Hook {
		return func(ctx context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Swap && errors.Is(c.Err, store.ErrNotFound) {
				c.Err = inner.Insert(ctx, c.Key, c.Arg)
			}
		}
	}, []string{errBack.Error()}, false},
	{"a failure is an empty session", func(store.Store) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			c.Next()
			if c.Op == spy.Load && !replied(c.Err) {
				c.Record, c.Err = store.Record{}, store.ErrNotFound
			}
		}
	}, []string{errLost.Error()}, false},
}

// What TestFaults does rejects each of them.
func TestFaultsFindBrokenStores(t *testing.T) {
	t.Parallel()
	long(t)
	for _, c := range brokenStores {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := effort.Of(t)
			place, with := redisPlace, "max_retries=-1&read_timeout="+faultDriver.String()
			if c.ends { // a store that does not send a deletion twice
				place, with = postgresPlace, ""
			}
			srv := place.server(t)
			if srv.Addr() == "" {
				t.Skip("the address of the server is not known")
			}
			w := newWire(t, srv.Addr())
			spec := place.spec(t, srv).with(with).through(t, w)
			var nodes []*faultNode
			for range 2 {
				inner := spec.opened(t)
				st := spy.Wrap(inner)
				st.Hook(c.hook(inner))
				nodes = append(nodes, newFaultNode(t, st))
			}
			f := faults{odds: faultOdds, rnd: e.Rand(0)}
			load := startFaultLoad(t, e, nodes...)
			load.ending.Store(c.ends)
			f.disturb(w)
			found := func() bool {
				return slices.ContainsFunc(load.wrongs(), func(text string) bool {
					return slices.ContainsFunc(c.want, func(want string) bool { return strings.Contains(text, want) })
				})
			}
			require.Eventually(t, found, faultPatience, faultPace, "nothing of the kind was found: %v; %v", load, &f)
			load.stop()
			w.cut()
			t.Logf("%q; %v", load.wrongs(), load)
		})
	}
}
