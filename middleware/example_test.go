package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

var visits = session.Key[int]("visits")

func Example() {
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		panic(err)
	}
	sessions, err := middleware.New(manager, middleware.Config{})
	if err != nil {
		panic(err)
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		n, err := visits.Update(r.Context(), func(n *int) error { *n++; return nil })
		if err != nil {
			http.Error(w, "the session is not available", middleware.Status(err))
			return
		}
		_, _ = fmt.Fprintf(w, "visit %d\n", n)
	})

	// The cookie is for HTTPS only, so a test server needs TLS.
	srv := httptest.NewTLSServer(sessions.Handler(mux))
	defer srv.Close()
	browser := srv.Client()
	browser.Jar, _ = cookiejar.New(nil)
	for range 3 {
		res, err := browser.Get(srv.URL)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		fmt.Print(string(body))
	}
	// Output:
	// visit 1
	// visit 2
	// visit 3
}

// fullStore has no room for another session.
type fullStore struct{ *memory.Store }

func (fullStore) Insert(context.Context, store.Key, store.Record) error {
	return errors.New("no space left")
}

// An error page of one's own. It takes the place of whatever the handler wrote.
func ExampleConfig_errorHandler() {
	manager, err := session.NewManager(session.Config{Store: fullStore{memory.New()}})
	if err != nil {
		panic(err)
	}
	sessions, err := middleware.New(manager, middleware.Config{
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			w.WriteHeader(middleware.Status(err))
			_, _ = fmt.Fprintln(w, "Nothing was saved, please try again.")
		},
	})
	if err != nil {
		panic(err)
	}
	handler := sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := visits.Set(r.Context(), 1); err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintln(w, "Saved!")
	}))

	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	fmt.Print(answer.Code, " ", answer.Body)
	// Output:
	// 503 Nothing was saved, please try again.
}

func ExampleStatus() {
	fmt.Println(middleware.Status(&session.ConflictError{Keys: []string{"cart"}}))
	fmt.Println(middleware.Status(fmt.Errorf("checkout: %w", session.ErrDestroyed)))
	fmt.Println(middleware.Status(session.ErrContention))
	fmt.Println(middleware.Status(session.ErrUnknown))
	// Output:
	// 409
	// 409
	// 503
	// 500
}
