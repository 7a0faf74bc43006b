package integration_test

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Owners are told apart by their bytes, also in the scope with the longest name.
func TestLimitsOfOwners(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		for _, scope := range []session.Scope{{}, session.NewScope(strings.Repeat("s", 64))} {
			nodes := newNodes(t, b.site(t), 2, func(c *session.Config) { c.Scope = scope })
			on := func(f func(s *session.Session, ctx context.Context) error) page {
				return func(ctx context.Context) (string, error) { return "", f(scope.FromContext(ctx), ctx) }
			}
			ids := make([]string, len(limitTexts))
			visitors := make([]*browser, len(limitTexts))
			look := func(i int) page {
				return on(func(s *session.Session, ctx context.Context) error {
					info, err := s.Info(ctx)
					ids[i] = ""
					if info.Owner != "" {
						ids[i] = info.Owner + " " + info.ID
					}
					return err
				})
			}
			for i, owner := range limitTexts {
				visitors[i] = newBrowser(t)
				visitors[i].must(nodes[i%2], on(func(s *session.Session, ctx context.Context) error { return s.Login(ctx, owner) }))
			}
			list := func(owner string) (all []string) {
				for info, err := range nodes[1].manager.Sessions(t.Context(), owner) {
					require.NoError(t, err)
					all = append(all, info.Owner+" "+info.ID)
				}
				return all
			}
			for i, owner := range limitTexts {
				visitors[i].must(nodes[0], look(i))
				require.True(t, strings.HasPrefix(ids[i], owner+" "))
				require.Equal(t, ids[i:i+1], list(owner), "%q", owner)
			}
			// Each in turn, and only that one.
			for i, owner := range limitTexts {
				require.NoError(t, nodes[0].manager.RevokeOwner(t.Context(), owner))
				require.Empty(t, list(owner))
				if next := i + 1; next < len(limitTexts) {
					require.Equal(t, ids[next:next+1], list(limitTexts[next]), "after %q", owner)
				}
				visitors[i].must(nodes[1], look(i))
				require.Empty(t, ids[i])
			}
		}
	})
}

// A store takes what Config.MaxBytes allows, beyond the default.
func TestLimitsRaised(t *testing.T) {
	t.Parallel()
	long(t)
	const size, limit = 8 << 20, 8<<20 + 100
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2, func(c *session.Config) { c.MaxBytes = limit })
		visitor := newBrowser(t)
		visitor.must(nodes[0], writeLetters(size))
		require.Equal(t, "8388608", visitor.must(nodes[1], readLetters))
		require.Equal(t, "1", visitor.must(nodes[1], countUp))
		require.Equal(t, "8388608", visitor.must(nodes[0], readLetters))
		require.Equal(t, `"note": 8388728 of 8388708 bytes in a session`, visitor.must(nodes[0], outcome(writeLetters(limit-3))))
		require.Equal(t, "8388608"+"1", visitor.must(nodes[1], both(readLetters, readCount)))
		visitor.must(nodes[1], logOut)
		require.Empty(t, visitor.must(nodes[0], readLetters))
	})
}
