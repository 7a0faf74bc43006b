// Live streams to each window of a visitor, with server-sent events, for as long as
// the visitor is logged in: logging out in one window ends the stream of the other.
//
//	go run ./examples/live
//
// Open http://localhost:8082/ in two windows, log in, and log out in one of them.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

func main() {
	addr := flag.String("addr", "localhost:8082", "where to listen; port 0 takes a free one")
	insecure := flag.Bool("insecure", false, "for browsers that refuse secure cookies on plain http://localhost, such as Safari")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, middleware.Config{Insecure: *insecure}); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, addr string, cfg middleware.Config) error {
	handler, err := newHandler(cfg)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr localhost:0)", err)
	}
	host, _, _ := net.SplitHostPort(addr)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	fmt.Printf("Listening on http://%s/, stop with Ctrl-C\n", net.JoinHostPort(host, port))
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx }, // streams end with the program
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(wait)
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

func newHandler(cfg middleware.Config) (http.Handler, error) {
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		return nil, err
	}
	sessions, err := middleware.New(manager, cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", show)
	mux.HandleFunc("GET /stream", stream)
	mux.HandleFunc("POST /login", login)
	mux.HandleFunc("POST /logout", logout)
	return sessions.Handler(http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, 1<<16))), nil
}

func show(w http.ResponseWriter, r *http.Request) {
	info, err := session.FromContext(r.Context()).Info(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, info); err != nil {
		log.Print(err)
	}
}

// login believes everybody: this is about what comes after.
func login(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimSpace(r.FormValue("name"))
	if name == "" || len(name) > 60 || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
		http.Error(w, "a name of up to 60 letters, please", http.StatusUnprocessableEntity)
		return
	}
	if err := session.FromContext(r.Context()).Login(r.Context(), name); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func logout(w http.ResponseWriter, r *http.Request) {
	if err := session.FromContext(r.Context()).Destroy(r.Context()); err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

// stream sends the time every second, until the client goes away or the session is
// over.
func stream(w http.ResponseWriter, r *http.Request) {
	s := session.FromContext(r.Context())
	info, err := s.Info(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	if info.Owner == "" {
		w.WriteHeader(http.StatusNoContent) // tells the browser not to come again
		return
	}
	ctx, cancel := s.WithDone(r.Context())
	defer cancel()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	response := http.NewResponseController(w)
	send := func(event, data string) error {
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, data); err != nil {
			return err
		}
		return response.Flush()
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for now := time.Now(); ; {
		if err := send("time", now.Format(time.TimeOnly)); err != nil {
			return // the client has gone away, or the session could not be saved
		}
		select {
		case now = <-tick.C:
		case <-ctx.Done():
			if r.Context().Err() == nil {
				_ = send("over", "logged out")
			}
			return
		}
	}
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	status := middleware.Status(err)
	http.Error(w, http.StatusText(status), status)
}

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))
