package session

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The context of a commit replaces one of package context, so it is held to the
// contract of that package. A store sees it; no verb returns it.

type detachKey struct{}

func newDetached(parent context.Context) *detached {
	return detach(parent, &Manager{cfg: Config{Timeout: time.Minute}})
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestDetachedOutlivesItsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithTimeout(context.WithValue(t.Context(), detachKey{}, "v"), time.Second)
		d := newDetached(parent)
		defer d.end(context.Canceled)
		cancel()
		time.Sleep(2 * time.Second)
		require.NoError(t, d.Err())
		require.False(t, isClosed(d.Done()))
		require.Equal(t, "v", d.Value(detachKey{}))
		require.Nil(t, d.Value("another"))
		deadline, ok := d.Deadline()
		require.True(t, ok)
		require.Equal(t, 58*time.Second, time.Until(deadline))
		require.NoError(t, context.Cause(d), "the end of the parent is not the cause of anything")
	})
}

func TestDetachedEndsAtItsDeadline(t *testing.T) {
	t.Parallel()
	for _, askedFirst := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked first %t", askedFirst), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := newDetached(t.Context())
				if askedFirst {
					require.False(t, isClosed(d.Done()))
				}
				time.Sleep(time.Minute - 1)
				require.NoError(t, d.Err())
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				require.ErrorIs(t, d.Err(), context.DeadlineExceeded)
				done := d.Done()
				synctest.Wait()
				require.True(t, isClosed(done))
				require.ErrorIs(t, d.Err(), context.DeadlineExceeded)
			})
		})
	}
}

// TestDetachedErrStays: successive calls of Err return the same error.
func TestDetachedErrStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := newDetached(t.Context())
		time.Sleep(time.Minute)
		require.ErrorIs(t, late.Err(), context.DeadlineExceeded)
		late.end(context.Canceled)
		require.ErrorIs(t, late.Err(), context.DeadlineExceeded)
		require.True(t, isClosed(late.Done()))

		early := newDetached(t.Context())
		early.end(context.Canceled)
		time.Sleep(2 * time.Minute)
		require.ErrorIs(t, early.Err(), context.Canceled)
		early.end(context.DeadlineExceeded)
		require.ErrorIs(t, early.Err(), context.Canceled)
	})
}

func TestDetachedEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, asked := range []bool{true, false} {
			d := newDetached(t.Context())
			var done <-chan struct{}
			if asked {
				done = d.Done()
				require.False(t, isClosed(done))
			}
			d.end(context.Canceled)
			d.end(errors.New("a second end changes nothing"))
			require.ErrorIs(t, d.Err(), context.Canceled)
			require.True(t, isClosed(d.Done()))
			require.Equal(t, asked, done == d.Done(), "there is one channel")
		}
	})
}

// TestDetachedAsParent runs in a bubble, which fails when a goroutine is left.
func TestDetachedAsParent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDetached(t.Context())
		sooner, cancel := context.WithTimeout(d, time.Second)
		defer cancel()
		later, cancelLater := context.WithTimeout(d, time.Hour)
		defer cancelLater()
		plain, cancelPlain := context.WithCancel(d)
		called := make(chan struct{})
		stop := context.AfterFunc(d, func() { close(called) })
		defer stop()

		at, _ := later.Deadline()
		own, _ := d.Deadline()
		require.Equal(t, own, at)
		time.Sleep(time.Second)
		synctest.Wait()
		require.ErrorIs(t, sooner.Err(), context.DeadlineExceeded)
		require.NoError(t, later.Err())
		cancelPlain()
		require.ErrorIs(t, plain.Err(), context.Canceled)
		require.NoError(t, d.Err(), "a child does not end its parent")

		d.end(context.Canceled)
		synctest.Wait()
		require.ErrorIs(t, later.Err(), context.Canceled)
		require.True(t, isClosed(called))
		require.NotNil(t, context.WithoutCancel(d))
	})
}

func TestDetachedChildEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDetached(t.Context())
		child, cancel := context.WithCancel(d)
		defer cancel()
		<-child.Done()
		require.ErrorIs(t, child.Err(), context.DeadlineExceeded)
	})
}

func TestDetachedStartsNothing(t *testing.T) { // not parallel: it counts allocations
	m := &Manager{cfg: Config{Timeout: time.Minute}}
	ctx := context.Background()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		d := detach(ctx, m)
		runtime.KeepAlive(d.Err())
		d.end(context.Canceled)
	}), 1.0)
}

func TestDetachedDescribesItself(t *testing.T) {
	t.Parallel()
	require.Equal(t, "session.commit", newDetached(t.Context()).String())
	child, cancel := context.WithCancel(newDetached(t.Context()))
	defer cancel()
	require.Equal(t, "session.commit.WithCancel", fmt.Sprint(child))
}
