package main

import (
	"context"
	"net/http"
	"strconv"
)

type handlerFunc = func(w http.ResponseWriter, r *http.Request)

// app is a program built with one of the peers: its middleware with an empty
// store, and handlers as the peer's documentation writes them.
type app interface {
	cookie() string // name of the session cookie
	middleware(next http.Handler) http.Handler

	read(key string) handlerFunc // answers with an int
	add(key string) handlerFunc  // adds one to an int and answers with it
	login() handlerFunc          // adds one to the LoginCount of "user" and answers with it
	create() handlerFunc         // sets the int "n" to 1

	// What fills sessions and looks into them, outside of the measurement. get
	// returns a value of the type of like.
	put(ctx context.Context, name string, v any) error
	get(ctx context.Context, name string, like any) (any, error)
	names(ctx context.Context) ([]string, error)
}

// peer makes programs of one kind.
type peer struct {
	name string
	new  func(at place) (app, error)
}

// peers are this library and the other one.
var peers = [2]peer{
	{"session", newSessionApp},
	{"scs", newSCSApp},
}

// stores are this library behind a near cache, and with sessions in memory.
var stores = [2]peer{
	{"near cache", newCachedApp},
	{"memory", newMemoryApp},
}

// numbers are prepared, so that no handler pays for formatting its answer.
var numbers = func() (t [1024][]byte) {
	for i := range t {
		t[i] = strconv.AppendInt(nil, int64(i), 10)
	}
	return t
}()

var okay = []byte("ok")

func answer(n int) []byte { return numbers[n&(len(numbers)-1)] }

// untouched is a handler that has nothing to do with sessions.
func untouched(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(okay) }
