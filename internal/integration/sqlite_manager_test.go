package integration_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

var counter = session.Key[int]("counter")

// Two processes count in one session at once, as two nodes would: nothing is
// lost, and nobody sees an error.
func TestTwoProcessesCountInOneSession(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]string{"recommended": recommended, "bare": bare} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const processes, each = 2, 500
			path := newPath(t)
			m, err := session.NewManager(session.Config{Store: migrated(t, openSQLite(t, dsn(path, options)))})
			require.NoError(t, err)
			credential, err := visit(t.Context(), m, "", func(ctx context.Context) error { return counter.Set(ctx, 0) })
			require.NoError(t, err)
			together(t, processes, "increment", func(int) []string {
				return []string{dsn(path, options), credential, strconv.Itoa(each)}
			})
			_, err = visit(t.Context(), m, credential, func(ctx context.Context) error {
				n, err := counter.Get(ctx)
				if err == nil && n != processes*each {
					err = fmt.Errorf("%d increments ended at %d", processes*each, n)
				}
				return err
			})
			require.NoError(t, err)
		})
	}
}

// visit makes one request with a credential, and returns the one for the next.
func visit(ctx context.Context, m *session.Manager, credential string, f func(ctx context.Context) error) (string, error) {
	o := session.Opening{}
	if credential != "" {
		o.Credentials = []string{credential}
	}
	s := m.Open(o)
	ctx = session.NewContext(ctx, s)
	if err := f(ctx); err != nil {
		return "", err
	}
	ticket, err := m.Commit(ctx, s)
	if ticket.Action() == session.ActionSet {
		credential = ticket.Credential()
	}
	return credential, errors.Join(err, m.Finish(ctx, s))
}

func incrementRole(ctx context.Context, args []string, in *bufio.Reader, out io.Writer) error {
	st, err := storeOfRole(args[0])
	if err != nil {
		return err
	}
	m, err := session.NewManager(session.Config{Store: st})
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
	for done := range n {
		_, err := visit(ctx, m, args[1], func(ctx context.Context) error {
			_, err := counter.Update(ctx, func(n *int) error { *n++; return nil })
			return err
		})
		if err != nil {
			return fmt.Errorf("increment %d: %w", done, err)
		}
	}
	return nil
}
