package integration_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store"
)

// doneBusy is how much later than promised something may happen on a busy machine.
const doneBusy = 4 * time.Second

// doneRig is two nodes of a site: on one sessions are watched, on the other they end.
type doneRig struct {
	t        *testing.T
	interval time.Duration
	watching *session.Manager
	ending   *session.Manager
	ear      *doneEar // nil where the store does not tell
	log      *doneLog
	watches  sync.WaitGroup
}

// newDoneRig returns a rig. What is heard goes through dial, unless that is nil.
func newDoneRig(t *testing.T, node func(t testing.TB) store.Store, ear store.Watcher, interval time.Duration) *doneRig {
	t.Helper()
	r := &doneRig{t: t, interval: interval, log: &doneLog{}}
	st := node(t)
	if ear != nil {
		r.ear = &doneEar{Watcher: ear}
		st = struct {
			store.Store
			store.OwnerIndex
			*doneEar
		}{st, st.(store.OwnerIndex), r.ear}
	}
	r.watching = r.manager(st)
	r.ending = r.manager(node(t))
	t.Cleanup(r.watches.Wait)
	return r
}

func (r *doneRig) manager(st store.Store) *session.Manager {
	r.t.Helper()
	m, err := session.NewManager(session.Config{
		Store: st, WatchInterval: r.interval, Logger: slog.New(r.log), Timeout: 30 * time.Second,
		Grace: time.Millisecond, MinRotate: time.Millisecond,
	})
	require.NoError(r.t, err)
	return m
}

// doneEar knows whether a subscription stands.
type doneEar struct {
	store.Watcher
	standing atomic.Int32
	stood    atomic.Int32 // how often
}

// Watch implements store.Watcher.
func (e *doneEar) Watch(ctx context.Context, ready func(), changed func(store.Change)) error {
	var stands atomic.Bool
	defer func() {
		if stands.Load() {
			e.standing.Add(-1)
		}
	}()
	return e.Watcher.Watch(ctx, func() {
		ready()
		stands.Store(true)
		e.standing.Add(1)
		e.stood.Add(1)
	}, changed)
}

// doneLog keeps what a manager logs.
type doneLog struct {
	mu    sync.Mutex
	lines []string
}

// Enabled implements slog.Handler.
func (l *doneLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (l *doneLog) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, r.Level.String()+" "+r.Message)
	return nil
}

// WithAttrs implements slog.Handler.
func (l *doneLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup implements slog.Handler.
func (l *doneLog) WithGroup(string) slog.Handler { return l }

// count returns how many lines begin so.
func (l *doneLog) count(begin string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.HasPrefix(line, begin) {
			n++
		}
	}
	return n
}

const (
	doneDeaf  = "WARN changes of sessions are not heard"
	doneHears = "INFO changes of sessions are heard again"
)

// doneSession is a session that is watched.
type doneSession struct {
	id, owner  string
	credential string

	request *session.Session
	ctx     context.Context // of the request, which stays open
	channel <-chan struct{} // Done
	context context.Context // WithDone
	ended   time.Time       // when the act that ends it returned
	closed  [2]atomic.Int64 // when the channel and the context were closed, since the Unix epoch in ns; 0 before
}

// session returns a new one, which is not watched.
func (r *doneRig) session(owner string) *doneSession {
	r.t.Helper()
	d := &doneSession{owner: owner}
	var err error
	d.credential, err = visit(r.t.Context(), r.ending, "", func(ctx context.Context) error {
		if err := session.FromContext(ctx).Login(ctx, owner); err != nil {
			return err
		}
		return counter.Set(ctx, 1)
	})
	require.NoError(r.t, err)
	_, err = visit(r.t.Context(), r.ending, d.credential, func(ctx context.Context) error {
		d.id, err = readID(ctx)
		return err
	})
	require.NoError(r.t, err)
	return d
}

// watch watches a session, in both ways, until the test ends.
func (r *doneRig) watch(d *doneSession) *doneSession {
	r.t.Helper()
	s := r.watching.Open(session.Opening{Credentials: []string{d.credential}})
	d.request, d.ctx = s, session.NewContext(context.WithoutCancel(r.t.Context()), s)
	d.channel = s.Done()
	var cancel context.CancelFunc
	d.context, cancel = s.WithDone(context.Background())
	_, err := r.watching.Commit(d.ctx, s)
	require.NoError(r.t, err)
	for i, done := range []<-chan struct{}{d.channel, d.context.Done()} {
		r.watches.Go(func() {
			<-done
			d.closed[i].Store(time.Now().UnixNano())
		})
	}
	r.t.Cleanup(func() { cancel(); _ = r.watching.Finish(d.ctx, s) })
	return d
}

// isOver reports whether both have been closed.
func (d *doneSession) isOver() bool { return d.closed[0].Load() != 0 && d.closed[1].Load() != 0 }

// isUntouched reports whether none has.
func (d *doneSession) isUntouched() bool { return d.closed[0].Load() == 0 && d.closed[1].Load() == 0 }

// took returns how long after the act had returned the later of both was closed.
func (d *doneSession) took() time.Duration {
	last := max(d.closed[0].Load(), d.closed[1].Load())
	return max(0, time.Unix(0, last).Sub(d.ended))
}

// stands waits until the subscription does. It takes a session that is watched.
func (r *doneRig) stands() {
	r.t.Helper()
	if r.ear == nil {
		return
	}
	require.Eventually(r.t, func() bool { return r.ear.standing.Load() > 0 }, patient, 5*time.Millisecond, "no subscription")
}

// revoke ends a session on the other node.
func (r *doneRig) revoke(d *doneSession) {
	r.t.Helper()
	require.NoError(r.t, r.ending.Revoke(r.t.Context(), d.id))
	d.ended = time.Now()
}

// noticed waits until all are over, and returns how long each took, in order.
func (r *doneRig) noticed(all []*doneSession, cause error) (took []time.Duration) {
	r.t.Helper()
	for i, d := range all {
		require.Eventually(r.t, d.isOver, patient, time.Millisecond, "the end of session %d is not noticed", i)
		require.ErrorIs(r.t, context.Cause(d.context), cause)
		took = append(took, d.took())
	}
	slices.Sort(took)
	return took
}

// judge logs latencies, which are sorted, beside the bound, and holds them to it; a busy
// machine may take longer by slack.
func (r *doneRig) judge(what string, took []time.Duration, bound, slack time.Duration) {
	r.t.Helper()
	median, most := took[len(took)/2], took[len(took)-1]
	const unit = 10 * time.Microsecond
	r.t.Logf("%s, %s: %d noticed after %v in the median, %v at most; bound: %v", r.t.Name(), what, len(took), median.Round(unit), most.Round(unit), bound)
	require.LessOrEqual(r.t, most, bound+slack, what)
}
