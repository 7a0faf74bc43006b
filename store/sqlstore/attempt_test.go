package sqlstore_test

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

func record() store.Record {
	return store.Record{Data: []byte("data"), Version: 1, Expires: time.Now().Add(time.Hour)}
}

// What an error of a write says about its outcome.
func TestClasses(t *testing.T) {
	t.Parallel()
	const (
		refused = iota
		unknown
	)
	for name, c := range map[string]struct {
		err   error
		class int
	}{
		"full":                   {&modernc{13}, refused},
		"read-only":              {&modernc{8}, refused},
		"read-only, moved":       {&modernc{8 | 4<<8}, refused},
		"too big":                {&modernc{18}, refused},
		"not null":               {&modernc{19 | 5<<8}, refused},
		"a trigger":              {&modernc{19 | 7<<8}, unknown},
		"no file":                {&modernc{14}, refused},
		"wrapped":                {fmt.Errorf("a hook: %w", &modernc{13}), refused},
		"wrapped twice":          {errors.Join(errors.New("a"), fmt.Errorf("b: %w", &modernc{13})), refused},
		"disk":                   {&modernc{10}, unknown},
		"disk, fsync":            {&modernc{10 | 4<<8}, unknown},
		"corrupt":                {&modernc{11}, unknown},
		"no memory":              {&modernc{7}, unknown},
		"interrupted":            {&modernc{9}, unknown},
		"an error":               {&modernc{1}, unknown},
		"mattn, full":            {mattn{Code: 13, err: "database or disk is full"}, refused},
		"mattn, read-only":       {mattn{Code: 8, ExtendedCode: 8 | 4<<8}, refused},
		"mattn, a trigger":       {mattn{Code: 19, ExtendedCode: 19 | 7<<8}, unknown},
		"mattn, pointer":         {&mattn{Code: 13}, refused},
		"mattn, wrapped":         {fmt.Errorf("a hook: %w", mattn{Code: 13}), refused},
		"mattn, disk":            {mattn{Code: 10, err: "database or disk is full, they say"}, unknown},
		"text, full":             {errors.New("sqlite3: database or disk is full"), refused},
		"text, read-only":        {errors.New("attempt to write a readonly database"), refused},
		"text, something":        {errors.New("disk I/O error"), unknown},
		"a context of its own":   {context.DeadlineExceeded, unknown},
		"the connection is gone": {errors.New("EOF"), unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{answer: always(c.err)}
			s := onFake(t, f)
			err := s.Delete(t.Context(), store.Key{1})
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.class == refused, errors.Is(err, store.ErrRefused), "%v", err)
			require.Equal(t, 1, f.called(), "no write is repeated that may have taken effect")
			_, err = s.Load(t.Context(), store.Key{1})
			require.ErrorIs(t, err, c.err)
			require.NotErrorIs(t, err, store.ErrRefused, "a read is not refused")
			require.NotErrorIs(t, err, store.ErrNotFound)
		})
	}
}

var busyErrors = map[string]error{
	"modernc":                &modernc{5},
	"modernc, extended":      &modernc{5 | 2<<8},
	"modernc, locked":        &modernc{6},
	"modernc, shared":        &modernc{6 | 1<<8},
	"modernc, wrapped":       fmt.Errorf("a hook: %w", &modernc{5}),
	"mattn":                  mattn{Code: 5, err: "database is locked"},
	"mattn, extended":        mattn{Code: 5, ExtendedCode: 5 | 1<<8},
	"mattn, only extended":   mattn{ExtendedCode: 5 | 1<<8},
	"mattn, table is locked": mattn{Code: 6, ExtendedCode: 6},
	"text":                   errors.New("sqlite3: database is locked"),
	"text, table":            errors.New("database table is locked: sessions"),
}

func TestBusyIsRepeated(t *testing.T) {
	t.Parallel()
	for name, busy := range busyErrors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: func(_ context.Context, call int) (int64, error) {
					if call%100 != 0 {
						return 0, busy
					}
					return 1, nil
				}}
				s := onFake(t, f)
				require.NoError(t, s.Insert(t.Context(), store.Key{1}, record()))
				require.Equal(t, 100, f.called())
				_, err := s.Load(t.Context(), store.Key{1})
				require.ErrorIs(t, err, store.ErrNotFound)
				require.Equal(t, 200, f.called())
			})
		})
	}
}

// Without a deadline there is a bound, and then it is known that nothing was
// written.
func TestBusyForGood(t *testing.T) {
	t.Parallel()
	for name, busy := range busyErrors {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &fake{answer: always(busy)}
				s := onFake(t, f)
				begun := time.Now()
				err := s.Insert(t.Context(), store.Key{1}, record())
				require.ErrorIs(t, err, store.ErrRefused)
				require.ErrorIs(t, err, busy)
				require.InDelta(t, 10, time.Since(begun).Seconds(), 0.1)
				require.Greater(t, f.called(), 300, "attempts are 16 ms apart on average")

				begun = time.Now()
				_, err = s.Load(t.Context(), store.Key{1})
				require.ErrorIs(t, err, busy)
				require.NotErrorIs(t, err, store.ErrRefused)
				require.NotErrorIs(t, err, store.ErrNotFound)
				require.InDelta(t, 10, time.Since(begun).Seconds(), 0.1)
			})
		})
	}
}

// A deadline takes the place of the bound, whether it is earlier or later.
func TestBusyUntilTheContextEnds(t *testing.T) {
	t.Parallel()
	for _, wait := range []time.Duration{time.Second, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			s := onFake(t, &fake{answer: always(&modernc{5})})
			ctx, cancel := context.WithTimeout(t.Context(), wait)
			defer cancel()
			begun := time.Now()
			err := s.Insert(ctx, store.Key{1}, record())
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotErrorIs(t, err, store.ErrRefused)
			require.ErrorContains(t, err, "something happened", "what it waited for")
			require.Equal(t, wait, time.Since(begun))
		})
	}
}

// Those who have queued up behind a lock that stays do not wait ten seconds each.
func TestQueueBehindALock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := onFake(t, &fake{answer: always(&modernc{5})})
		begun := time.Now()
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				err := s.Delete(t.Context(), store.Key{byte(i)})
				if !errors.Is(err, store.ErrRefused) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.InDelta(t, 10, time.Since(begun).Seconds(), 2)
	})
}

// Writers of one store take turns, in the order in which they came; readers do
// not wait for them, and an ended context leaves the queue.
func TestOneWriterAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 20
		gate := make(chan struct{})
		reads := false
		f := &fake{}
		f.answer = func(context.Context, int) (int64, error) {
			if !reads {
				gate <- struct{}{}
			}
			return 1, nil
		}
		s := onFake(t, f)
		var order []int
		var mu sync.Mutex
		for i := range n {
			go func() {
				if err := s.Delete(t.Context(), store.Key{}); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			}()
			synctest.Wait()
		}
		require.Equal(t, 1, f.called())
		canceled, cancel := context.WithCancel(t.Context())
		left := make(chan error, 1)
		go func() { left <- s.Delete(canceled, store.Key{}) }()
		synctest.Wait()
		cancel()
		err := <-left
		require.ErrorIs(t, err, context.Canceled)
		require.NotErrorIs(t, err, store.ErrRefused)

		reads = true
		_, err = s.Load(t.Context(), store.Key{})
		require.ErrorIs(t, err, store.ErrNotFound)
		reads = false

		for i := range n {
			<-gate
			synctest.Wait()
			mu.Lock()
			require.Len(t, order, i+1)
			require.Equal(t, i, order[i])
			mu.Unlock()
		}
	})
}

func TestOutcomeOfTheCountIsUnknown(t *testing.T) {
	t.Parallel()
	f := &fake{answer: always(nil), count: func() (int64, error) { return 0, errors.New("no count") }}
	s := onFake(t, f)
	_, err := s.Swap(t.Context(), store.Key{1}, 1, record())
	require.ErrorContains(t, err, "no count")
	for _, answer := range []error{store.ErrRefused, store.ErrConflict, store.ErrNotFound, store.ErrExists} {
		require.NotErrorIs(t, err, answer)
	}
	require.Equal(t, 1, f.called())
}

// A statement that could not be prepared has not been run.
func TestUnpreparedIsRefused(t *testing.T) {
	t.Parallel()
	cause := errors.New("no such table")
	fails := true
	f := &fake{answer: func(context.Context, int) (int64, error) { return 1, nil }, prepare: func() error {
		if fails {
			return cause
		}
		return nil
	}}
	s := onFake(t, f)
	err := s.Insert(t.Context(), store.Key{1}, record())
	require.ErrorIs(t, err, store.ErrRefused)
	require.ErrorIs(t, err, cause)
	require.Zero(t, f.called())
	_, err = s.Load(t.Context(), store.Key{1})
	require.ErrorIs(t, err, cause)
	require.NotErrorIs(t, err, store.ErrRefused)
	fails = false
	require.NoError(t, s.Insert(t.Context(), store.Key{1}, record()), "it is tried again")
}

// The statement fails while its context ends, as drivers make it do.
func TestContextEndsInTheDriver(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]error{
		"context": context.Canceled, "interrupted": &modernc{9}, "full": &modernc{13}, "bad connection": driver.ErrBadConn,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := onFake(t, &fake{answer: func(context.Context, int) (int64, error) {
				cancel()
				return 0, fail
			}})
			requireCanceled(t, s.Delete(ctx, store.Key{1}))
		})
	}
	t.Run("while it is prepared", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		s := onFake(t, &fake{prepare: func() error {
			cancel()
			return ctx.Err()
		}})
		requireCanceled(t, s.Delete(ctx, store.Key{1}))
	})
}

func requireCanceled(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, context.Canceled)
	for _, answer := range []error{store.ErrRefused, store.ErrConflict, store.ErrNotFound, store.ErrExists} {
		require.NotErrorIs(t, err, answer)
	}
}

// What was done before an error is counted, and then it is not true that nothing
// has changed.
func TestCountsWithAnError(t *testing.T) {
	t.Parallel()
	full := &modernc{13}
	s := onFake(t, &fake{row: true, answer: func(_ context.Context, call int) (int64, error) {
		if call < 6 { // every other one looks whether there are more
			return 100, nil
		}
		return 0, full
	}})
	n, err := s.DeleteExpired(t.Context(), 1000)
	require.ErrorIs(t, err, full)
	require.NotErrorIs(t, err, store.ErrRefused)
	require.EqualValues(t, 200, n)
}

// Each connection has a statement prepared once, also when many begin at once.
func TestPreparedOnce(t *testing.T) {
	t.Parallel()
	const readers, idle = 20, 2 // database/sql keeps two connections
	synctest.Test(t, func(t *testing.T) {
		f := &fake{answer: always(nil), prepare: func() error {
			time.Sleep(time.Second) // until all have begun
			return nil
		}}
		s := onFake(t, f)
		load := func() {
			if _, err := s.Load(t.Context(), store.Key{}); !errors.Is(err, store.ErrNotFound) {
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for range readers {
			wg.Go(load)
		}
		wg.Wait()
		for range readers {
			load()
		}
		require.Equal(t, 2*readers, f.called())
		require.LessOrEqual(t, f.open.Load(), int64(idle), "statements are left over")
		before := f.prepared.Load()
		load()
		require.Equal(t, before, f.prepared.Load())
	})
}
