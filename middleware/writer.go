package middleware

import (
	"bufio"
	"io"
	"maps"
	"net"
	"net/http"

	"github.com/typedsession/session"
)

// writer is the gate between a handler and the response: whatever would send the
// first byte first commits the session.
type writer struct {
	inner http.ResponseWriter
	mw    *Middleware
	s     *session.Session
	r     *http.Request // with the session
	found http.Header   // headers as they were; nil when there were none

	decided  bool  // committed, discarded or failed
	used     bool  // the session had been used by then
	failed   error // the commit's
	returned bool  // the handler and the commit did, without a panic
	vary     [1]string
}

// saved returns a copy of h, nil when it is empty.
func saved(h http.Header) http.Header {
	if len(h) == 0 {
		return nil
	}
	return h.Clone()
}

// decide opens the gate for a response with a status, once.
func (x *writer) decide(status int) error {
	if x.decided {
		return x.failed
	}
	x.decided = true
	ticket, err := x.ask(status)
	x.failed = err
	header := x.inner.Header()
	if x.failed != nil {
		clear(header)
		maps.Copy(header, x.found)
		header["Cache-Control"] = []string{"no-store"}
	}
	x.prepare(header, ticket)
	if x.failed != nil {
		answer := answerWriter{ResponseWriter: x.inner}
		x.mw.cfg.ErrorHandler(&answer, x.r, x.failed)
		if !answer.begun {
			x.inner.WriteHeader(Status(x.failed))
		}
	}
	return x.failed
}

// ask lets the manager commit or discard. A panic in there, out of a function
// given to Update, leaves the gate closed: the session then knows.
func (x *writer) ask(status int) (session.Ticket, error) {
	answered := false
	defer func() { x.decided = answered }()
	var ticket session.Ticket
	var err error
	if status >= http.StatusInternalServerError {
		ticket, err = x.mw.manager.Discard(x.r.Context(), x.s)
	} else {
		ticket, err = x.mw.manager.Commit(x.r.Context(), x.s)
	}
	answered = true
	return ticket, err
}

// answerWriter notices an error handler that answers nothing, which would be a
// success.
type answerWriter struct {
	http.ResponseWriter
	begun bool
}

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) {
	w.begun = w.begun || status >= http.StatusOK
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(p []byte) (int, error) {
	w.begun = true
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// prepare makes the headers fit what was done to the session.
func (x *writer) prepare(header http.Header, ticket session.Ticket) {
	x.used = x.s.Used()
	if !x.used {
		return
	}
	x.addVary(header)
	if makePrivate(header) {
		x.mw.cfg.Report(x.r, ErrPublic)
	}
	x.mw.cookie.write(header, ticket)
	if ticket.Action() == session.ActionSet {
		x.mw.plain.issued(x.mw, x.r)
	}
}

// end runs when the handler has returned or panicked.
func (x *writer) end(r *http.Request) {
	// What the handler's copy of the request has gained: the server removes the
	// files of an upload through the original.
	r.Form, r.PostForm, r.MultipartForm, r.Pattern = x.r.Form, x.r.PostForm, x.r.MultipartForm, x.r.Pattern
	ctx := x.r.Context()
	switch {
	case x.returned:
	case !x.decided:
		x.decided = true
		ticket, _ := x.mw.manager.Discard(ctx, x.s)
		x.prepare(x.inner.Header(), ticket) // for whoever answers the panic
	default:
		_, _ = x.mw.manager.Discard(ctx, x.s)
	}
	if err := x.mw.manager.Finish(ctx, x.s); err != nil {
		x.mw.cfg.Report(x.r, err)
	}
	if !x.used && x.s.Used() {
		x.mw.cfg.Report(x.r, ErrLateUse)
	}
}

// Header implements http.ResponseWriter. After a failed commit it is nobody's.
func (x *writer) Header() http.Header {
	if x.failed != nil {
		return http.Header{}
	}
	return x.inner.Header()
}

// WriteHeader implements http.ResponseWriter.
func (x *writer) WriteHeader(status int) {
	if status < http.StatusOK && status != http.StatusSwitchingProtocols { // more will follow
		if x.failed == nil {
			x.inner.WriteHeader(status)
		}
		return
	}
	if x.decide(status) == nil {
		x.inner.WriteHeader(status)
	}
}

// Write implements http.ResponseWriter.
func (x *writer) Write(p []byte) (int, error) {
	if err := x.decide(http.StatusOK); err != nil {
		return 0, err
	}
	return x.inner.Write(p)
}

// WriteString implements io.StringWriter.
func (x *writer) WriteString(s string) (int, error) {
	if err := x.decide(http.StatusOK); err != nil {
		return 0, err
	}
	return io.WriteString(x.inner, s)
}

// FlushError is what http.ResponseController calls.
func (x *writer) FlushError() error {
	if err := x.decide(http.StatusOK); err != nil {
		return err
	}
	return http.NewResponseController(x.inner).Flush()
}

// Unwrap gives http.ResponseController what does not start the response.
func (x *writer) Unwrap() http.ResponseWriter { return x.inner }

func (x *writer) flush() { _ = x.FlushError() }

func (x *writer) hijack() (net.Conn, *bufio.ReadWriter, error) {
	if err := x.decide(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
	return http.NewResponseController(x.inner).Hijack()
}

func (x *writer) readFrom(src io.Reader) (int64, error) {
	if err := x.decide(http.StatusOK); err != nil {
		return 0, err
	}
	return x.inner.(io.ReaderFrom).ReadFrom(src)
}

func (x *writer) push(target string, opts *http.PushOptions) error {
	return x.inner.(http.Pusher).Push(target, opts)
}
