package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Goroutines of one request share its session.
func TestGoroutinesOfOneRequest(t *testing.T) {
	t.Parallel()
	const goroutines, times = 8, 100
	site, _ := newSpySite(t)
	for name, v := range map[string]*visitor{"new": site.visitor(), "stored": site.known(setTo(vName, "ada"))} {
		var wg sync.WaitGroup
		work := func(ctx context.Context, i int) error {
			own := session.Key[int](fmt.Sprintf("own %d", i))
			for n := range times {
				if err := own.Set(ctx, n); err != nil {
					return err
				}
				if err := increment(vCount)(ctx); err != nil {
					return err
				}
				if err := increment(own)(ctx); err != nil {
					return err
				}
				if err := vName.Set(ctx, fmt.Sprint(i)); err != nil {
					return err
				}
				if got, err := own.Get(ctx); err != nil || got != n+1 {
					return fmt.Errorf("own value is %d, want %d: %w", got, n+1, err)
				}
			}
			return nil
		}
		var errs [goroutines]error
		a := v.do(func(ctx context.Context) error {
			for i := range errs {
				wg.Go(func() { errs[i] = work(ctx, i) })
			}
			wg.Wait()
			return errors.Join(errs[:]...)
		})
		require.NoError(t, a.err, name)
		a.requirePage(t)
		requireStored(v, vCount, goroutines*times)
		for i := range goroutines {
			requireStored(v, session.Key[int](fmt.Sprintf("own %d", i)), times)
		}
	}
}

// While one goroutine is inside an Update function, others may change the
// session: in the first run, and also when the function runs again at a commit.
func TestOthersDuringUpdate(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 10))
	inside, changed := make(chan struct{}, 10), make(chan struct{})
	var runs atomic.Int32
	slow := v.tab().hold(func(ctx context.Context) error {
		done := make(chan error, 1)
		go func() {
			_, err := vCount.Update(ctx, func(n *int) error {
				*n++
				runs.Add(1)
				inside <- struct{}{}
				<-changed
				return nil
			})
			done <- err
		}()
		<-inside
		err := errors.Join(setTo(vOther, 1)(ctx), increment(vOther)(ctx), setTo(vName, "x")(ctx), remove(vName)(ctx))
		close(changed)
		return errors.Join(err, <-done)
	})
	require.Equal(t, int32(2), runs.Load(), "the session had changed under the first run")
	v.at(b).do(setTo(vCount, 20)).requirePage(t)
	slow.finish().requirePage(t)
	require.Equal(t, int32(3), runs.Load())
	requireStored(v, vCount, 21)
	requireStored(v, vOther, 2)
}

// The same while the function runs again: who is not inside it waits, and is not
// told otherwise; reads show the request's own state.
func TestOthersDuringReplay(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 10), setTo(vName, "old"))
	var runs atomic.Int32
	inside, proceed := make(chan struct{}), make(chan struct{})
	v.do(func(ctx context.Context) error {
		_, err := vCount.Update(ctx, func(n *int) error {
			*n++
			if runs.Add(1) == 2 {
				close(inside)
				<-proceed
			}
			return nil
		})
		v.at(b).do(setTo(vCount, 20), setTo(vName, "new")).requirePage(t)
		saved, set := make(chan error, 1), make(chan error, 1)
		go func() { saved <- save(ctx) }()
		<-inside
		go func() { set <- errors.Join(setTo(vOther, 1)(ctx), increment(vOther)(ctx)) }()
		name, nameErr := vName.Get(ctx)
		n, countErr := vCount.Get(ctx)
		close(proceed)
		if name != "old" || n != 11 {
			err = fmt.Errorf("during the replay name is %q and count %d", name, n)
		}
		return errors.Join(err, nameErr, countErr, <-saved, <-set)
	}).requirePage(t)
	requireStored(v, vCount, 21)
	requireStored(v, vOther, 2)
	requireStored(v, vName, "new")
}

// changing lists the verbs that an Update function must not call.
var changing = map[string]visitStep{
	"Set":       setTo(vOther, 1),
	"Delete":    remove(vOther),
	"Update":    increment(vOther),
	"GetOrSet":  orSet(session.Key[int]("absent"), 1),
	"Take":      take(vOther),
	"Login":     login("ada"),
	"Elevate":   elevate,
	"Rotate":    rotate,
	"SetExpiry": setExpiry(session.OnInactivity(time.Minute)),
	"Destroy":   destroy,
	"Clear":     empty,
	"Save":      save,
	"Reload":    reload,
}

func TestChangeInUpdate(t *testing.T) {
	t.Parallel()
	for name, verb := range changing {
		for _, self := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s,nested %t", name, self), func(t *testing.T) {
				t.Parallel()
				a, b := twoNodes(t)
				v := a.known(setTo(vCount, 1), setTo(vOther, 5))
				var got []error
				update := func(ctx context.Context) error {
					_, err := vCount.Update(ctx, func(n *int) error {
						*n++
						call := func() error { return verb(ctx) }
						if self { // however deep
							call = func() error { return nested(20, func() error { return verb(ctx) }) }
						}
						got = append(got, call())
						return nil
					})
					return err
				}
				var slow *heldRequest
				within(t, "the first run", func() { slow = v.tab().hold(update) })
				v.at(b).do(increment(vCount)).requirePage(t)
				within(t, "the replay", func() { slow.finish().requirePage(t) })
				require.Len(t, got, 2)
				require.ErrorIs(t, got[0], session.ErrInUpdate, "first run")
				require.ErrorIs(t, got[1], session.ErrInUpdate, "replay")
				requireStored(v, vCount, 3)
				requireStored(v, vOther, 5)
				require.False(t, v.info().New)
			})
		}
	}
}

func nested(depth int, f func() error) error {
	if depth == 0 {
		return f()
	}
	return nested(depth-1, f)
}

// modelOp is a verb on vCount and what it does to a model of the session.
type modelOp struct {
	name string
	run  func(ctx context.Context) (got string, err error)
	do   func(m *model) (want string)
}

// model is what a session is to hold: what is stored, and what the request sees.
type model struct {
	stored, view  *int // of vCount
	other         int  // of another key, which other requests change; 0: absent
	clearsPending bool
}

func show(n int, ok bool) string { return fmt.Sprint(n, ok) }

func (m *model) look() string {
	if m.view == nil {
		return show(0, false)
	}
	return show(*m.view, true)
}

func (m *model) commit() {
	m.stored = m.view
	if m.clearsPending {
		m.other, m.clearsPending = 0, false
	}
}

var modelOps = []modelOp{
	{
		"set", func(ctx context.Context) (string, error) { return "", vCount.Set(ctx, 5) },
		func(m *model) string { m.view = new(5); return "" },
	},
	{
		"delete", func(ctx context.Context) (string, error) { return "", vCount.Delete(ctx) },
		func(m *model) string { m.view = nil; return "" },
	},
	{
		"update", func(ctx context.Context) (string, error) { return "", increment(vCount)(ctx) },
		func(m *model) string {
			n := 1
			if m.view != nil {
				n += *m.view
			}
			m.view = &n
			return ""
		},
	},
	{
		"clear", func(ctx context.Context) (string, error) { return "", empty(ctx) },
		func(m *model) string { m.view, m.clearsPending = nil, true; return "" },
	},
	{
		"take", func(ctx context.Context) (string, error) {
			n, ok, err := vCount.Take(ctx)
			return show(n, ok), err
		},
		func(m *model) string {
			got := m.look()
			if m.view != nil {
				m.view, m.stored = nil, nil
			}
			return got
		},
	},
	{
		"getorset", func(ctx context.Context) (string, error) {
			n, err := vCount.GetOrSet(ctx, func() (int, error) { return 7, nil })
			return show(n, true), err
		},
		func(m *model) string {
			if m.view == nil {
				m.view = new(7)
				m.stored = m.view
			}
			return m.look()
		},
	},
	{
		"save", func(ctx context.Context) (string, error) { return "", save(ctx) },
		func(m *model) string { m.commit(); return "" },
	},
	{
		"lookup", func(ctx context.Context) (string, error) {
			n, ok, err := vCount.Lookup(ctx)
			return show(n, ok), err
		},
		func(m *model) string { return m.look() },
	},
}

// Every order of up to three verbs on one key, and some longer ones: what they
// return, what is stored after a 200, and what stands after a 500, while other
// requests change the rest of the session.
func TestVerbOrders(t *testing.T) {
	t.Parallel()
	for _, from := range []string{"new", "absent", "present"} {
		for _, status := range []int{200, 500} {
			for _, busy := range []bool{false, true} {
				if busy && from == "new" {
					continue
				}
				t.Run(fmt.Sprintf("%s,%d,busy=%t", from, status, busy), func(t *testing.T) {
					t.Parallel()
					a, b := twoNodes(t)
					r := orderRun{t: t, a: a, b: b, from: from, status: status, busy: busy}
					r.extend(nil, 3)
					for range 150 {
						var ops []modelOp
						for range 4 + rand.N(4) {
							ops = append(ops, modelOps[rand.N(len(modelOps))])
						}
						r.run(ops)
					}
				})
			}
		}
	}
}

type orderRun struct {
	t      *testing.T
	a, b   *visitSite
	from   string
	status int
	busy   bool
}

func (r *orderRun) extend(ops []modelOp, more int) {
	if len(ops) > 0 {
		r.run(ops)
	}
	if more == 0 || r.t.Failed() {
		return
	}
	for _, op := range modelOps {
		r.extend(append(slices.Clip(ops), op), more-1)
	}
}

func (r *orderRun) run(ops []modelOp) {
	v, m := r.a.visitor(), new(model)
	switch r.from {
	case "present":
		v, m = r.a.known(setTo(vOther, 1), setTo(vCount, 1)), &model{other: 1, stored: new(1), view: new(1)}
	case "absent":
		v, m = r.a.known(setTo(vOther, 1)), &model{other: 1}
	}
	var names []string
	for _, op := range ops {
		names = append(names, op.name)
	}
	order := strings.Join(names, ", ")
	disturb := func() {
		if r.busy {
			v.at(r.b).do(increment(vOther)).requirePage(r.t)
			m.other++
		}
	}
	answer := v.doStatus(r.status, func(ctx context.Context) error {
		for i, op := range ops {
			if i == len(ops)/2 {
				if err := load(vName)(ctx); err != nil {
					return err
				}
				disturb()
			}
			got, err := op.run(ctx)
			if want := op.do(m); err != nil || got != want {
				return fmt.Errorf("%s (%d) returned %q, want %q: %w", op.name, i, got, want, err)
			}
		}
		disturb()
		return nil
	})
	require.NoError(r.t, answer.err, order)
	require.NoError(r.t, answer.failed, order)
	if r.status < 500 {
		m.commit()
	}
	check := &model{}
	got := v.do(func(ctx context.Context) error {
		n, ok, err := vCount.Lookup(ctx)
		if ok {
			check.stored = &n
		}
		if err == nil {
			check.other, err = vOther.Get(ctx)
		}
		return err
	})
	require.NoError(r.t, got.err)
	require.Equal(r.t, m.stored, check.stored, "stored after %s", order)
	require.Equal(r.t, m.other, check.other, "another key after %s", order)
}

// A handler's Get of a key that it has itself changed does not make a later Set
// a conflict: it depends on nothing stored.
func TestOwnValueIsNoRead(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(setTo(vCount, 1))
	slow := v.tab().hold(setTo(vCount, 5), load(vCount), setTo(vCount, 6))
	v.at(b).do(increment(vCount)).requirePage(t)
	slow.finish().requirePage(t)
	requireStored(v, vCount, 6)
}
