package main

import (
	"context"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"strings"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
)

// Counter is how often this visitor has seen the page.
var Counter = session.Key[int]("counter")

// Farewell is shown once, after the counter has been reset.
var Farewell = session.Key[string]("farewell")

func newHandler(manager *session.Manager, cfg middleware.Config) (http.Handler, error) {
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
	n, err := visit(r.Context())
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

// visit counts a visit. It saves before it looks: while other requests count in the
// same session, what Update returns is not yet what will be stored.
func visit(ctx context.Context) (int, error) {
	if _, err := Counter.Update(ctx, func(n *int) error { *n++; return nil }); err != nil {
		return 0, err
	}
	if err := session.FromContext(ctx).Save(ctx); err != nil {
		return 0, err
	}
	return Counter.Get(ctx)
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
