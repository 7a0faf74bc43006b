package integration_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/cached"
)

// newCachedNodes returns nodes of one site, each behind a cache of its own that hears
// of no changes.
func newCachedNodes(t *testing.T, s *site, count int, ttl time.Duration, change ...func(*session.Config)) (all []*node) {
	t.Helper()
	for range count {
		all = append(all, newNode(t, cached.New(s.node(t), cached.WithTTL(ttl)), change...))
	}
	return all
}

// get sends a request that changes nothing, as its method says; a browser's other
// ones are POSTs. The middleware reads from a cache for it. It has to be answered.
func (b *browser) get(n *node, p page) answer {
	b.t.Helper()
	number := strconv.FormatInt(n.last.Add(1), 10)
	v := &visitPage{page: p}
	n.pages.Store(number, v)
	defer n.pages.Delete(number)
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, n.url.String(), nil)
	require.NoError(b.t, err)
	req.Header.Set(pageHeader, number)
	resp, err := b.client.Do(req)
	require.NoError(b.t, err)
	text, err := io.ReadAll(resp.Body)
	require.NoError(b.t, errors.Join(err, resp.Body.Close()))
	return answer{status: resp.StatusCode, text: string(text), header: resp.Header, failed: v.failed}
}

// mustGet is get for a request that has to be answered with 200, and returns the text.
func (b *browser) mustGet(n *node, p page) string {
	b.t.Helper()
	a := b.get(n, p)
	require.Equal(b.t, http.StatusOK, a.status, "%s: %v", a.text, a.failed)
	return a.text
}

// readThenWrite counts with a Get and a Set: a change in between is a conflict.
func readThenWrite(ctx context.Context) (string, error) {
	n, err := counter.Get(ctx)
	if err != nil {
		return "", err
	}
	return strconv.Itoa(n + 1), counter.Set(ctx, n+1)
}

// cacheLong is a TTL within which a test is over: what is old would be used.
const cacheLong = 10 * time.Minute

// Two nodes behind caches serve one browser in turn. Nothing that it does one after the
// other is in conflict, and nothing is lost.
func TestSequentialRequestsOnTwoNodes(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newCachedNodes(t, b.site(t), 2, cacheLong)
		visitor := newBrowser(t)
		visitor.must(nodes[0], func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 0) })
		const rounds = 100
		old := 0
		for i := range rounds {
			here, there := nodes[i%2], nodes[(i+1)%2]
			if visitor.mustGet(here, readCount) != strconv.Itoa(2*i) { // fills the cache, or is old
				old++
			}
			require.Equal(t, strconv.Itoa(2*i+1), visitor.must(there, readThenWrite))
			require.Equal(t, strconv.Itoa(2*i+1), visitor.mustGet(there, readCount), "what this node has written")
			require.Equal(t, strconv.Itoa(2*i+2), visitor.must(here, readThenWrite))
			require.Equal(t, strconv.Itoa(2*i+2), visitor.mustGet(here, readCount), "what this node has written")
		}
		t.Logf("%d writes without a conflict; %d of %d reads were old", 2*rounds, old, rounds)
		require.Greater(t, old, rounds/2, "the caches have not been in the way")

		// A GET that writes is another matter: it may have read what is old.
		visitor.mustGet(nodes[0], readCount)
		visitor.must(nodes[1], readThenWrite)
		a := visitor.get(nodes[0], readThenWrite)
		require.Equal(t, http.StatusConflict, a.status)
		require.Contains(t, a.text, "changed since this request read it")
		require.Equal(t, strconv.Itoa(2*rounds+2), visitor.mustGet(nodes[0], readThenWrite), "the conflict has shown what is stored")
	})
}

// A login on one node is seen by the next GET on another, whatever that has cached: the
// new credential does not fit the copy.
func TestLoginIsSeenBehindACache(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newCachedNodes(t, b.site(t), 2, cacheLong)
		visitor := newBrowser(t)
		visitor.must(nodes[0], writeNote("of a guest"))
		for i, owner := range []string{"ada", "bob", "eve", "ada"} {
			here, there := nodes[i%2], nodes[(i+1)%2]
			before := visitor.mustGet(there, readOwner)
			require.NotEqual(t, owner, before)
			visitor.must(here, logIn(owner))
			require.Equal(t, owner, visitor.mustGet(there, readOwner))
			require.Equal(t, owner, visitor.mustGet(here, readOwner))
		}
	})
}

// A logout on one node: on another that hears of nothing the session can be read for the
// TTL and no longer, and cannot be written at all.
func TestLogoutBehindACache(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		const ttl = 500 * time.Millisecond
		place := b.site(t)
		nodes := newCachedNodes(t, place, 2, ttl)
		plain := newNode(t, place.node(t))
		// thief returns a browser with a credential that is no good any more.
		thief := func() *browser {
			t.Helper()
			visitor, thief := newBrowser(t), newBrowser(t)
			visitor.must(nodes[0], both(logIn("ada"), writeNote("private")))
			thief.present(nodes[1], visitor.credential(nodes[0]))
			require.Equal(t, "private", thief.mustGet(nodes[1], readNote)) // now it is cached
			visitor.must(nodes[0], logOut)
			require.Empty(t, visitor.mustGet(nodes[0], readNote), "on this node at once")
			return thief
		}
		reads, late := 0, time.Duration(0)
		for range 3 {
			b := thief()
			ended := time.Now()
			for begun := ended; ; begun = time.Now() {
				if b.mustGet(nodes[1], readNote) == "" {
					break
				}
				reads++
				late = max(late, begun.Sub(ended))
				require.LessOrEqual(t, begun.Sub(ended), ttl, "it can still be read")
			}
			require.Empty(t, b.mustGet(nodes[1], readNote), "and it stays so")
		}
		t.Logf("%d reads after a logout, the last begun %v after it; TTL: %v", reads, late, ttl)

		for name, write := range map[string]func(b *browser) answer{
			"a POST": func(b *browser) answer { return b.try(nodes[1], both(readNote, writeNote("stolen"))) },
			"a GET":  func(b *browser) answer { return b.get(nodes[1], both(readNote, writeNote("stolen"))) },
		} {
			b := thief()
			credential := b.credential(nodes[1])
			a := write(b)
			// Either it finds that there is no session, and makes another, or that the one it
			// has read is over.
			if a.status == http.StatusOK {
				require.Equal(t, "stolen", a.text, "%s has read nothing", name)
				require.NotEqual(t, credential, b.credential(nodes[1]), name)
			} else {
				require.ErrorIs(t, a.failed, session.ErrDestroyed, name)
				require.Equal(t, http.StatusConflict, a.status, name)
			}
			b.present(plain, credential)
			require.Empty(t, b.mustGet(plain, readNote), "%s has brought it back", name)
		}
	})
}
