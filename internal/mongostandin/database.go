package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// endTime is how long the database may take to end.
const endTime = 10 * time.Second

var errRemains = errors.New("the database does not end")

// database is FerretDB within this process.
type database struct {
	addr  string // where it serves
	ended chan error
}

// startDatabase starts a database that ends with ctx.
func startDatabase(ctx context.Context, dir string, log io.Writer) (*database, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	// In memory it would hang on the first update.
	files := url.URL{Scheme: "file", Path: filepath.ToSlash(dir) + "/"}
	f, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Handler:   "sqlite",
		SQLiteURL: files.String(),
	})
	if err != nil {
		return nil, err
	}
	uri, err := url.Parse(f.MongoDBURI())
	if err != nil {
		return nil, err
	}
	d := &database{addr: uri.Host, ended: make(chan error, 1)}
	go func() { d.ended <- f.Run(ctx) }()
	return d, nil
}

// wait returns when the database has ended.
func (d *database) wait() error {
	timer := time.NewTimer(endTime)
	defer timer.Stop()
	select {
	case err := <-d.ended:
		return err
	case <-timer.C:
		return errRemains
	}
}
