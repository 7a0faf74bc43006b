package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// pollParent is how often to look whether the parent process is still there.
const pollParent = time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "mongostandin:", err)
		os.Exit(1)
	}
}

// run serves until ctx or the parent process has ended.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	flags := flag.NewFlagSet("mongostandin", flag.ContinueOnError)
	flags.SetOutput(log)
	dir := flags.String("dir", "", "existing `folder` for the data")
	listen := flags.String("listen", "127.0.0.1:0", "`address` to serve on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *dir == "" || flags.NArg() > 0 {
		return errors.New("want -dir DIR and no other arguments")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	l, err := new(net.ListenConfig).Listen(ctx, "tcp", *listen)
	if err != nil {
		return err
	}
	db, err := startDatabase(ctx, *dir, log)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	if _, err := fmt.Fprintf(out, "mongodb://%s/\n", l.Addr()); err != nil {
		return errors.Join(err, l.Close())
	}
	go endWithParent(ctx, cancel, os.Getppid, pollParent)
	err = newProxy(l, db.addr).serve(ctx)
	cancel()
	return errors.Join(err, db.wait())
}

// endWithParent calls end when the parent is another one than at first: whoever
// loses its parent is given one.
func endWithParent(ctx context.Context, end func(), parent func() int, every time.Duration) {
	first := parent()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if parent() != first {
				end()
				return
			}
		}
	}
}
