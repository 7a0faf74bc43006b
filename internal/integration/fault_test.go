package integration_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
)

// faultCases are stores, and drivers that give up sooner or later and repeat more
// or less by themselves. That of MongoDB gives up all its connections with one, and
// looks for its server twice a second.
var faultCases = []struct {
	name  string
	place faultPlace
	with  string // parameters of the DSN
	slow  bool   // it takes minutes: for the long form
}{
	{"Redis", redisPlace, "read_timeout=" + faultDriver.String(), false},
	{"Redis, the driver repeats five times", redisPlace, "max_retries=5&read_timeout=" + faultDriver.String(), false},
	{"PostgreSQL", postgresPlace, "", false},
	{"PostgreSQL, one packet for each statement", postgresPlace, "default_query_exec_mode=simple_protocol", false},
	{"MariaDB", mariaPlace, "readTimeout=" + faultDriver.String(), false},
	{"MariaDB, connections are not checked", mariaPlace, "interpolateParams=true&checkConnLiveness=false", false},
	{"MongoDB", mongoPlace, "", true},
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
			if c.slow && !e.Long {
				t.Skip("it takes minutes: see internal/proofs/effort")
			}
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
