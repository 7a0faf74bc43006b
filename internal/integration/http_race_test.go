package integration_test

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// Two nodes count in one session: every page that was answered with 200 counts.
func TestHTTPIncrements(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		const workers, each = 16, 200
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], readCount)
		visitor.must(nodes[0], func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 0) })
		var refused atomic.Int64
		var wg sync.WaitGroup
		for w := range workers {
			wg.Go(func() {
				for done := 0; done < each; {
					switch a, err := visitor.do(nodes[w%2], countUp); {
					case err == nil && a.status == http.StatusOK:
						done++
					case err == nil && a.status == http.StatusServiceUnavailable:
						refused.Add(1)
					default:
						t.Errorf("%d %s: %v, %v", a.status, a.text, err, a.failed)
						return
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, strconv.Itoa(workers*each), visitor.must(nodes[1], readCount))
		t.Logf("%d of %d had to be sent again", refused.Load(), workers*each)
		require.LessOrEqual(t, refused.Load(), int64(workers*each/100))
	})
}

// inFlight are requests that hold a loaded session when it ends.
var inFlight = map[string]page{
	"Set":     writeNote("risen"),
	"Update":  countUp,
	"Delete":  func(ctx context.Context) (string, error) { return "", counter.Delete(ctx) },
	"Elevate": func(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Elevate(ctx) },
	"Clear":   func(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Clear(ctx) },
	"SetExpiry": func(ctx context.Context) (string, error) {
		return "", session.FromContext(ctx).SetExpiry(ctx, session.OnInactivity(2*time.Hour))
	},
	"Take": func(ctx context.Context) (string, error) {
		_, _, err := counter.Take(ctx)
		return "", err
	},
	"GetOrSet": func(ctx context.Context) (string, error) {
		return note.GetOrSet(ctx, func() (string, error) { return "risen", nil })
	},
	"Save": func(ctx context.Context) (string, error) {
		if err := note.Set(ctx, "risen"); err != nil {
			return "", err
		}
		return "", session.FromContext(ctx).Save(ctx)
	},
}

// What was in flight when a session ended is told so, and the session stays gone.
func TestHTTPEndWithRequestsInFlight(t *testing.T) {
	t.Parallel()
	ends := map[string]func(visitor *browser, n *node) error{
		"Destroy": func(visitor *browser, n *node) error {
			visitor.must(n, logOut)
			return nil
		},
		"Revoke": func(visitor *browser, n *node) error {
			return n.manager.Revoke(context.Background(), visitor.must(n, readID))
		},
		"RevokeOwner": func(_ *browser, n *node) error { return n.manager.RevokeOwner(context.Background(), "ada") },
	}
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		for how, end := range ends {
			visitor := newBrowser(t)
			visitor.must(nodes[0], both(logIn("ada"), countUp))
			credential := visitor.credential(nodes[0])
			held := map[string]*heldRequest{}
			for name, rest := range inFlight {
				b := newBrowser(t)
				b.present(nodes[0], credential)
				held[name] = hold(t, b, nodes[len(held)%2], readCount, rest)
			}
			require.NoError(t, end(visitor, nodes[1]))
			for name, h := range held {
				a := h.release()
				require.Equal(t, http.StatusConflict, a.status, "%s, %s: %s", how, name, a.text)
				requireNoCookie(t, a)
			}
			late := newBrowser(t)
			for i := range 4 {
				late.present(nodes[0], credential)
				require.Equal(t, "0", late.must(nodes[i%2], both(readNote, readCount)))
				require.Empty(t, late.must(nodes[i%2], readOwner))
			}
			for _, n := range nodes {
				for info, err := range n.manager.Sessions(t.Context(), "ada") {
					require.NoError(t, err)
					require.Failf(t, "listed", "%s: %v", how, info)
				}
			}
		}
	})
}

// atOnce sends the same request from several tabs, on both nodes, each having read
// the session before any goes on.
func atOnce(t *testing.T, visitor *browser, nodes []*node, tabs int, p page) (answers []answer) {
	t.Helper()
	held := make([]*heldRequest, tabs)
	for i := range held {
		held[i] = hold(t, visitor, nodes[i%len(nodes)], readNote, p)
	}
	for _, h := range held {
		close(h.free)
	}
	for _, h := range held {
		a := <-h.done
		require.NoError(t, a.err)
		answers = append(answers, a.answer)
	}
	return answers
}

func TestHTTPOneTakesOnce(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		for range 10 {
			visitor.must(nodes[0], countUp)
			taken := 0
			for _, a := range atOnce(t, visitor, nodes, 8, func(ctx context.Context) (string, error) {
				n, ok, err := counter.Take(ctx)
				if !ok {
					n = 0
				}
				return strconv.Itoa(n), err
			}) {
				require.Equal(t, http.StatusOK, a.status, a.text)
				n, err := strconv.Atoi(a.text)
				require.NoError(t, err)
				taken += n
			}
			require.Equal(t, 1, taken)
		}
	})
}

func TestHTTPFirstOneDecides(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], countUp)
		var offered atomic.Int64
		seen := map[string]bool{}
		for _, a := range atOnce(t, visitor, nodes, 8, func(ctx context.Context) (string, error) {
			items, err := cart.GetOrSet(ctx, func() ([]string, error) {
				return []string{strconv.FormatInt(offered.Add(1), 10)}, nil
			})
			if err != nil {
				return "", err
			}
			return items[0], nil
		}) {
			require.Equal(t, http.StatusOK, a.status, a.text)
			seen[a.text] = true
		}
		require.Len(t, seen, 1)
	})
}

// Whoever replaces what has changed since it was read is told so.
func TestHTTPConflict(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], writeNote("old"))
		stored, refused := "", 0
		for _, a := range atOnce(t, visitor, nodes, 6, both(readNote, func(ctx context.Context) (string, error) {
			id := strconv.FormatInt(time.Now().UnixNano(), 36)
			return id, note.Set(ctx, id)
		})) {
			if a.status == http.StatusOK {
				require.Empty(t, stored, "two have replaced the same value")
				stored = a.text[len("old"):]
				continue
			}
			require.Equal(t, http.StatusConflict, a.status, a.text)
			var conflict *session.ConflictError
			require.ErrorAs(t, a.failed, &conflict)
			refused++
		}
		require.Equal(t, 5, refused)
		require.Equal(t, stored, visitor.must(nodes[1], readNote))
	})
}

// Different keys of one session, changed at once, are all kept.
func TestHTTPDifferentKeys(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		const tabs = 12
		nodes := newNodes(t, b.site(t), 2)
		visitor := newBrowser(t)
		visitor.must(nodes[0], countUp)
		var next atomic.Int64
		for _, a := range atOnce(t, visitor, nodes, tabs, func(ctx context.Context) (string, error) {
			n := next.Add(1)
			return "", session.Key[int64]("part "+strconv.FormatInt(n, 10)).Set(ctx, n)
		}) {
			require.Equal(t, http.StatusOK, a.status, a.text)
		}
		visitor.must(nodes[1], func(ctx context.Context) (string, error) {
			for n := range int64(tabs) {
				if got, err := session.Key[int64]("part " + strconv.FormatInt(n+1, 10)).Get(ctx); err != nil || got != n+1 {
					return "", errHandler
				}
			}
			return "", nil
		})
	})
}

// A session that nobody uses ends, by the clock of the store.
func TestHTTPExpiry(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		const life = 2 * time.Second
		nodes := newNodes(t, b.site(t), 2, func(c *session.Config) { c.Expiry = session.OnInactivity(life) })
		visitor, late := newBrowser(t), newBrowser(t)
		begun := time.Now()
		visitor.must(nodes[0], both(logIn("ada"), writeNote("private")))
		stored := time.Now()
		h := hold(t, visitor, nodes[0], readNote, countUp)
		credential := visitor.credential(nodes[0])
		late.present(nodes[0], credential)
		eventually(t, func() bool {
			// Listing is no use, reading would be.
			for _, err := range nodes[1].manager.Sessions(t.Context(), "ada") {
				require.NoError(t, err)
				require.Less(t, time.Since(stored), life+5*time.Second, "it lives too long")
				return false
			}
			return true
		})
		require.GreaterOrEqual(t, time.Since(begun), life-100*time.Millisecond, "it ended too soon")
		a := h.release()
		require.Equal(t, http.StatusConflict, a.status, a.text)
		require.ErrorIs(t, a.failed, session.ErrDestroyed)
		for _, n := range nodes {
			require.Empty(t, late.must(n, readNote))
			require.Empty(t, late.must(n, readOwner))
		}
	})
}
