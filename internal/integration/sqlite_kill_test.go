package integration_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// What was acknowledged before a process was killed in the middle of its writes
// is in the file afterwards, and what was deleted is not.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	const rounds, acknowledged = 3, 150
	for name, options := range map[string]string{"bare": bare, "recommended": recommended} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := newPath(t)
			last := 0
			for range rounds {
				p := play(t, "flood", dsn(path, options), strconv.Itoa(last))
				for range acknowledged {
					last = p.acknowledged(last)
				}
				require.NoError(t, p.cmd.Process.Kill())
				for { // what it said before it died counts too
					line, err := p.out.ReadString('\n')
					if err != nil {
						break
					}
					last, err = strconv.Atoi(strings.TrimSpace(line))
					require.NoError(t, err)
				}
				require.Error(t, p.cmd.Wait())

				db := openSQLite(t, dsn(path, options))
				s := migrated(t, db)
				for n := 1; n <= last; n++ {
					requireFlooded(t, s, n)
				}
				var verdict string
				require.NoError(t, db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict))
				require.Equal(t, "ok", verdict)
			}
		})
	}
}

func (p *process) acknowledged(last int) int {
	p.t.Helper()
	p.hear(strconv.Itoa(last + 1))
	return last + 1
}

// requireFlooded checks what step n of a flood has left.
func requireFlooded(t *testing.T, s *sqlstore.Store, n int) {
	t.Helper()
	r, err := s.Load(t.Context(), key(n))
	if n%3 == 0 {
		require.ErrorIs(t, err, store.ErrNotFound, "step %d: its deletion was acknowledged", n)
		return
	}
	require.NoError(t, err, "step %d", n)
	require.EqualValues(t, 2, r.Version)
	require.Equal(t, floodData(n), r.Data)
}

func floodData(n int) []byte { return []byte(strings.Repeat(strconv.Itoa(n)+" ", 500)) }

// floodRole writes until it is killed, and says after each step that it has
// been done. The first steps after the last one may have been done before.
func floodRole(ctx context.Context, args []string, _ *bufio.Reader, out io.Writer) error {
	s, err := storeOfRole(args[0])
	if err != nil {
		return err
	}
	if err := s.Migrate(ctx); err != nil {
		return err
	}
	last, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	for n := last + 1; ; n++ {
		if err := s.Delete(ctx, key(n)); err != nil { // killed after the write, before the word
			return err
		}
		r := record(1, time.Hour)
		if err := s.Insert(ctx, key(n), r); err != nil {
			return err
		}
		r.Version, r.Data = 2, floodData(n)
		if _, err := s.Swap(ctx, key(n), 1, r); err != nil {
			return err
		}
		if n%3 == 0 {
			if err := s.Delete(ctx, key(n)); err != nil {
				return err
			}
		}
		if _, err := fmt.Fprintln(out, n); err != nil {
			return err
		}
	}
}
