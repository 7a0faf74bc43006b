package middleware_test

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
)

// orderOwner is who logs in.
const orderOwner = "ada"

// orderVerbs is what requests do.
var orderVerbs = map[string]visitStep{
	"login":  login(orderOwner),
	"rotate": rotate,
	"logout": destroy,
	"read":   load(vName),
	"write":  increment(vCount),
}

// orderNames are the verbs in the order of the enumeration.
var orderNames = []string{"login", "logout", "read", "rotate", "write"}

// orderStarts is what a visitor has done before.
var orderStarts = map[string][]visitStep{
	"stranger": nil, // and has no cookie
	"returned": {setTo(vName, "gone"), note, revoke},
	"guest":    {setTo(vName, "before"), note},
	"member":   {login(orderOwner), setTo(vName, "before"), note},
}

// note says that the visitor has this session from now on.
func note(ctx context.Context) (err error) {
	s := session.FromContext(ctx)
	if err = s.Save(ctx); err == nil {
		orderRequestOf(ctx).info, err = s.Info(ctx)
	}
	return err
}

// revoke ends the session behind the back of its visitor, who keeps the cookie.
func revoke(ctx context.Context) error {
	q := orderRequestOf(ctx)
	id := q.info.ID
	q.info = session.Info{}
	return q.revoke(ctx, id)
}

// orderSite is two nodes on one store, in a bubble. Every schedule has sessions of
// its own there.
type orderSite struct {
	t     *testing.T
	start string
	nodes [2]http.Handler
	first *visitSite
	verbs map[string]visitStep
	known map[string]orderHarm // by number of nodes, and what the schedule says
	runs  int
}

// orderBreak makes what is wrong on purpose.
type orderBreak struct {
	store   func(store.Store) store.Store
	handler func(http.Handler) http.Handler // around the middleware
	verbs   map[string]visitStep            // in place of those in orderVerbs
}

func newOrderSite(t *testing.T, st store.Store, start string, b orderBreak) *orderSite {
	t.Helper()
	if b.store != nil {
		st = b.store(st)
	}
	site := &orderSite{t: t, start: start, first: newVisitSite(t, st), known: map[string]orderHarm{}}
	site.verbs = maps.Clone(orderVerbs)
	maps.Copy(site.verbs, b.verbs)
	for i, s := range []*visitSite{site.first, site.first.twin()} {
		site.nodes[i] = s.mw.Handler(http.HandlerFunc(orderPage))
		if b.handler != nil {
			site.nodes[i] = b.handler(site.nodes[i])
		}
	}
	return site
}

type orderRequestKey struct{}

// orderRequest is a request that goes on when it is told to.
type orderRequest struct {
	verb   string
	steps  []visitStep
	revoke func(ctx context.Context, id string) error
	writer http.ResponseWriter
	resume chan struct{}
	paused chan struct{}
	over   bool

	info    session.Info // as loaded, or noted
	name    string
	refused bool
	code    int
	cookies []*http.Cookie
	at      [orderReceive + 1]int // when its steps were
}

// orderRequestOf returns the request that a step belongs to.
func orderRequestOf(ctx context.Context) *orderRequest {
	return ctx.Value(orderRequestKey{}).(*orderRequest)
}

func orderPage(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	q := orderRequestOf(ctx)
	q.writer = w
	var err error
	if q.info, err = session.FromContext(ctx).Info(ctx); err == nil {
		q.name, err = vName.Get(ctx)
	}
	q.pause()
	for _, step := range q.steps {
		if err == nil {
			err = step(ctx)
		}
	}
	q.pause()
	if err != nil {
		q.refused = true
		w.WriteHeader(middleware.Status(err))
	}
	_, _ = io.WriteString(w, pageBody)
}

func (q *orderRequest) pause() {
	q.paused <- struct{}{}
	<-q.resume
}

// step lets the handler go on to its next pause, or to its end.
func (q *orderRequest) step() {
	if q.over {
		return
	}
	q.resume <- struct{}{}
	<-q.paused
}

// orderBrowser is a visitor's.
type orderBrowser struct {
	site *orderSite
	jar  *cookiejar.Jar
	url  *url.URL
}

func (site *orderSite) browser() *orderBrowser {
	jar, err := cookiejar.New(nil)
	require.NoError(site.t, err)
	return &orderBrowser{site: site, jar: jar, url: &url.URL{Scheme: "https", Host: "example.com", Path: "/"}}
}

// send gives a node a request with the cookies of now.
func (b *orderBrowser) send(node int, q *orderRequest) {
	q.resume, q.paused = make(chan struct{}), make(chan struct{})
	r := httptest.NewRequestWithContext(context.WithValue(b.site.t.Context(), orderRequestKey{}, q), http.MethodPost, b.url.String(), nil)
	for _, c := range b.jar.Cookies(b.url) {
		r.AddCookie(c)
	}
	go func() {
		<-q.resume
		w := httptest.NewRecorder()
		b.site.nodes[node].ServeHTTP(w, r)
		q.code = w.Code
		q.cookies = (&http.Response{Header: w.Header()}).Cookies()
		q.over = true
		q.paused <- struct{}{}
	}()
}

// finish lets the rest of a request happen at once.
func (b *orderBrowser) finish(q *orderRequest) {
	for !q.over {
		q.step()
	}
	b.receive(q)
}

func (b *orderBrowser) receive(q *orderRequest) {
	if q.code != http.StatusOK && q.code != http.StatusConflict {
		b.site.t.Errorf("a request was answered with %d", q.code)
	}
	if len(q.cookies) > 0 {
		b.jar.SetCookies(b.url, q.cookies)
	}
}

// visit is a request that nothing overlaps.
func (b *orderBrowser) visit(steps ...visitStep) *orderRequest {
	q := &orderRequest{steps: steps, revoke: b.site.first.m.Revoke}
	b.send(0, q)
	b.finish(q)
	return q
}

// orderHarm is what a schedule does to a visitor.
type orderHarm struct {
	risen bool   // a cookie opens a session that an acknowledged logout has ended
	lost  bool   // logged out after the grace, though a login was the last word
	kept  bool   // logged in, though an acknowledged logout was the last word
	stray bool   // refused: a login though nobody logs out, the rest though nobody logs in either
	by    string // the verb whose cookie, or removal of one, was received last
}

// names lists what is harmful.
func (h orderHarm) names() (names []string) {
	for name, done := range map[string]bool{"risen": h.risen, "lost": h.lost, "kept": h.kept, "stray": h.stray} {
		if done {
			names = append(names, name)
		}
	}
	return names
}

// beyond returns what h has and other has not.
func (h orderHarm) beyond(other orderHarm) orderHarm {
	h.risen = h.risen && !other.risen
	h.lost = h.lost && !other.lost
	h.kept = h.kept && !other.kept
	h.stray = h.stray && !other.stray
	return h
}

// run executes a schedule. Requests take turns at the nodes if there are two.
func (site *orderSite) run(s orderSchedule, nodes int) orderHarm {
	b := site.browser()
	var before session.Info
	if steps := orderStarts[site.start]; steps != nil {
		q := b.visit(steps...)
		require.Equal(site.t, http.StatusOK, q.code)
		before = q.info
	}
	site.wait(pastMinRotate)

	by := ""
	requests := make([]*orderRequest, len(s.verbs))
	for at, e := range s.events {
		if e.step == orderSend {
			verb := s.verbs[e.request]
			requests[e.request] = &orderRequest{verb: verb, steps: []visitStep{site.verbs[verb]}}
			b.send(e.request%nodes, requests[e.request])
			continue
		}
		q := requests[e.request]
		q.at[e.step] = at + 1
		if e.step != orderReceive {
			q.step()
			continue
		}
		if b.receive(q); len(q.cookies) > 0 {
			by = q.verb
		}
	}
	site.runs++

	now := b.visit(nothing)
	site.wait(session.DefaultGrace)
	later := b.visit(nothing)
	h := orderJudge(before, requests, now, later)
	h.by = by
	return h
}

// orderJudge compares what the visitor sees now, and after the grace, with what has
// been acknowledged. The last word is what the server did last.
func orderJudge(before session.Info, requests []*orderRequest, now, later *orderRequest) (h orderHarm) {
	lastLogin, lastLogout := -1, -1 // never
	if before.Owner != "" {
		lastLogin = 0
	}
	for _, q := range requests {
		if q.code != http.StatusOK {
			continue
		}
		switch q.verb {
		case "login":
			lastLogin = max(lastLogin, q.at[orderCommit])
		case "logout":
			lastLogout = max(lastLogout, q.at[orderAct]) // which ends it at once
			for _, seen := range []*orderRequest{now, later} {
				again := seen.info.ID == q.info.ID || q.info.ID == before.ID && seen.name != ""
				h.risen = h.risen || q.info.ID != "" && again
			}
		}
	}
	for _, q := range requests {
		quiet := lastLogout < 0 && (q.verb == "login" || lastLogin <= 0)
		h.stray = h.stray || quiet && q.code != http.StatusOK
	}
	h.lost = lastLogin > lastLogout && later.info.Owner == ""
	h.kept = lastLogout > lastLogin && (now.info.Owner != "" || later.info.Owner != "")
	return h
}

// harm is run, once for each schedule.
func (site *orderSite) harm(s orderSchedule, nodes int) orderHarm {
	id := string(rune('0'+nodes)) + " " + s.String()
	h, ok := site.known[id]
	if !ok {
		h = site.run(s, nodes)
		site.known[id] = h
	}
	return h
}
