package integration_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

const (
	restartBrowsers = 8
	restartEvery    = 2 * time.Millisecond // of each browser
)

// restartLoad is eight browsers that use two nodes.
type restartLoad struct {
	t        *testing.T
	nodes    []*node
	browsers []*browser // all that there have been
	visitors []*restartVisitor

	away      atomic.Bool     // errors are expected
	errors    [2]atomic.Int64 // by node
	contended atomic.Int64

	common       *browser // for a session that all use
	acknowledged atomic.Int64
	unknown      atomic.Int64 // what may have been stored or not

	mu    sync.Mutex
	ended []string        // credentials of sessions that have ended
	doubt []restartMemory // sessions that a login may have ended or not
}

// restartMemory is what somebody knows about a session.
type restartMemory struct {
	credential  string
	owner       string
	count, more int // counter is count, or up to so many more
}

// restartVisitor is somebody with a browser.
type restartVisitor struct {
	*restartLoad
	name   string
	rnd    *rand.Rand
	b      *browser
	ghost  *browser // presents what has ended
	has    bool     // a session
	maybe  bool     // its logout was not acknowledged
	memory restartMemory
	streak atomic.Int64 // pages without an error
}

func (h *restartLoad) browser() *browser {
	b := newBrowser(h.t)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.browsers = append(h.browsers, b)
	return b
}

// share makes the session that all use.
func (h *restartLoad) share() {
	h.common = h.browser()
	h.common.must(h.nodes[0], func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 0) })
}

// start begins the load. stop ends it.
func (h *restartLoad) start(seed uint64) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range restartBrowsers {
		v := &restartVisitor{
			restartLoad: h, name: "visitor " + strconv.Itoa(i), b: h.browser(), ghost: h.browser(),
			rnd: rand.New(rand.NewPCG(seed, uint64(i))),
		}
		h.visitors = append(h.visitors, v)
		wg.Go(func() {
			tick := time.NewTicker(restartEvery)
			defer tick.Stop()
			for n := i; ; n++ {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				if err := v.step(n % len(h.nodes)); err != nil {
					if h.t.Context().Err() != nil {
						return // the test has failed elsewhere
					}
					h.t.Errorf("%s, request %d: %v", v.name, n, err)
					return
				}
			}
		})
	}
	stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	h.t.Cleanup(stop)
	return stop
}

// await waits until every browser has had so many pages without an error.
func (h *restartLoad) await(what string, pages int64, most time.Duration) {
	h.t.Helper()
	for _, v := range h.visitors {
		v.streak.Store(0)
	}
	require.Eventually(h.t, func() bool {
		for _, v := range h.visitors {
			if v.streak.Load() < pages && !h.t.Failed() {
				return false
			}
		}
		return true
	}, most, 5*time.Millisecond, what)
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// send sends a request. ok says that it was answered with a page; otherwise the
// store was away, as it may be.
func (v *restartVisitor) send(b *browser, n int, p page) (a answer, ok bool, err error) {
	expected := v.away.Load()
	a, err = b.do(v.nodes[n], p)
	expected = expected || v.away.Load()
	switch {
	case err != nil:
		return a, false, err
	case a.status == http.StatusOK:
		v.streak.Add(1)
		return a, true, nil
	}
	cookies := a.header.Values("Set-Cookie")
	switch {
	case len(cookies) > 0:
		return a, false, fmt.Errorf("%d with %d cookies", a.status, len(cookies))
	case errors.Is(a.failed, session.ErrContention) && !errors.Is(a.failed, session.ErrUnknown):
		v.contended.Add(1)
		return a, false, nil
	case a.status < 500 || !expected:
		return a, false, fmt.Errorf("%d %s: %w", a.status, a.text, a.failed)
	}
	v.streak.Store(0)
	v.errors[n].Add(1)
	return a, false, nil
}

// restartPage says what a session is: whether it is new, its owner, and counter.
func restartPage(ctx context.Context) (string, error) {
	info, err := session.FromContext(ctx).Info(ctx)
	if err != nil {
		return "", err
	}
	n, err := counter.Get(ctx)
	return fmt.Sprintf("%t|%s|%d", info.New, info.Owner, n), err
}

const restartNothing = "true||0"

// step sends one request.
func (v *restartVisitor) step(n int) error {
	switch kind := v.rnd.IntN(100); {
	case v.maybe:
		return v.read(n)
	case kind < 10:
		return v.haunt(n)
	case kind < 25:
		return v.addToCommon(n)
	case !v.has || kind < 60:
		return v.add(n)
	case kind < 66:
		return v.logIn(n)
	case kind < 70:
		return v.logOut(n)
	default:
		return v.read(n)
	}
}

// check holds a page against what is known.
func (m *restartMemory) check(text string) error {
	part := strings.Split(text, "|")
	count, err := strconv.Atoi(part[2])
	if err != nil || part[0] != "false" || part[1] != m.owner || count < m.count || count > m.count+m.more {
		return fmt.Errorf("the session is %q, it should be of %q with %d to %d", text, m.owner, m.count, m.count+m.more)
	}
	m.count, m.more = count, 0
	return nil
}

func (v *restartVisitor) read(n int) error {
	a, ok, err := v.send(v.b, n, restartPage)
	switch {
	case err != nil || !ok:
		return err
	case len(a.header.Values("Set-Cookie")) > 0:
		return errors.New("a reader got a cookie")
	case !v.has && !v.maybe:
		if a.text != restartNothing {
			return fmt.Errorf("nobody has the session %q", a.text)
		}
		return nil
	case v.maybe && a.text == restartNothing:
		v.end(v.memory.credential)
		v.forget()
		v.b = v.browser() // the old one keeps a cookie that is worth nothing
		return nil
	}
	v.maybe = false
	return v.memory.check(a.text)
}

func (v *restartVisitor) add(n int) error {
	a, ok, err := v.send(v.b, n, countUp)
	switch {
	case err != nil:
		return err
	case !ok:
		// Only where the outcome is not known, something may have been stored. Of a new
		// session nobody has the credential.
		if v.has && errors.Is(a.failed, session.ErrUnknown) {
			v.memory.more++
		}
		return nil
	}
	count, err := strconv.Atoi(a.text)
	cookies := len(a.header.Values("Set-Cookie"))
	switch {
	case err != nil:
		return err
	case v.has && (cookies > 0 || count <= v.memory.count || count > v.memory.count+v.memory.more+1):
		return fmt.Errorf("counted from %d to %d, %d not acknowledged, with %d cookies", v.memory.count, count, v.memory.more, cookies)
	case !v.has && (cookies != 1 || count != 1):
		return fmt.Errorf("a new session begins with %d and %d cookies", count, cookies)
	}
	v.has = true
	v.memory.count, v.memory.more = count, 0
	v.memory.credential = v.b.credential(v.nodes[n])
	return nil
}

func (v *restartVisitor) addToCommon(n int) error {
	a, ok, err := v.send(v.common, n, countUp)
	switch {
	case err != nil:
		return err
	case ok && len(a.header.Values("Set-Cookie")) > 0:
		return errors.New("a cookie for a session that has one")
	case ok:
		v.acknowledged.Add(1)
	case errors.Is(a.failed, session.ErrUnknown):
		v.unknown.Add(1)
	}
	return nil
}

func (v *restartVisitor) logIn(n int) error {
	a, ok, err := v.send(v.b, n, logIn(v.name))
	switch {
	case err != nil:
		return err
	case !ok:
		// The session may be stored with a credential that nobody was given.
		v.mu.Lock()
		v.doubt = append(v.doubt, v.memory)
		v.mu.Unlock()
		v.forget()
		v.b = v.browser()
		return nil
	case len(a.header.Values("Set-Cookie")) != 1:
		return errors.New("a login without a cookie")
	}
	v.memory.owner = v.name
	v.memory.credential = v.b.credential(v.nodes[n])
	return nil
}

func (v *restartVisitor) logOut(n int) error {
	_, ok, err := v.send(v.b, n, logOut)
	if err != nil || !ok {
		v.maybe = !ok
		return err
	}
	v.end(v.memory.credential)
	v.forget()
	if c := v.b.credential(v.nodes[n]); c != "" {
		return errors.New("a cookie is left after the logout")
	}
	return nil
}

func (v *restartVisitor) end(credential string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ended = append(v.ended, credential)
}

func (v *restartVisitor) forget() { v.has, v.maybe, v.memory = false, false, restartMemory{} }

// haunt comes with a credential of a session that has ended.
func (v *restartVisitor) haunt(n int) error {
	v.mu.Lock()
	if len(v.ended) == 0 {
		v.mu.Unlock()
		return nil
	}
	credential := v.ended[v.rnd.IntN(len(v.ended))]
	v.mu.Unlock()
	v.ghost.present(v.nodes[n], credential)
	a, ok, err := v.send(v.ghost, n, restartPage)
	if err != nil || !ok {
		return err
	}
	if a.text != restartNothing || len(a.header.Values("Set-Cookie")) > 0 {
		return fmt.Errorf("a session that has ended is %q, and the answer %v", a.text, a.header)
	}
	return nil
}

// verify reads everything on each node, with the server back for good.
func (h *restartLoad) verify() {
	h.t.Helper()
	acknowledged, more := int(h.acknowledged.Load()), int(h.unknown.Load())
	h.t.Logf("common session: %d acknowledged, %d unknown; %d ended, %d in doubt; %d contended",
		acknowledged, more, len(h.ended), len(h.doubt), h.contended.Load())
	ghost := h.browser()
	look := func(n *node, credential string) string {
		h.t.Helper()
		ghost.present(n, credential)
		a := ghost.try(n, restartPage)
		require.Equal(h.t, http.StatusOK, a.status, a.text)
		requireNoCookie(h.t, a)
		return a.text
	}
	common := restartMemory{credential: h.common.credential(h.nodes[0]), count: acknowledged, more: more}
	for _, n := range h.nodes {
		require.NoError(h.t, common.check(look(n, common.credential)))
		for _, v := range h.visitors {
			if v.has && !v.maybe {
				require.NoError(h.t, v.memory.check(look(n, v.memory.credential)), v.name)
			}
		}
		for _, credential := range h.ended {
			require.Equal(h.t, restartNothing, look(n, credential), "it had ended")
		}
		for i := range h.doubt {
			if text := look(n, h.doubt[i].credential); text != restartNothing {
				require.NoError(h.t, h.doubt[i].check(text))
			}
		}
	}
	require.NotEmpty(h.t, h.ended)
	require.Positive(h.t, acknowledged)
}
