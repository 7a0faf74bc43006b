package integration_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/servers"
)

// Database servers that keep what they acknowledge are killed under load, and start
// again. So do the sessions keep what was acknowledged, and nobody comes back after
// a logout.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	long(t)
	for _, place := range []faultPlace{redisPlace, postgresPlace, mariaPlace} {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			wrong, summary := killedServer(t, effort.Of(t), place, servers.Durable())
			t.Log(summary)
			require.Empty(t, wrong)
		})
	}
}

// killedServer kills a server with these options under load, and returns what was
// found wrong then.
func killedServer(t *testing.T, e effort.Effort, place faultPlace, opts ...servers.Option) (wrong []string, summary string) {
	t.Helper()
	srv := place.alone(t, opts...)
	spec := place.spec(t, srv)
	// InnoDB shows what has been committed before it is in the log: MySQL bug 119759.
	hearsay := place.name == mariaPlace.name
	load := startLoad(t, e, hearsay, newFaultNode(t, spec.opened(t)), newFaultNode(t, spec.opened(t)))
	kills := crash(t, e, load, func(*rand.Rand) {
		require.NoError(t, srv.Kill())
		require.NoError(t, srv.Start())
	})
	load.stop()
	require.NoError(t, srv.Kill())
	require.NoError(t, srv.Start())
	st := spec.opened(t)
	wrong = load.judge(t, st, newFaultNode(t, st))
	return wrong, fmt.Sprintf("%d kills: %v", kills+1, load)
}
