// Counter is a web page that counts its visits, one count per visitor:
//
//	go run ./examples/counter
//	curl -c jar -b jar http://localhost:8080/
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html/template"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

// Counter is how often this visitor has seen the page.
var Counter = session.Key[int]("counter")

// Farewell is shown once, after the counter has been reset.
var Farewell = session.Key[string]("farewell")

func main() {
	addr := flag.String("addr", "localhost:8080", "where to listen; port 0 takes a free one")
	insecure := flag.Bool("insecure", false, "for browsers that refuse secure cookies on plain http://localhost, such as Safari")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, middleware.Config{Insecure: *insecure}); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and prints its URL once it does.
func run(ctx context.Context, out io.Writer, addr string, cfg middleware.Config) error {
	handler, err := newHandler(cfg)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("%w (another address: -addr localhost:0)", err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- server.Shutdown(wait)
	}()
	fmt.Fprintf(out, "Listening on %s, stop with Ctrl-C\n", url(addr, l.Addr()))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// url keeps the host as it was given: a session belongs to one host name.
func url(given string, bound net.Addr) string {
	host, _, _ := net.SplitHostPort(given)
	_, port, _ := net.SplitHostPort(bound.String())
	if host == "" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
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
	mux.HandleFunc("GET /{$}", count)
	mux.HandleFunc("POST /reset", reset)
	return sessions.Handler(http.NewCrossOriginProtection().Handler(mux)), nil
}

func count(w http.ResponseWriter, r *http.Request) {
	n, err := Counter.Update(r.Context(), func(n *int) error { *n++; return nil })
	if err != nil {
		fail(w, err)
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") { // curl
		fmt.Fprintln(w, n)
		return
	}
	farewell, _, err := Farewell.Take(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := page.Execute(w, map[string]any{"Visits": n, "Farewell": farewell}); err != nil {
		log.Print(err)
	}
}

// reset ends the session; the message goes into a new one.
func reset(w http.ResponseWriter, r *http.Request) {
	err := session.FromContext(r.Context()).Destroy(r.Context())
	if err == nil {
		err = Farewell.Set(r.Context(), "The counter has been reset.")
	}
	if err != nil {
		fail(w, err)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func fail(w http.ResponseWriter, err error) {
	log.Print(err)
	status := middleware.Status(err)
	http.Error(w, http.StatusText(status), status)
}

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Counter</title>
<style>
  body { font: 1.2rem/1.5 system-ui, sans-serif; margin: 15vh auto; max-width: 30rem; padding: 0 1rem; text-align: center }
  output { display: block; font-size: 6rem; line-height: 1.2 }
</style>
{{with .Farewell}}<p role="status">{{.}}</p>{{end}}
<p>Visits in this session: <output id="visits">{{.Visits}}</output></p>
<form method="post" action="/reset"><button>Reset</button></form>
`))
