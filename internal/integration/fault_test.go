package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
)

// faultCases are stores, and drivers that give up sooner or later and repeat more
// or less by themselves. The stand-in for MongoDB is not among them: it is atomic only as
// long as connections are whole.
var faultCases = []struct {
	name  string
	place faultPlace
	with  string // parameters of the DSN
}{
	{"Redis", redisPlace, "read_timeout=" + faultDriver.String()},
	{"Redis, the driver repeats five times", redisPlace, "max_retries=5&read_timeout=" + faultDriver.String()},
	{"PostgreSQL", postgresPlace, ""},
	{"PostgreSQL, one packet for each statement", postgresPlace, "default_query_exec_mode=simple_protocol"},
	{"MariaDB", mariaPlace, "readTimeout=" + faultDriver.String()},
	{"MariaDB, connections are not checked", mariaPlace, "interpolateParams=true&checkConnLiveness=false"},
}

// The connections between two programs and their database lose answers, break in
// the middle of questions and answers, and stall for longer than the driver, the
// page and the commit wait; then what was late arrives, or not. What was
// acknowledged is stored once; what was refused is not; what is unknown is stored
// once or not. Nobody comes back after a logout.
func TestFaults(t *testing.T) {
	t.Parallel()
	long(t)
	for _, c := range faultCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := effort.Of(t)
			srv := c.place.server(t)
			if srv.Addr() == "" {
				t.Skip("the address of the server is not known")
			}
			spec := c.place.spec(t, srv)
			w := newWire(t, srv.Addr())
			disturbed := spec.with(c.with).through(t, w)
			f := faults{odds: faultOdds, rnd: e.Rand(0)}
			load := startFaultLoad(t, e, newFaultNode(t, disturbed.opened(t)), newFaultNode(t, disturbed.opened(t)))
			f.disturb(w)
			load.spend(e)
			load.await(t, "each fault, and everything else", func() bool {
				return f.least() >= 3 && load.count(fateUnknown, actCount, actSave) > 0 && load.enough()
			})
			load.stop()
			w.cut() // what is still on its way does not arrive any more
			st := spec.opened(t)
			wrong := load.judge(t, st, newFaultNode(t, st))
			t.Logf("%v; %v", load, &f)
			require.Empty(t, wrong)
		})
	}
}
