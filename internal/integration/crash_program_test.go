package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
	"github.com/typedsession/session/internal/servers"
)

const (
	crashKills = 3 // of the short form, for each store
	// crashTime is how long after everything works something is killed, at most.
	crashTime = 300 * time.Millisecond
)

// serveRole serves the pages of a load until it is killed. It says where.
func serveRole(ctx context.Context, args []string, _ *bufio.Reader, out io.Writer) error {
	redis.SetLogger(silence{})
	if err := mysql.SetLogger(silence{}); err != nil {
		return err
	}
	var spec storeSpec
	if err := json.Unmarshal([]byte(args[0]), &spec); err != nil {
		return err
	}
	st, _, err := spec.open()
	if err != nil {
		return err
	}
	if spec.Behind {
		st = newBehind(ctx, st)
	}
	h, err := faultHandler(st)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(out, l.Addr()); err != nil {
		return err
	}
	return http.Serve(l, h)
}

// program is a node of a load in a process of its own.
type program struct {
	*faultNode
	spec    storeSpec
	process *process
}

func startProgram(t *testing.T, spec storeSpec) *program {
	t.Helper()
	p := &program{faultNode: &faultNode{}, spec: spec}
	p.start(t)
	return p
}

func (p *program) start(t *testing.T) {
	t.Helper()
	p.process = play(t, "serve", p.spec.String())
	addr, err := p.process.out.ReadString('\n')
	require.NoError(t, err, "the program ended: %s", &p.process.stderr)
	p.move(strings.TrimSpace(addr))
}

// kill kills the program, and returns when it has gone.
func (p *program) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, p.process.cmd.Process.Kill())
	require.ErrorContains(t, p.process.cmd.Wait(), "killed", "%s", &p.process.stderr)
}

// crash kills at random moments: so often, or as long as there is time. It begins,
// and goes on after each kill, when the load has done something again.
func crash(t *testing.T, e effort.Effort, load *faultLoad, kill func(rnd *rand.Rand)) (kills int) {
	t.Helper()
	rnd := e.Rand(0)
	for kills = 0; kills < crashKills || e.Long && !e.Over(); kills++ {
		before := load.count(fateDone, actCount, actSave)
		load.await(t, "service", func() bool { return load.count(fateDone, actCount, actSave) >= before+30 })
		select {
		case <-time.After(time.Duration(rnd.Int64N(int64(crashTime)))):
		case <-t.Context().Done():
		}
		kill(rnd)
		if len(load.wrongs()) > 0 {
			return kills + 1
		}
	}
	load.await(t, "everything else", load.enough)
	return kills
}

// Programs are killed while they write, and start again. What they had acknowledged
// is in the store, once; who was logged out by them stays out.
func TestKilledProgram(t *testing.T) {
	t.Parallel()
	long(t)
	for _, place := range []faultPlace{redisPlace, postgresPlace, mariaPlace, sqlitePlace, mongoPlace} {
		t.Run(place.name, func(t *testing.T) {
			t.Parallel()
			e := effort.Of(t)
			if place.name == mongoPlace.name {
				e.Long = false // the stand-in does not keep up
			}
			var srv *servers.Server
			if place.server != nil {
				srv = place.server(t)
			}
			spec := place.spec(t, srv)
			programs := []*program{startProgram(t, spec), startProgram(t, spec)}
			load := startFaultLoad(t, e, programs[0].faultNode, programs[1].faultNode)
			kills := crash(t, e, load, func(rnd *rand.Rand) {
				p := programs[rnd.IntN(len(programs))]
				p.kill(t)
				p.start(t)
			})
			load.stop()
			for _, p := range programs {
				p.kill(t)
			}
			st := spec.opened(t)
			wrong := load.judge(t, st, newFaultNode(t, st))
			t.Logf("%d kills: %v", kills, load)
			require.Empty(t, wrong)
		})
	}
}
