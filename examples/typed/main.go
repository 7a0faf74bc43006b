// Typed shows a session that is a struct: a guest with an id, page views and two
// times, and a form whose rules are those of the session's type.
//
//	go run ./examples/typed
//
// Sessions are in memory; examples/counter keeps them in a file.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"html/template"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

func main() {
	addr := flag.String("addr", "localhost:8081", "where to listen; port 0 takes a free one")
	insecure := flag.Bool("insecure", false, "for browsers that refuse secure cookies on plain http://localhost, such as Safari")
	flag.Parse()
	handler, err := newHandler(middleware.Config{Insecure: *insecure})
	if err != nil {
		log.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", *addr)
	if err != nil {
		log.Fatalf("%v (another address: -addr localhost:0)", err)
	}
	host, _, _ := net.SplitHostPort(*addr)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	fmt.Printf("Listening on http://%s/, stop with Ctrl-C\n", net.JoinHostPort(host, port))
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.Serve(l))
}

func newHandler(cfg middleware.Config) (http.Handler, error) {
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		return nil, err // a misspelled rule of Visit or Profile would be reported here
	}
	sessions, err := middleware.New(manager, cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", show)
	mux.HandleFunc("POST /{$}", submit)
	return sessions.Handler(http.NewCrossOriginProtection().Handler(http.MaxBytesHandler(mux, 1<<16))), nil
}

func show(w http.ResponseWriter, r *http.Request) {
	p, err := Member.Get(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	respond(w, r, http.StatusOK, formOf(p))
}

func submit(w http.ResponseWriter, r *http.Request) {
	switch f, err := save(r); {
	case err != nil:
		fail(w, err)
	case len(f.Problems) > 0:
		respond(w, r, http.StatusUnprocessableEntity, f)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

func respond(w http.ResponseWriter, r *http.Request, status int, f form) {
	v, err := seen(r.Context(), rand.Text(), time.Now().UTC().Truncate(time.Second))
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := page.Execute(w, map[string]any{"Visit": v, "Form": f}); err != nil {
		log.Print(err)
	}
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
<title>Typed session</title>
<style>
  body { font: 1.1rem/1.5 system-ui, sans-serif; margin: 10vh auto; max-width: 32rem; padding: 0 1rem }
  h1 { overflow-wrap: anywhere } dt { font-weight: bold } label { display: block; margin: .8rem 0 } input { display: block; font: inherit; width: 100% }
  .problem { color: #b00020 }
</style>
<h1>Guest {{.Visit.ID}}</h1>
<dl>
  <dt>Page views</dt><dd id="pageviews">{{.Visit.Pageviews}}</dd>
  <dt>First seen</dt><dd id="first-seen">{{.Visit.FirstSeen.Format "2006-01-02T15:04:05Z07:00"}}</dd>
  <dt>Last seen</dt><dd id="last-seen">{{.Visit.LastSeen.Format "2006-01-02T15:04:05Z07:00"}}</dd>
</dl>
<form method="post">
  <label>Name <input name="name" value="{{.Form.Name}}">{{with .Form.Problems.name}}<span class="problem">{{.}}</span>{{end}}</label>
  <label>Email <input name="email" value="{{.Form.Email}}">{{with .Form.Problems.email}}<span class="problem">{{.}}</span>{{end}}</label>
  <label>Age <input name="age" value="{{.Form.Age}}">{{with .Form.Problems.age}}<span class="problem">{{.}}</span>{{end}}</label>
  <button>Save</button>
</form>
`))
