package integration_test

import (
	"bytes"
	"crypto/rand"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/sqlstore"
)

// modes are the ways in which drivers pass values.
func modes(srv server) []server {
	if srv.dialect == sqlstore.PostgreSQL {
		return []server{srv, srv.with("default_query_exec_mode=exec"), srv.with("default_query_exec_mode=simple_protocol")}
	}
	return []server{srv, srv.with("interpolateParams=true&clientFoundRows=true"), srv.with("interpolateParams=true&charset=latin1")}
}

func TestServerBytesComeBack(t *testing.T) {
	t.Parallel()
	long(t)
	onServers(t, func(t *testing.T, srv server) {
		all := make([]byte, 256)
		for i := range all {
			all[i] = byte(i)
		}
		random := make([]byte, 1<<20)
		_, _ = rand.Read(random)
		for _, srv := range modes(srv) {
			s := srv.newSubject(t)
			for i, data := range [][]byte{
				nil,
				{},
				{0},
				all, []byte("a\x00b\x00"), []byte("\xff\xfe it's \"quoted\"; -- \\' \\x"),
				bytes.Repeat(all, 1<<12), random,
			} {
				r := owned(math.MaxInt64-int64(i), "ada's \"ü\" \\ %_ \x01")
				r.Data = data
				require.NoError(t, s.Insert(t.Context(), key(i), r))
				require.ErrorIs(t, s.Insert(t.Context(), key(i), r), store.ErrExists)
				got, err := s.Load(t.Context(), key(i))
				require.NoError(t, err)
				require.True(t, bytes.Equal(data, got.Data))
				require.Equal(t, r.Version, got.Version)
				require.Equal(t, r.Owner, got.Owner)
				require.True(t, r.Expires.Equal(got.Expires))
				_, err = s.Swap(t.Context(), key(i), r.Version-1, r)
				require.NoError(t, err, "it has happened before")
				_, err = s.Swap(t.Context(), key(i), r.Version, r)
				require.NoError(t, err, "it has happened before")
				next := r
				next.Version = 1
				cur, err := s.Swap(t.Context(), key(i), r.Version-1, next)
				require.ErrorIs(t, err, store.ErrConflict)
				require.Equal(t, r.Version, cur.Version)
				require.True(t, bytes.Equal(data, cur.Data))
				next.Data = append([]byte("x"), data...)
				_, err = s.Swap(t.Context(), key(i), r.Version, next)
				require.NoError(t, err)
			}
			list, err := s.ListOwner(t.Context(), "ada's \"ü\" \\ %_ \x01", store.Key{}, 100)
			require.NoError(t, err)
			require.Len(t, list, 8)
			require.Equal(t, append([]byte("x"), random...), list[7].Record.Data)
		}
	})
}

// Owners that a collation would take for each other, or cut.
func TestServerOwnersAreBytes(t *testing.T) {
	t.Parallel()
	onServers(t, func(t *testing.T, srv server) {
		long := strings.Repeat("x", 511)
		owners := []string{
			"ada", "Ada", "ADA", "ada ", "ada  ", " ada", "ada\t", "ada\n", "ad", "adá", "ada\u0301", "ada%", "ad_", "ada\\", "ada\\\\", "ada'", `ada"`,
			"straße", "strasse", "ſ", "s", "İ", "i", "ı", "\u200b", "\u00a0", " ", "  ", "é", "e\u0301", "🦊", "🦊🦊", "日本", "ﷺ",
			"\U0010ffff", "0", "00", "NULL", "ada\x01", "\x7f", long, long + "y", long + "Y", strings.Repeat("é", 256), "\\x616461",
		}
		for _, srv := range modes(srv) {
			s := srv.newSubject(t)
			for i, owner := range owners {
				require.NoError(t, s.Insert(t.Context(), key(2*i), owned(1, owner)))
				require.NoError(t, s.Insert(t.Context(), key(2*i+1), owned(1, "")))
				_, err := s.Swap(t.Context(), key(2*i+1), 1, owned(2, owner))
				require.NoError(t, err)
			}
			for i, owner := range owners {
				list, err := s.ListOwner(t.Context(), owner, store.Key{}, 10)
				require.NoError(t, err)
				require.Len(t, list, 2, "%q", owner)
				for j, e := range list {
					require.Equal(t, key(2*i+j), e.Key)
					require.Equal(t, owner, e.Record.Owner)
				}
				_, err = s.Swap(t.Context(), key(2*i), 1, owned(3, owner))
				require.NoError(t, err)
			}
			for _, owner := range owners {
				n, err := s.DeleteOwner(t.Context(), owner)
				require.NoError(t, err)
				require.EqualValues(t, 2, n, "%q", owner)
			}
			require.Zero(t, s.rows(t))
		}
	})
}
