package integration_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/store"
)

const (
	faultHammering = 6 // visitors of one session
	faultSeveral   = 6 // sessions with two visitors each
	// faultPace is the pace of each: nodes that are away answer at once.
	faultPace = 2 * time.Millisecond
	// faultPatience is how long a load may take to do what it is for. It is there for
	// what hangs, so no machine is that slow.
	faultPatience = 2 * time.Minute
)

// faultLoad is visitors who use sessions through nodes where things go wrong. What
// it finds wrong it collects.
type faultLoad struct {
	ctx    context.Context
	nodes  []*faultNode
	client *http.Client
	rnd    func(part uint64) *rand.Rand

	outcomes [faultActions]map[fate]*atomic.Int64
	turned   atomic.Int64 // credentials that were replaced
	ending   atomic.Bool  // sessions end sooner
	hearsay  bool         // the server may forget what it has shown, but not what it has acknowledged
	wg       sync.WaitGroup
	done     chan struct{}
	stop     func()

	mu    sync.Mutex
	lives []*life
	old   []replaced
	found map[string]int // what is wrong, and how often
}

// faultAction is what a visitor does.
type faultAction int

const (
	actCount faultAction = iota
	actSave
	actRead
	actWrite
	actLogin
	actElevate
	actRotate
	actLogout
	actBegin
	actHaunt         // with a credential of a session that has ended
	actReplaced      // with one that was rotated away, after its grace
	faultActions int = iota
)

var actionNames = [faultActions]string{
	"count", "save", "read", "write", "login", "elevate", "rotate", "logout", "begin", "haunt", "replaced",
}

// startFaultLoad begins a load. It ends with the test at the latest.
func startFaultLoad(t testing.TB, e effort.Effort, nodes ...*faultNode) *faultLoad {
	t.Helper()
	return startLoad(t, e, false, nodes...)
}

func startLoad(t testing.TB, e effort.Effort, hearsay bool, nodes ...*faultNode) *faultLoad {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	f := &faultLoad{
		ctx: t.Context(), nodes: nodes, client: &http.Client{Transport: transport}, rnd: e.Rand,
		done: make(chan struct{}), found: map[string]int{}, hearsay: hearsay,
	}
	for i := range f.outcomes {
		f.outcomes[i] = map[fate]*atomic.Int64{}
		for _, o := range []fate{fateDone, fateUnknown, fateNothing, fateUndeleted, fateUnread, fateDestroyed, fateSuperseded, fateOdd} {
			f.outcomes[i][o] = new(atomic.Int64)
		}
	}
	f.stop = sync.OnceFunc(func() { close(f.done); f.wg.Wait(); transport.CloseIdleConnections() })
	t.Cleanup(f.stop)
	worker := uint64(0)
	for i := range 1 + faultSeveral {
		site, visitors := new(atomic.Pointer[life]), 2
		if i == 0 {
			visitors = faultHammering
		}
		for v := range visitors {
			worker++
			w := &faultWorker{faultLoad: f, site: site, leads: v == 0, owner: fmt.Sprintf("ada%d", i), rnd: f.rnd(worker)}
			f.wg.Go(w.run)
		}
	}
	return f
}

// faultWorker is one visitor of a session. The one who leads begins the next one.
type faultWorker struct {
	*faultLoad
	site  *atomic.Pointer[life]
	leads bool
	owner string
	rnd   *rand.Rand
}

func (w *faultWorker) run() {
	tick := time.NewTicker(faultPace)
	defer tick.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-tick.C:
		}
		act := w.choose()
		o, err := w.act(act)
		if w.ctx.Err() != nil {
			return // the test has ended elsewhere
		}
		if err != nil {
			w.wrong(fmt.Errorf("%s: %w", actionNames[act], err))
		}
		if o != "" {
			w.outcomes[act][o].Add(1)
		}
	}
}

func (f *faultLoad) wrong(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.found[err.Error()]++
}

func (w *faultWorker) choose() faultAction {
	l := w.site.Load()
	p := w.rnd.IntN(100)
	switch {
	case p < 8:
		return actHaunt
	case p < 11:
		return actReplaced
	case l == nil || w.leads && l.finished():
		return actBegin
	case w.leads && w.ending.Load() && p < 70:
		return actLogout
	case p < 40:
		return actCount
	case p < 64:
		return actSave
	case p < 76 || !w.leads:
		return actRead
	case p < 82:
		return actWrite
	case p < 85:
		return actLogin
	case p < 87:
		return actElevate
	case p < 92:
		return actRotate
	}
	return actLogout
}

// ask sends a request to one of the nodes.
func (w *faultWorker) ask(path, arg, credential string) faultAnswer {
	return ask(w.ctx, w.client, w.nodes[w.rnd.IntN(len(w.nodes))], path, arg, credential)
}

// page returns what asks for a page.
func (w *faultWorker) page(path, arg string) func(credential string) faultAnswer {
	return func(credential string) faultAnswer { return w.ask(path, arg, credential) }
}

func (w *faultWorker) act(act faultAction) (fate, error) {
	l := w.site.Load()
	switch act {
	case actBegin:
		return w.begin()
	case actHaunt:
		return w.haunt()
	case actReplaced:
		return w.presentReplaced()
	case actCount, actSave:
		return l.add(act == actSave, w.page("/"+actionNames[act], ""))
	case actRead:
		return l.read(w.page("/read", ""))
	case actWrite:
		return l.write(func(credential, text string) faultAnswer { return w.ask("/write", text, credential) })
	case actLogout:
		return l.end(w.page("/logout", ""))
	}
	owner := ""
	if act == actLogin {
		owner = w.owner
	}
	o, old, err := l.turn(owner, w.page("/"+actionNames[act], owner))
	if old != nil {
		w.turned.Add(1)
		w.mu.Lock()
		w.old = append(w.old, *old)
		w.mu.Unlock()
	}
	return o, err
}

func (w *faultWorker) begin() (fate, error) {
	if !w.leads {
		return "", nil
	}
	a := w.ask("/begin", "", "")
	if a.outcome != fateDone {
		if a.outcome == fateOdd {
			return fateOdd, fmt.Errorf("an answer that should not be: %v", &a)
		}
		return a.outcome, nil // nobody has its credential
	}
	l, err := lifeOf(&a)
	if err != nil {
		return fateOdd, err
	}
	l.hearsay = w.hearsay
	w.mu.Lock()
	w.lives = append(w.lives, l)
	w.mu.Unlock()
	w.site.Store(l)
	return fateDone, nil
}

// haunt uses a session that has ended.
func (w *faultWorker) haunt() (fate, error) {
	w.mu.Lock()
	var l *life
	if len(w.lives) > 0 {
		l = w.lives[w.rnd.IntN(len(w.lives))]
	}
	w.mu.Unlock()
	if l == nil || !l.look().over {
		return "", nil
	}
	if w.rnd.IntN(2) == 0 {
		return l.add(true, w.page("/save", ""))
	}
	return l.read(w.page("/read", ""))
}

func (w *faultWorker) presentReplaced() (fate, error) {
	w.mu.Lock()
	var old replaced
	if len(w.old) > 0 {
		old = w.old[w.rnd.IntN(len(w.old))]
	}
	w.mu.Unlock()
	if old.credential == "" || !time.Now().After(old.out) {
		return "", nil
	}
	a := w.ask("/read", "", old.credential)
	return a.outcome, judgeReplaced(&a)
}

// judgeReplaced judges what a credential shows that was rotated away.
func judgeReplaced(a *faultAnswer) error {
	if a.outcome == fateDone && a.text != faultGone && a.text != faultNothing {
		return errors.New("a credential that was rotated away shows the session after its grace")
	}
	return nil
}

// count returns how many actions had an outcome.
func (f *faultLoad) count(o fate, acts ...faultAction) (n int64) {
	for _, act := range acts {
		n += f.outcomes[act][o].Load()
	}
	return n
}

// enough says that the load has done of everything what a proof needs.
func (f *faultLoad) enough() bool {
	return f.count(fateDone, actCount, actSave) >= 150 && f.count(fateDone, actLogin) >= 2 && f.turned.Load() >= 4 &&
		f.count(fateDone, actLogout) >= 3 && f.count(fateDone, actHaunt) >= 3 && f.count(fateDone, actReplaced) >= 1
}

// spend lets the time of the long form pass, unless something is wrong.
func (f *faultLoad) spend(e effort.Effort) {
	tick := time.NewTicker(faultPace)
	defer tick.Stop()
	for e.Long && !e.Over() && len(f.wrongs()) == 0 {
		select {
		case <-tick.C:
		case <-f.ctx.Done():
			return
		}
	}
}

// await waits until something is so, or something is wrong.
func (f *faultLoad) await(t testing.TB, what string, so func() bool) {
	t.Helper()
	require.Eventually(t, func() bool { return so() || len(f.wrongs()) > 0 }, faultPatience, 5*time.Millisecond, "%s: %v", what, f)
}

// wrongs returns what is wrong.
func (f *faultLoad) wrongs() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Sorted(maps.Keys(f.found))
}

// judge ends the load and holds what the store has against what was answered. Nodes
// without faults must do the same.
func (f *faultLoad) judge(t testing.TB, st store.Store, n *faultNode) []string {
	t.Helper()
	f.stop()
	last := time.Time{}
	for _, l := range f.lives {
		rec, err := st.Load(t.Context(), l.key)
		if err = l.judge(&rec, err); err != nil {
			f.wrong(fmt.Errorf("in the end: %w", err))
		}
		if l.look().over {
			for _, path := range []string{"/save", "/read"} {
				if a := ask(t.Context(), f.client, n, path, "", l.look().credential); a.outcome == fateDone && a.text != faultGone {
					f.wrong(fmt.Errorf("in the end: %w", errBack))
				}
			}
		}
	}
	for _, old := range f.old {
		if old.out.After(last) {
			last = old.out
		}
	}
	<-time.After(time.Until(last.Add(time.Millisecond)))
	for _, old := range f.old {
		a := ask(t.Context(), f.client, n, "/read", "", old.credential)
		if err := judgeReplaced(&a); err != nil {
			f.wrong(fmt.Errorf("in the end: %w", err))
		}
	}
	f.client.CloseIdleConnections()
	return f.wrongs()
}

// String says what became of the requests.
func (f *faultLoad) String() string {
	changes := []faultAction{actCount, actSave, actWrite, actLogin, actElevate, actRotate, actLogout}
	return fmt.Sprintf("%d changes acknowledged, %d unknown, %d refused, %d superseded, %d destroyed; %d logins, %d credentials replaced, %d logouts acknowledged, %d unknown; "+
		"%d sessions, %d of the ended ones tried again, %d replaced credentials",
		f.count(fateDone, changes...), f.count(fateUnknown, changes...)+f.count(fateUndeleted, changes...), f.count(fateNothing, changes...)+f.count(fateUnread, changes...),
		f.count(fateSuperseded, changes...), f.count(fateDestroyed, changes...), f.count(fateDone, actLogin), f.turned.Load(),
		f.count(fateDone, actLogout), f.count(fateUnknown, actLogout)+f.count(fateUndeleted, actLogout), f.count(fateDone, actBegin),
		f.count(fateDone, actHaunt), f.count(fateDone, actReplaced))
}
