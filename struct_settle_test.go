package session_test

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
)

// scOptional has only fields that may be left out.
type scOptional struct {
	X int    `json:"sc_x,omitempty"`
	Y string `json:"sc_y,omitempty"`
}

// scOrdered is valid as a whole or not.
type scOrdered struct {
	Lo int `json:"sc_lo" validate:"required"`
	Hi int `json:"sc_hi" validate:"gtefield=Lo"`
	Z  int `json:"sc_z"`
}

var (
	scMaybe = session.Struct[scOptional]()
	scX     = session.Key[int]("sc_x")
	scRange = session.Struct[scOrdered]()
	scLo    = session.Key[int]("sc_lo")
	scHi    = session.Key[int]("sc_hi")
	scZ     = session.Key[int]("sc_z")
)

func scTake[T any](q *rigRequest, k session.Typed[T]) (T, bool) {
	q.t.Helper()
	v, ok, err := k.Take(q.ctx)
	require.NoError(q.t, err)
	return v, ok
}

func scOrSet[T any](q *rigRequest, k session.Typed[T], v T) T {
	q.t.Helper()
	got, err := k.GetOrSet(q.ctx, func() (T, error) { return v, nil })
	require.NoError(q.t, err)
	return got
}

// Of many requests on several managers one takes the struct, all of it; and what
// others count meanwhile is in what is taken or in what stays.
func TestPromise1_TakeOfAStructIsExactlyOnce(t *testing.T) {
	t.Parallel()
	for range 10 {
		r := newRig(t)
		nodes := []*session.Manager{r.m, r.manager(), r.manager()}
		cookie := r.scStart(scTrio{A: 1000, B: 1000, C: "c"})
		var whole, counted, taken atomic.Int64
		var wg sync.WaitGroup
		for i := range 18 {
			wg.Go(func() {
				r.requestOn(nodes[i%3], cookie, func(q *rigRequest) {
					if i%2 == 1 {
						scUpdate(q, scAll, func(v *scTrio) { v.A++; v.B++ })
						counted.Add(1)
						return
					}
					v, ok := scTake(q, scAll)
					if ok != (v.A > 0) || v.A != v.B || (v.C == "c") != (v.A >= 1000) {
						t.Errorf("took %+v, %t", v, ok)
					}
					if v.A >= 1000 {
						whole.Add(1)
					}
					taken.Add(int64(v.A))
				})
			})
		}
		wg.Wait()
		left := scGet(r.open(cookie), scAll)
		require.Equal(t, left.A, left.B)
		require.Equal(t, int64(1), whole.Load())
		require.Equal(t, 1000+counted.Load(), taken.Load()+int64(left.A))
	}
}

// Goroutines of three requests count in a struct, and take it or a field of it: each
// count is taken once, or is left.
func TestPromise1_TakeBesideUpdatesOfOneRequest(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	nodes := []*session.Manager{r.m, r.manager()}
	cookie := r.scStart(scTrio{})
	var counted, taken atomic.Int64
	var requests sync.WaitGroup
	for i := range 3 {
		requests.Go(func() {
			r.requestOn(nodes[i%2], cookie, func(q *rigRequest) {
				var wg sync.WaitGroup
				for g := range 8 {
					wg.Go(func() {
						for range 10 {
							switch g % 4 {
							case 0, 1:
								scUpdate(q, scAll, func(v *scTrio) { v.A++ })
								counted.Add(1)
							case 2:
								n, _ := scTake(q, scA)
								taken.Add(int64(n))
							case 3:
								v, _ := scTake(q, scAll)
								taken.Add(int64(v.A))
							}
						}
					})
				}
				wg.Wait()
			})
		})
	}
	requests.Wait()
	require.Equal(t, counted.Load(), taken.Load()+int64(scGet(r.open(cookie), scA)))
}

// The first struct wins as a whole, also when one field of a racer's is omitted.
func TestPromise1_GetOrSetOfAStructIsNoMixture(t *testing.T) {
	t.Parallel()
	for range 20 {
		r := newRig(t)
		nodes := []*session.Manager{r.m, r.manager()}
		cookie := r.start(0)
		var got [12]scTrio
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				r.requestOn(nodes[i%2], cookie, func(q *rigRequest) {
					got[i] = scOrSet(q, scAll, scTrio{A: i + 1, B: -i - 1, C: strings.Repeat("x", i%2)})
					if seen := scGet(q, scAll); seen != got[i] {
						t.Errorf("sees %v after %v", seen, got[i])
					}
				})
			})
		}
		wg.Wait()
		for _, v := range got {
			require.Equal(t, got[0], v)
		}
		require.Equal(t, got[0].A, -got[0].B)
		require.Equal(t, len(got[0].C), (got[0].A+1)%2)
		require.Equal(t, got[0], scGet(r.open(cookie), scAll))
	}
}

// A struct is there as soon as one of its fields is.
func TestGetOrSetOfAStructFindsOneField(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(0)
	q := r.open(cookie)
	got, err := scAll.GetOrSet(q.ctx, func() (scTrio, error) {
		r.request(cookie, func(q *rigRequest) { scSet(q, scC, "theirs") })
		return scTrio{A: 1, B: 1, C: "mine"}, nil
	})
	require.NoError(t, err)
	require.Equal(t, scTrio{C: "theirs"}, got)
	require.Equal(t, got, scGet(q, scAll))
	scUpdate(q, scAll, func(v *scTrio) { v.C += "+" })
	q.end()
	require.Equal(t, map[string]string{"rig.count": "0", "sc_c": `"theirs+"`}, scStored(r, cookie))
}

// A Key or another Struct that a pending Update spans cannot go ahead of it:
// everything is committed, in the order of the calls, on fresh data.
func TestSettleBehindAStructUpdate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settle func(q *rigRequest)
		want   map[string]string
	}{
		"take of a key": {
			func(q *rigRequest) {
				n, ok := scTake(q, scB)
				require.Equal(t, 110, n, "10 times the 10 of the other request, and 10")
				require.True(t, ok)
			},
			map[string]string{"sc_a": "10"},
		},
		"take of another struct": {
			func(q *rigRequest) {
				v, ok := scTake(q, scTail)
				require.Equal(t, scDuo{B: 110}, v)
				require.True(t, ok)
			},
			map[string]string{"sc_a": "10"},
		},
		"take of the struct": {
			func(q *rigRequest) {
				v, ok := scTake(q, scAll)
				require.Equal(t, scTrio{A: 10, B: 110}, v)
				require.True(t, ok)
			},
			map[string]string{},
		},
		"get or set of an absent field": {
			func(q *rigRequest) { require.Equal(t, "first", scOrSet(q, scC, "first")) },
			map[string]string{"sc_a": "10", "sc_b": "110", "sc_c": `"first"`},
		},
		"get or set of a field that is there": {
			func(q *rigRequest) { scOrSet(q, scB, 1); require.NoError(t, q.s.Save(q.ctx)) },
			map[string]string{"sc_a": "10", "sc_b": "110"},
		},
	} {
		for _, discarded := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				cookie := r.scStart(scTrio{A: 1, B: 1})
				q := r.open(cookie)
				q.set(rigThird, 3)
				scUpdate(q, scAll, func(v *scTrio) { v.B = 10*v.A + 10 })
				r.request(cookie, func(q *rigRequest) { scSet(q, scA, 10) })
				c.settle(q)
				if _, kept := c.want["sc_a"]; kept {
					require.Equal(t, 10, scGet(q, scA), "what is shown is what has been committed")
				}
				q.set(rigOther, 1)
				want := map[string]string{"rig.third": "3", "rig.other": "1"}
				if discarded {
					_, err := q.m.Discard(q.ctx, q.s)
					require.NoError(t, err)
					delete(want, "rig.other")
				} else {
					q.end()
				}
				maps.Copy(want, c.want)
				require.Equal(t, want, scStored(r, cookie))
			})
		}
	}
}

// The login that waits in front of the Update is committed with it.
func TestSettleBehindALoginAndAStructUpdate(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2})
	q := r.open(cookie)
	q.login("ann")
	scUpdate(q, scAll, func(v *scTrio) { v.A++ })
	n, ok := scTake(q, scA)
	require.True(t, ok)
	require.Equal(t, 2, n)
	require.ErrorIs(t, scB.Set(r.open(cookie).ctx, 1), session.ErrSuperseded)
	scUpdate(q, scAll, func(v *scTrio) { v.B++ })
	cookie = q.end()
	require.Equal(t, map[string]string{"sc_b": "3"}, scStored(r, cookie))
	require.Equal(t, "ann", r.open(cookie).info().Owner)
}

// What an Update has made of a field is the request's own, until it is committed: then
// another one may have won.
func TestGetOrSetOfAnUncommittedField(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.start(0)
	q := r.open(cookie)
	scUpdate(q, scAll, func(v *scTrio) {
		if v.C == "" {
			v.C = "mine"
		}
	})
	r.store.Calls()
	require.Equal(t, "mine", scOrSet(q, scC, "x"))
	require.Empty(t, r.store.Calls(), "nothing was committed")
	r.request(cookie, func(q *rigRequest) { require.Equal(t, "theirs", scOrSet(q, scC, "theirs")) })
	q.save()
	require.Equal(t, "theirs", scOrSet(q, scC, "x"))
	q.end()
	require.Equal(t, "theirs", scGet(r.open(cookie), scC))
}

// When the commit that has to come first fails, nothing is taken and all is pending.
func TestSettleBehindAConflict(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 1})
	q := r.open(cookie)
	q.set(rigOther, 1)
	scGet(q, scB)
	scSet(q, scB, 2)
	scUpdate(q, scAll, func(v *scTrio) { v.A++ })
	r.request(cookie, func(q *rigRequest) { scSet(q, scB, 9) })
	conflict := new(session.ConflictError)
	_, _, err := scA.Take(q.ctx)
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, []string{"sc_b"}, conflict.Keys)
	require.Equal(t, scTrio{A: 2, B: 2}, scGet(q, scAll))
	_, err = q.commit()
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, map[string]string{"sc_a": "1", "sc_b": "9"}, scStored(r, cookie))
}

// A later Set knows what the request has taken or set at once.
func TestPromise1_SetAfterASettledStruct(t *testing.T) {
	t.Parallel()
	settle := map[string]func(q *rigRequest){
		"take":       func(q *rigRequest) { scTake(q, scAll) },
		"get or set": func(q *rigRequest) { scTake(q, scAll); q.save(); scOrSet(q, scAll, scTrio{A: 5, B: 5, C: "c"}) },
	}
	for name, at := range settle {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.scStart(scTrio{A: 1, B: 1, C: "c"})
			q := r.open(cookie)
			at(q)
			scSet(q, scAll, scTrio{A: 7, B: 8, C: "c"})
			r.request(cookie, func(q *rigRequest) { scSet(q, scB, 3) })
			_, err := q.commit()
			conflict := new(session.ConflictError)
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, []string{"sc_b"}, conflict.Keys)

			q = r.open(cookie)
			at(q)
			scSet(q, scAll, scTrio{A: 7, B: 8, C: "c"})
			require.Equal(t, scTrio{A: 7, B: 8, C: "c"}, scGet(q, scAll))
			q.end()
			require.Equal(t, map[string]string{"sc_a": "7", "sc_b": "8", "sc_c": `"c"`}, scStored(r, cookie))
		})
	}
}

// A field that cannot be decoded keeps the struct from being taken, until it has
// been deleted; then one commit removes them all.
func TestTakeOfAStructWithABadField(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	cookie := r.scStart(scTrio{A: 1, B: 2, C: "c"})
	r.request(cookie, func(q *rigRequest) { scSet(q, session.Key[string]("sc_b"), "text") })
	q := r.open(cookie)
	_, ok, err := scAll.Take(q.ctx)
	requireValueError(t, "sc_b", err)
	require.False(t, ok)
	requireValueError(t, "sc_b", scTail.Set(q.ctx, scDuo{}))
	_, err = scAll.Update(q.ctx, func(*scTrio) error { return nil })
	requireValueError(t, "sc_b", err)
	scSet(q, scA, 3) // is not concerned
	require.NoError(t, scB.Delete(q.ctx))
	r.store.Calls()
	v, ok := scTake(q, scAll)
	require.True(t, ok)
	require.Equal(t, scTrio{A: 3, C: "c"}, v)
	require.Equal(t, []spy.Op{spy.Swap}, r.store.Calls())
	require.Empty(t, scStored(r, cookie))
	q.end()
	require.Empty(t, scStored(r, cookie))
}

// A session of this request's own has no other way to order things.
func TestStructUpdateThenGetOrSetInANewSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before func(q *rigRequest)
		want   map[string]string
	}{
		"no change": {
			func(q *rigRequest) {
				scUpdate(q, scMaybe, func(v *scOptional) {
					if v.X != 0 {
						v.Y = "seen"
					}
				})
			},
			map[string]string{"sc_x": "5"},
		},
		"deleted again": {
			func(q *rigRequest) {
				scUpdate(q, scMaybe, func(v *scOptional) { v.X++ })
				require.NoError(t, scMaybe.Delete(q.ctx))
			},
			map[string]string{"sc_x": "5"},
		},
		"changed": {
			func(q *rigRequest) { scUpdate(q, scMaybe, func(v *scOptional) { v.Y += "y" }) },
			map[string]string{"sc_x": "5", "sc_y": `"y"`},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			cookie := r.request("", func(q *rigRequest) {
				c.before(q)
				require.Equal(t, 5, scOrSet(q, scX, 5))
			})
			require.Equal(t, c.want, scStored(r, cookie))
		})
	}
}
