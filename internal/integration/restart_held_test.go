package integration_test

import (
	"context"
	"net/http"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// restartHeld are requests that have loaded their session when the server goes, and
// go on while it is away.
var restartHeld = []struct {
	name        string
	first, rest page
}{
	{"count", readCount, countUp},
	{"log out", readCount, logOut},
	{"log in", readCount, logIn("ada")},
	{"have logged in", both(readCount, logIn("ada")), untouched},
	{"elevate", readCount, func(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Elevate(ctx) }},
	{"clear", readCount, func(ctx context.Context) (string, error) { return "", session.FromContext(ctx).Clear(ctx) }},
	{"take", readCount, func(ctx context.Context) (string, error) { _, _, err := counter.Take(ctx); return "", err }},
}

// restartHold holds a request of each kind, and one more until the server is back.
type restartHold struct {
	load     *restartLoad
	visitors []*browser
	held     []*heldRequest
}

func (h *restartLoad) hold() *restartHold {
	h.t.Helper()
	a := &restartHold{load: h}
	for i := range len(restartHeld) + 1 {
		b := h.browser()
		b.must(h.nodes[0], func(ctx context.Context) (string, error) { return "", counter.Set(ctx, 7) })
		first, rest := page(readCount), page(countUp)
		if i < len(restartHeld) {
			first, rest = restartHeld[i].first, restartHeld[i].rest
		}
		a.visitors = append(a.visitors, b)
		a.held = append(a.held, hold(h.t, b, h.nodes[i%len(h.nodes)], first, rest))
	}
	return a
}

// away lets them go on: nothing can be stored.
func (a *restartHold) away() {
	t := a.load.t
	t.Helper()
	for i, c := range restartHeld {
		answer := a.held[i].release()
		require.GreaterOrEqual(t, answer.status, http.StatusInternalServerError, "%s: %s", c.name, answer.text)
		require.Empty(t, answer.header.Values("Set-Cookie"), c.name)
	}
}

// back looks what has become of them.
func (a *restartHold) back() {
	t := a.load.t
	t.Helper()
	for i, c := range restartHeld {
		for _, n := range a.load.nodes {
			require.Equal(t, "false||7", a.visitors[i].must(n, restartPage), c.name)
		}
	}
	last := len(a.held) - 1
	answer := a.held[last].release()
	require.Equal(t, http.StatusOK, answer.status, answer.text)
	require.Equal(t, "8", answer.text)
	require.Equal(t, "false||8", a.visitors[last].must(a.load.nodes[0], restartPage))
}
