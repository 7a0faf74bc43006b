// Counter is a web page that counts its visits, one count per visitor. Sessions
// are kept in a file, so the counts survive a restart:
//
//	go run ./examples/counter
//	curl -c jar -b jar http://localhost:8080/
//
// Any number of counters may share a database, each a node of one site:
//
//	go run ./examples/counter -store postgres -dsn postgres://web@localhost/shop
//	go run ./examples/counter -store mysql -dsn 'web@tcp(localhost)/shop'
//	go run ./examples/counter -store redis -dsn redis://localhost:6379
//	go run ./examples/counter -store mongo -dsn mongodb://localhost
//
// The environment variable COUNTER_DSN stands for -dsn, out of sight of other
// users of the machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
)

type options struct {
	addr     string
	store    string // a key of stores
	file     string // of sqlite
	dsn      string // of what is behind a network
	cache    time.Duration
	insecure bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8080", "where to listen; port 0 takes a free one")
	flag.StringVar(&o.store, "store", "sqlite", "where sessions are kept: "+storeNames())
	flag.StringVar(&o.file, "file", "counter.db", "the file of -store sqlite")
	flag.StringVar(&o.dsn, "dsn", os.Getenv("COUNTER_DSN"), "the database of the other stores, as its driver names it (default $COUNTER_DSN)")
	flag.DurationVar(&o.cache, "cache", 0, "how old a session may be that this node keeps in memory, in front of the store; 0 keeps none")
	flag.BoolVar(&o.insecure, "insecure", false, "for browsers that refuse secure cookies on plain http://localhost, such as Safari")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, o); err != nil {
		log.Fatal(err)
	}
}

// run serves until ctx ends, and prints its URL once it does.
func run(ctx context.Context, out io.Writer, o options) (err error) {
	sessions, closeStore, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	manager, err := session.NewManager(session.Config{Store: sessions})
	if err != nil {
		return err
	}
	sweeping, stopSweeping := context.WithCancel(ctx)
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		_ = manager.RunSweeper(sweeping, 10*time.Minute) // ends with its context
	}()
	defer func() { stopSweeping(); <-swept }() // before the store is closed
	handler, err := newHandler(manager, middleware.Config{Insecure: o.insecure})
	if err != nil {
		return err
	}
	return serve(ctx, out, o.addr, handler)
}

func serve(ctx context.Context, out io.Writer, addr string, handler http.Handler) error {
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
	fmt.Fprintf(out, "Listening on %s, stop with Ctrl-C\n", pageURL(addr, l.Addr()))
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// pageURL keeps the host as it was given: a session belongs to one host name.
func pageURL(given string, bound net.Addr) string {
	host, _, _ := net.SplitHostPort(given)
	_, port, _ := net.SplitHostPort(bound.String())
	if host == "" {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/"
}
