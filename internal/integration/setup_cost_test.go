package integration_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// counted is a store whose calls are counted.
type counted struct {
	ownerStore
	calls atomic.Int64
}

func (c *counted) Load(ctx context.Context, k store.Key) (store.Record, error) {
	c.calls.Add(1)
	return c.ownerStore.Load(ctx, k)
}

func (c *counted) Insert(ctx context.Context, k store.Key, r store.Record) error {
	c.calls.Add(1)
	return c.ownerStore.Insert(ctx, k, r)
}

func (c *counted) Swap(ctx context.Context, k store.Key, old int64, r store.Record) (store.Record, error) {
	c.calls.Add(1)
	return c.ownerStore.Swap(ctx, k, old, r)
}

func (c *counted) Touch(ctx context.Context, k store.Key, old int64, exp time.Time) error {
	c.calls.Add(1)
	return c.ownerStore.Touch(ctx, k, old, exp)
}

func (c *counted) Delete(ctx context.Context, k store.Key) error {
	c.calls.Add(1)
	return c.ownerStore.Delete(ctx, k)
}

func (c *counted) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	c.calls.Add(1)
	return c.ownerStore.ListOwner(ctx, owner, after, limit)
}

func (c *counted) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	c.calls.Add(1)
	return c.ownerStore.DeleteOwner(ctx, owner, except...)
}

// cost is what a request takes: calls of the store, and what those take.
type cost struct{ calls, trips int }

// meter measures requests of one visitor.
type meter struct {
	t     *testing.T
	place costPlace
	s     *counted
	trips func() int
	m     *session.Manager
}

func newMeter(t *testing.T, place costPlace, idle time.Duration) *meter {
	t.Helper()
	x := &meter{t: t, place: place, s: &counted{}}
	x.s.ownerStore, x.trips = place.node(t)
	var err error
	x.m, err = session.NewManager(session.Config{Store: x.s, Expiry: session.OnInactivity(idle)})
	require.NoError(t, err)
	return x
}

// of returns what one request takes.
func (x *meter) of(credential string, f func(ctx context.Context) error) cost {
	x.t.Helper()
	calls, trips := x.s.calls.Load(), x.trips()
	x.request(credential, f)
	return cost{int(x.s.calls.Load() - calls), x.trips() - trips}
}

func (x *meter) request(credential string, f func(ctx context.Context) error) string {
	x.t.Helper()
	next, err := visit(x.t.Context(), x.m, credential, f)
	require.NoError(x.t, err)
	return next
}

// begun returns the credential of a new session.
func (x *meter) begun() string {
	x.t.Helper()
	return x.request("", func(ctx context.Context) error { return counter.Set(ctx, 7) })
}

// requests are the rows of docs/stores.md on what a request takes.
var requests = map[string]func(x *meter) cost{
	"does not use its session": func(x *meter) cost {
		return x.of(x.begun(), func(context.Context) error { return nil })
	},
	"reads": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error { _, err := counter.Get(ctx); return err })
	},
	"reads, the first for a minute": func(x *meter) (c cost) {
		short := newMeter(x.t, x.place, 5*time.Second) // then it is not a minute
		credential := short.begun()
		eventually(x.t, func() bool {
			c = short.of(credential, func(ctx context.Context) error { _, err := counter.Get(ctx); return err })
			return c.calls > 1
		})
		return c
	},
	"writes": func(x *meter) cost { return x.of(x.begun(), addOne) },
	"sets what is stored already": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error { return counter.Set(ctx, 7) })
	},
	"writes, for a new visitor": func(x *meter) cost { return x.of("", addOne) },
	"writes, and another one was faster": func(x *meter) cost {
		credential := x.begun()
		other := newMeter(x.t, x.place, time.Hour)
		return x.of(credential, func(ctx context.Context) error {
			defer other.request(credential, addOne)
			return addOne(ctx)
		})
	},
	"`Take`": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error { _, _, err := counter.Take(ctx); return err })
	},
	"`GetOrSet`": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error {
			_, err := session.Key[string]("color").GetOrSet(ctx, func() (string, error) { return "red", nil })
			return err
		})
	},
	"`Save`": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error {
			return errors.Join(addOne(ctx), session.FromContext(ctx).Save(ctx))
		})
	},
	"`Elevate`": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error { return session.FromContext(ctx).Elevate(ctx) })
	},
	"`Login`":                    func(x *meter) cost { return x.of(x.begun(), login) },
	"`Login`, for a new visitor": func(x *meter) cost { return x.of("", login) },
	"`Destroy`": func(x *meter) cost {
		return x.of(x.begun(), func(ctx context.Context) error { return session.FromContext(ctx).Destroy(ctx) })
	},
	"`Manager.Revoke`": func(x *meter) cost {
		id := ""
		x.request(x.begun(), func(ctx context.Context) error {
			info, err := session.FromContext(ctx).Info(ctx)
			id = info.ID
			return err
		})
		return x.of("", func(ctx context.Context) error { return x.m.Revoke(ctx, id) })
	},
	"`Manager.Sessions`, of up to 99": func(x *meter) cost {
		x.request("", login)
		return x.of("", func(ctx context.Context) error {
			for _, err := range x.m.Sessions(ctx, "ada") {
				if err != nil {
					return err
				}
			}
			return nil
		})
	},
	"`Manager.RevokeOwner`, of up to 99": func(x *meter) (c cost) {
		for marks := -1; marks != tripMarks(time.Now()); { // not across the hour
			marks = tripMarks(time.Now())
			x.request("", login)
			c = x.of("", func(ctx context.Context) error { return x.m.RevokeOwner(ctx, "ada") })
			c.calls, c.trips = c.calls-marks, c.trips-marks
		}
		return c
	},
}

func login(ctx context.Context) error { return session.FromContext(ctx).Login(ctx, "ada") }

func TestStoresDocRequests(t *testing.T) {
	t.Parallel()
	doc := storesDoc(t)
	rows, head := doc.table(t, "requests"), doc.head(t, "requests")
	onCostPlaces(t, func(t *testing.T, open func(t *testing.T) costPlace) {
		tried := 0
		for _, row := range rows {
			for name := range strings.SplitSeq(row[0], "; ") {
				require.Contains(t, requests, name)
				place := open(t)
				column := slices.Index(head, place.column)
				require.Positive(t, column)
				got := requests[name](newMeter(t, place, time.Hour))
				require.Equal(t, []string{row[1], row[column]}, []string{strconv.Itoa(got.calls), strconv.Itoa(got.trips)}, name)
				tried++
			}
		}
		require.Len(t, requests, tried)
	})
}
