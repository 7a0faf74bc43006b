// Quickstart is the program of the README: a page that counts its visits.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

var Visits = session.Key[int]("visits") // a typed key: the compiler knows what is in it

func main() {
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := middleware.New(manager, middleware.Config{})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		n, err := Visits.Update(r.Context(), func(n *int) error { *n++; return nil })
		if err != nil {
			http.Error(w, "try again later", http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, n)
	})
	log.Fatal(http.ListenAndServe("localhost:8080", sessions.Handler(http.DefaultServeMux)))
}
