package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// The keys of these tests, besides counter.
var (
	note = session.Key[string]("note")
	cart = session.Key[[]string]("cart")
)

func countUp(ctx context.Context) (string, error) {
	n, err := counter.Update(ctx, func(n *int) error { *n++; return nil })
	return strconv.Itoa(n), err
}

func readCount(ctx context.Context) (string, error) {
	n, err := counter.Get(ctx)
	return strconv.Itoa(n), err
}

func readNote(ctx context.Context) (string, error) { return note.Get(ctx) }

func writeNote(text string) page {
	return func(ctx context.Context) (string, error) { return text, note.Set(ctx, text) }
}

func untouched(context.Context) (string, error) { return "", nil }

func logIn(owner string) page {
	return func(ctx context.Context) (string, error) { return owner, session.FromContext(ctx).Login(ctx, owner) }
}

func logOut(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Destroy(ctx) }

func rotate(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Rotate(ctx) }

func readID(ctx context.Context) (string, error) {
	info, err := session.FromContext(ctx).Info(ctx)
	return info.ID, err
}

func readOwner(ctx context.Context) (string, error) {
	info, err := session.FromContext(ctx).Info(ctx)
	return info.Owner, err
}

// both runs two pages in one request.
func both(first, second page) page {
	return func(ctx context.Context) (string, error) {
		text, err := first(ctx)
		if err != nil {
			return text, err
		}
		more, err := second(ctx)
		return text + more, err
	}
}

// requireNoCookie says that the answer leaves the browser's cookies alone.
func requireNoCookie(t *testing.T, a answer) {
	t.Helper()
	require.Empty(t, a.header.Values("Set-Cookie"))
}

func TestHTTPCounting(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		a := visitor.try(nodes[0], untouched)
		requireNoCookie(t, a)
		require.Empty(t, a.header.Values("Vary"))
		for i := range 6 {
			a = visitor.try(nodes[i%2], countUp)
			require.Equal(t, answer{http.StatusOK, strconv.Itoa(i + 1), a.header, nil}, a)
			require.Len(t, a.header.Values("Set-Cookie"), map[bool]int{true: 1}[i == 0], "a cookie, once")
		}
		require.Equal(t, "0", newBrowser(t).must(nodes[0], readCount), "of somebody else")
	})
}

func TestHTTPLogin(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], func(ctx context.Context) (string, error) { return "", cart.Set(ctx, []string{"tea"}) })
		id, before := visitor.must(nodes[1], readID), visitor.credential(nodes[0])
		visitor.must(nodes[1], both(logIn("ada"), writeNote("private")))
		require.NotEqual(t, before, visitor.credential(nodes[0]))
		require.Equal(t, id, visitor.must(nodes[0], readID))
		require.Equal(t, "ada", visitor.must(nodes[0], readOwner))
		require.Equal(t, "private", visitor.must(nodes[1], readNote))

		// Whoever knows the credential of before sees what was to be seen with it.
		thief := newBrowser(t)
		thief.present(nodes[0], before)
		for _, n := range nodes {
			require.Empty(t, thief.must(n, readNote))
			require.Empty(t, thief.must(n, readOwner))
			require.Equal(t, "[tea]", thief.must(n, func(ctx context.Context) (string, error) {
				v, err := cart.Get(ctx)
				return fmt.Sprint(v), err
			}))
			for _, p := range []page{writeNote("stolen"), countUp, logOut, rotate, logIn("eve")} {
				a := thief.try(n, p)
				if a.status == http.StatusOK { // a login of its own, in a session of its own
					require.NotEqual(t, id, thief.must(n, readID))
					thief.present(n, before)
					continue
				}
				require.Equal(t, http.StatusConflict, a.status, a.text)
				requireNoCookie(t, a)
			}
		}
		require.Equal(t, "private", visitor.must(nodes[0], readNote))
	})
}

func TestHTTPLogout(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor, second := newBrowser(t), newBrowser(t)
		visitor.must(nodes[0], both(logIn("ada"), writeNote("private")))
		credential := visitor.credential(nodes[0])
		second.present(nodes[0], credential)
		a := visitor.try(nodes[1], both(logOut, writeNote("goodbye")))
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.NotEqual(t, credential, visitor.credential(nodes[0]))
		require.Equal(t, "goodbye", visitor.must(nodes[0], readNote))
		require.Empty(t, visitor.must(nodes[1], readOwner))
		visitor.must(nodes[0], logOut)
		require.Empty(t, visitor.credential(nodes[0]), "the cookie is removed")
		for _, n := range nodes {
			require.Empty(t, second.must(n, readNote))
			require.Empty(t, second.must(n, readOwner))
		}
	})
}

func TestHTTPRotation(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		const grace = 5 * time.Second
		nodes := newNodes(t, b.site(t), 2, func(c *session.Config) { c.Grace, c.MinRotate = grace, grace })
		visitor := newBrowser(t)
		visitor.must(nodes[0], writeNote("kept"))
		before := visitor.credential(nodes[0])
		slow := newBrowser(t)
		slow.present(nodes[0], before)
		h := hold(t, slow, nodes[1], readNote, countUp)
		eventually(t, func() bool { // a young credential is not rotated
			visitor.must(nodes[0], rotate)
			return visitor.credential(nodes[0]) != before
		})
		a := h.release()
		require.Equal(t, http.StatusOK, a.status, a.text)
		requireNoCookie(t, a)
		require.Equal(t, "kept1", visitor.must(nodes[0], both(readNote, readCount)), "one session, not two")
		require.Equal(t, "2", slow.must(nodes[0], countUp), "within the grace")
		require.Equal(t, "2", visitor.must(nodes[1], readCount))
	})
}

func TestHTTPForeignCredentials(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		owner := newBrowser(t)
		owner.must(nodes[0], writeNote("private"))
		key := owner.credential(nodes[0])[:22]
		for credential, status := range map[string]int{
			"AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA": http.StatusOK,
			"../../../../../../etc/passwd":                  http.StatusOK,
			// The secret may have been rotated away a moment ago, and a cookie of a
			// session of its own could overtake the one that is on its way.
			key + ".AAAAAAAAAAAAAAAAAAAAAA": http.StatusConflict,
		} {
			stranger := newBrowser(t)
			stranger.present(nodes[0], credential)
			a := stranger.try(nodes[1], readNote)
			require.Equal(t, http.StatusOK, a.status)
			require.Empty(t, a.text)
			requireNoCookie(t, a)
			require.Equal(t, status, stranger.try(nodes[0], writeNote("own")).status, credential)
			if status == http.StatusOK {
				require.NotEqual(t, credential[:22], stranger.credential(nodes[0])[:22], "it is the server that chooses")
				require.Equal(t, "own", stranger.must(nodes[1], readNote))
			}
		}
		require.Equal(t, "private", owner.must(nodes[1], readNote))
	})
}

var errHandler = errors.New("the handler's own")

func TestHTTPHandlerFails(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		fails := func(context.Context) (string, error) { return "", errHandler }
		a := visitor.try(nodes[0], both(writeNote("never"), fails))
		require.Equal(t, http.StatusInternalServerError, a.status)
		requireNoCookie(t, a)
		visitor.must(nodes[0], writeNote("first"))
		require.Equal(t, http.StatusInternalServerError, visitor.try(nodes[1], both(writeNote("never"), fails)).status)
		require.Equal(t, "first", visitor.must(nodes[0], readNote))
	})
}

// A value of another type is an error of that key alone.
func TestHTTPWrongType(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], both(writeNote("text"), countUp))
		wrong := session.Key[int](note.Name())
		a := visitor.try(nodes[1], func(ctx context.Context) (string, error) {
			_, err := wrong.Get(ctx)
			return "", err
		})
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.Equal(t, "2", visitor.must(nodes[1], countUp))
		require.Equal(t, "text", visitor.must(nodes[0], readNote))
	})
}
