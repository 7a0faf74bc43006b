package integration_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

// heldRequest waits between two pages.
type heldRequest struct {
	t    testing.TB
	free chan struct{}
	done chan answered
}

type answered struct {
	answer answer
	err    error
}

// hold starts a request that runs first, and returns when it has.
func hold(t testing.TB, b *browser, n *node, first, rest page) *heldRequest {
	t.Helper()
	h := &heldRequest{t: t, free: make(chan struct{}), done: make(chan answered, 1)}
	in := make(chan error, 1)
	go func() {
		a, err := b.do(n, func(ctx context.Context) (string, error) {
			_, err := first(ctx)
			in <- err
			if err != nil {
				return "", err
			}
			select {
			case <-h.free:
			case <-ctx.Done():
				return "", ctx.Err()
			}
			return rest(ctx)
		})
		h.done <- answered{a, err}
	}()
	select {
	case err := <-in:
		require.NoError(t, err)
	case a := <-h.done:
		require.Fail(t, "the request ended before its time", "%v", a)
	}
	return h
}

// release lets the request go on, and returns its answer.
func (h *heldRequest) release() answer {
	h.t.Helper()
	close(h.free)
	a := <-h.done
	require.NoError(h.t, a.err)
	return a.answer
}
