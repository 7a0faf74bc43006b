package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

const (
	ownSwaps = 3  // that each writer makes of its own record
	shares   = 10 // one of so many writers counts in the shared record too
)

var sharedKey = store.Key{0xff, 1}

// writers lets n goroutines write at once: each a record of its own, some also
// one that they share. It returns the first error of each.
func writers(ctx context.Context, s *sqlstore.Store, first, n int) error {
	errs := make([]error, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			errs[i] = writer(ctx, s, first+i)
		})
	}
	close(start)
	wg.Wait()
	return errors.Join(errs...)
}

func writer(ctx context.Context, s *sqlstore.Store, n int) error {
	r := record(1, time.Hour)
	if err := s.Insert(ctx, key(n), r); err != nil {
		return err
	}
	for range ownSwaps {
		next := r
		next.Version++
		next.Data = fmt.Appendf(nil, "%d of %d", next.Version, n)
		if _, err := s.Swap(ctx, key(n), r.Version, next); err != nil {
			return err
		}
		r = next
	}
	if err := s.Touch(ctx, key(n), r.Version, time.Now().Add(2*time.Hour)); err != nil {
		return err
	}
	if n%shares != 0 {
		return nil
	}
	return increment(ctx, s, sharedKey)
}

// increment counts by compare-and-swap, on the record that a conflict returns.
func increment(ctx context.Context, s store.Store, k store.Key) error {
	cur, err := s.Load(ctx, k)
	for err == nil {
		next := cur
		next.Version = 1 + rand.Int64()>>1
		next.Data = binary.BigEndian.AppendUint64(nil, binary.BigEndian.Uint64(cur.Data)+1)
		cur, err = s.Swap(ctx, k, cur.Version, next)
		if err == nil {
			return nil
		}
		if errors.Is(err, store.ErrConflict) {
			err = nil
		}
	}
	return err
}

func insertShared(t *testing.T, s *sqlstore.Store) {
	t.Helper()
	r := record(1, time.Hour)
	r.Data = make([]byte, 8)
	require.NoError(t, s.Insert(t.Context(), sharedKey, r))
}

// requireWritten checks what n writers have left.
func requireWritten(t *testing.T, s *sqlstore.Store, n int) {
	t.Helper()
	shared, err := s.Load(t.Context(), sharedKey)
	require.NoError(t, err)
	require.EqualValues(t, n/shares, binary.BigEndian.Uint64(shared.Data), "lost increments")
	for i := range n {
		r, err := s.Load(t.Context(), key(i))
		require.NoError(t, err)
		require.EqualValues(t, 1+ownSwaps, r.Version)
		require.True(t, bytes.HasSuffix(r.Data, []byte(" of "+strconv.Itoa(i))))
	}
}

// No visitor may ever hear that the database is locked, whatever the DSN says.
func TestWriters(t *testing.T) {
	t.Parallel()
	long(t)
	for name, c := range map[string]struct {
		options string
		with    []sqlstore.Option
		n       int
	}{
		"bare":        {options: bare, n: 400},
		"recommended": {options: recommended, n: 400},
		"journal":     {options: bare, with: []sqlstore.Option{sqlstore.WithoutWAL()}, n: 100}, // waits for the disk
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := migrated(t, openSQLite(t, dsn(newPath(t), c.options)), c.with...)
			insertShared(t, s)
			// With a deadline, like a request, the store is as patient as that.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			require.NoError(t, writers(ctx, s, 0, c.n))
			requireWritten(t, s, c.n)
		})
	}
}

func TestWritersInProcesses(t *testing.T) {
	t.Parallel()
	const processes, each = 4, 100
	path := newPath(t)
	s := migrated(t, openSQLite(t, dsn(path, bare)))
	insertShared(t, s)
	together(t, processes, "write", func(i int) []string {
		return []string{dsn(path, bare), strconv.Itoa(i * each), strconv.Itoa(each)}
	})
	requireWritten(t, s, processes*each)
}

func writeRole(ctx context.Context, args []string, in *bufio.Reader, out io.Writer) error {
	s, err := storeOfRole(args[0])
	if err != nil {
		return err
	}
	first, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	if err := ready(in, out); err != nil {
		return err
	}
	return writers(ctx, s, first, n)
}
