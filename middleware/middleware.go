// Package middleware puts sessions behind net/http handlers, and behind every
// router that takes a func(http.Handler) http.Handler.
//
//	manager, err := session.NewManager(session.Config{Store: memory.New()})
//	...
//	sessions, err := middleware.New(manager, middleware.Config{})
//	...
//	http.ListenAndServe("localhost:8080", sessions.Handler(mux))
//
// The session is committed before the first byte of the response. When that
// fails the handler's output is not sent and Config.ErrorHandler answers. A
// response with a status of 500 and above, or a panic, drops the changes.
package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/typedsession/session"
)

// Middleware gives each request of its handlers the session of its visitor. It is
// safe for concurrent use; the zero Middleware is not usable.
type Middleware struct {
	manager *session.Manager
	cfg     Config
	cookie  cookie
	plain   plainWatch
}

// New returns a middleware, or a *[session.ConfigError] with every problem of
// cfg. One manager may serve several middlewares only if they use one cookie.
func New(m *session.Manager, cfg Config) (*Middleware, error) {
	problems := cfg.complete()
	if m == nil {
		problems = append(problems, errors.New("the manager is nil"))
	}
	if len(problems) > 0 {
		return nil, &session.ConfigError{Problems: problems}
	}
	mw := &Middleware{manager: m, cfg: cfg, cookie: newCookie(&cfg)}
	if mw.cfg.ErrorHandler == nil {
		mw.cfg.ErrorHandler = mw.answer
	}
	if mw.cfg.Report == nil {
		mw.cfg.Report = mw.log
	}
	return mw, nil
}

// Handler returns next behind the session. Mounted twice on one request with one
// manager, the inner one does nothing.
//
// The writer that next gets implements http.Flusher, http.Hijacker, io.ReaderFrom
// and http.Pusher if the writer beneath does, and works with
// [http.ResponseController]. After [http.Hijacker].Hijack the cookie of a new or
// rotated session is in the writer's headers, for next to send.
func (mw *Middleware) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := mw.manager.Session(r.Context()); ok {
			next.ServeHTTP(w, r)
			return
		}
		var buf [2]string
		credentials := mw.cookie.values(r.Header, buf[:0])
		if len(credentials) > 0 {
			mw.plain.cameBack()
		}
		s := mw.manager.Open(session.Opening{
			Credentials: credentials,
			Fresh:       r.Method != http.MethodGet && r.Method != http.MethodHead,
		})
		x := &writer{inner: w, mw: mw, s: s, found: saved(w.Header())}
		x.r = r.WithContext(session.NewContext(r.Context(), s))
		defer x.end(r)
		next.ServeHTTP(x.withInterfaces(), x.r)
		_ = x.decide(http.StatusOK) // answered there
		x.returned = true
	})
}

// Status returns the status that suits an error of a commit: 409 for what another
// request brought about, 503 for what may work when repeated, 500 otherwise.
func Status(err error) int {
	var (
		conflict *session.ConflictError
		replay   *session.ReplayError
		failure  *session.StoreError
	)
	switch {
	case errors.As(err, &conflict), errors.As(err, &replay),
		errors.Is(err, session.ErrDestroyed), errors.Is(err, session.ErrSuperseded):
		return http.StatusConflict
	case errors.Is(err, session.ErrUnknown): // repeating could do it twice
		return http.StatusInternalServerError
	case errors.Is(err, session.ErrContention), errors.As(err, &failure):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// answer is the default error handler.
func (mw *Middleware) answer(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	level := slog.LevelError
	if status == http.StatusConflict {
		level = slog.LevelInfo
	}
	mw.cfg.Logger.Log(r.Context(), level, "session not committed", "method", r.Method, "path", r.URL.Path, "status", status, "error", err)
	http.Error(w, http.StatusText(status), status)
}

// log is the default report.
func (mw *Middleware) log(r *http.Request, err error) {
	mw.cfg.Logger.WarnContext(context.WithoutCancel(r.Context()), "problem with a session", "method", r.Method, "path", r.URL.Path, "error", err)
}
