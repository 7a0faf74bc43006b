package integration_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
)

// faultGrace is short, so that credentials pass it while a load runs.
const faultGrace = 300 * time.Millisecond

// faultGone is what a page says to who has no session. It makes none.
const faultGone = "gone"

// faultPages are what the program of a load serves, by path. The program may be a
// process of its own.
var faultPages = map[string]func(ctx context.Context, arg string) (string, error){
	"/begin": func(ctx context.Context, _ string) (string, error) {
		if err := errors.Join(counter.Set(ctx, 0), note.Set(ctx, "0")); err != nil {
			return "", err
		}
		if err := session.FromContext(ctx).Save(ctx); err != nil {
			return "", err
		}
		return readID(ctx)
	},
	"/count": func(ctx context.Context, _ string) (string, error) { return countUp(ctx) },
	"/save": func(ctx context.Context, _ string) (string, error) {
		return both(func(ctx context.Context) (string, error) {
			_, err := countUp(ctx)
			return "", errors.Join(err, session.FromContext(ctx).Save(ctx))
		}, readCount)(ctx)
	},
	"/write": func(ctx context.Context, arg string) (string, error) { return writeNote(arg)(ctx) },
	"/read": func(ctx context.Context, _ string) (string, error) {
		info, err := session.FromContext(ctx).Info(ctx)
		n, err2 := counter.Get(ctx)
		text, err3 := note.Get(ctx)
		return fmt.Sprintf("%s|%d|%s", info.Owner, n, text), errors.Join(err, err2, err3)
	},
	"/rotate":  func(ctx context.Context, _ string) (string, error) { return rotate(ctx) },
	"/login":   func(ctx context.Context, arg string) (string, error) { return logIn(arg)(ctx) },
	"/elevate": func(ctx context.Context, _ string) (string, error) { return "", session.FromContext(ctx).Elevate(ctx) },
	"/logout":  func(ctx context.Context, _ string) (string, error) { return logOut(ctx) },
}

// faultNothing is what a page reads where a session is, but not for the credential.
const faultNothing = "|0|"

const outcomeHeader = "X-Outcome"

// fate says what an error tells about the changes of a request.
type fate string

const (
	fateDone       fate = "done"
	fateUnknown    fate = "unknown"    // they are stored or not, or will be
	fateNothing    fate = "nothing"    // they are not stored
	fateUndeleted  fate = "undeleted"  // as unknown, for a logout
	fateUnread     fate = "unread"     // as nothing; but a login is stored, and its session deleted or not
	fateDestroyed  fate = "destroyed"  // not stored, for the session has ended
	fateSuperseded fate = "superseded" // not stored, for somebody has logged in
	fateOdd        fate = "odd"        // there should be no such answer
)

// fateOf is asked about the commit, or about what the page itself met.
func fateOf(err error, committing bool) fate {
	failure, ok := errors.AsType[*session.StoreError](err)
	switch {
	case errors.Is(err, session.ErrUnknown):
		return fateUnknown
	case errors.Is(err, session.ErrDestroyed):
		return fateDestroyed
	case errors.Is(err, session.ErrSuperseded):
		return fateSuperseded
	case errors.Is(err, session.ErrContention), errors.Is(err, store.ErrRefused):
		return fateNothing
	case ok && failure.Op == "delete":
		return fateUndeleted
	case ok && failure.Op == "load" && committing:
		return fateUnread // see decision 0010
	case ok, errors.Is(err, context.DeadlineExceeded):
		return fateNothing // and a swap whose outcome is not known is ErrUnknown
	}
	return fateOdd
}

// faultHandler serves the pages with sessions in st.
func faultHandler(st store.Store) (http.Handler, error) {
	m, err := session.NewManager(session.Config{Store: st, Timeout: faultContext, Grace: faultGrace, MinRotate: faultGrace})
	if err != nil {
		return nil, err
	}
	fail := func(w http.ResponseWriter, err error, committing bool) {
		w.Header().Set(outcomeHeader, string(fateOf(err, committing)))
		http.Error(w, err.Error(), middleware.Status(err))
	}
	mw, err := middleware.New(m, middleware.Config{
		Insecure: true, Report: func(*http.Request, error) {},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) { fail(w, err, true) },
	})
	if err != nil {
		return nil, err
	}
	return mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), faultContext)
		defer cancel()
		text, err := faultPage(ctx, r.URL.Path, r.URL.Query().Get("arg"))
		if err != nil {
			fail(w, err, false)
			return
		}
		_, _ = io.WriteString(w, text)
	})), nil
}

func faultPage(ctx context.Context, path, arg string) (string, error) {
	info, err := session.FromContext(ctx).Info(ctx)
	if err != nil {
		return "", err
	}
	if info.New && path != "/begin" {
		return faultGone, nil
	}
	return faultPages[path](ctx, arg)
}

// faultNode is where a program of a load is: it may go away and come back.
type faultNode struct {
	mu  sync.Mutex
	url string
}

func (n *faultNode) at() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.url
}

func (n *faultNode) move(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.url = "http://" + addr
}

// newFaultNode serves in this process, until the test ends.
func newFaultNode(t testing.TB, st store.Store) *faultNode {
	t.Helper()
	h, err := faultHandler(st)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &faultNode{url: server.URL}
}

// faultAnswer is what a node has said, or not: then the outcome is unknown.
type faultAnswer struct {
	outcome    fate
	text       string
	credential string // a cookie that was sent
	removed    bool   // or taken back
	err        error  // of the connection to the node
}

func (a *faultAnswer) String() string { return fmt.Sprintf("%s %q %v", a.outcome, a.text, a.err) }

// number is the text of a page that is one.
func (a *faultAnswer) number() (int, error) { return strconv.Atoi(a.text) }

// ask sends a request with a credential.
func ask(ctx context.Context, c *http.Client, n *faultNode, path, arg, credential string) faultAnswer {
	a := faultAnswer{outcome: fateUnknown}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.at()+path+"?arg="+arg, nil)
	if err != nil {
		return faultAnswer{outcome: fateOdd, err: err}
	}
	if credential != "" {
		req.AddCookie(&http.Cookie{Name: "id", Value: credential})
	}
	resp, err := c.Do(req)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return faultAnswer{outcome: fateNothing, err: err}
	}
	if err != nil {
		a.err = err
		return a
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if a.err = err; err != nil {
		return a
	}
	a.outcome, a.text = fate(resp.Header.Get(outcomeHeader)), strings.TrimSpace(string(text))
	if a.outcome == "" {
		a.outcome = fateDone
	}
	if (a.outcome == fateDone) != (resp.StatusCode == http.StatusOK) {
		a.outcome = fateOdd
	}
	for _, c := range resp.Cookies() {
		a.credential, a.removed = c.Value, c.MaxAge < 0
	}
	if a.outcome != fateDone && (a.credential != "" || a.removed) {
		a.outcome = fateOdd // an error does not change the visitor's cookie
	}
	return a
}
