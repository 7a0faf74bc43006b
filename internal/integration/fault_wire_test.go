package integration_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What a program waits for, at most: a driver for the server, and a request for its
// session. A stall takes longer than either.
const (
	faultDriver  = 150 * time.Millisecond
	faultContext = 300 * time.Millisecond
	faultStall   = 320 * time.Millisecond // and up to half as much again
)

// faultOdds are the usual ones against a fault.
const faultOdds = 10

// faultKind is something that happens between a program and its database.
type faultKind int

const (
	faultLost          faultKind = iota // the answer gets lost
	faultResetQuestion                  // the connection is reset in the middle of a question
	faultResetAnswer                    // and of an answer
	faultStalledAsking                  // a part of a question comes late, perhaps when nobody waits any more
	faultStalledReply                   // the same of an answer
	faultBrokenAsking                   // a part of a question comes, then nothing, then a reset
	faultBrokenReply                    // the same of an answer
	faultKinds         int       = iota // how many there are
)

var faultNames = [faultKinds]string{
	"answers lost", "questions reset", "answers reset", "questions stalled", "answers stalled", "questions stalled and reset", "answers stalled and reset",
}

// ofAnswers says whether the kind is about answers.
func (k faultKind) ofAnswers() bool {
	return k != faultResetQuestion && k != faultStalledAsking && k != faultBrokenAsking
}

// stalls says whether the kind takes long.
func (k faultKind) stalls() bool { return k >= faultStalledAsking }

// faults disturbs a wire, and counts.
type faults struct {
	odds     int // against one at each question, and at each answer
	injected [faultKinds]atomic.Int64

	mu  sync.Mutex
	rnd *rand.Rand
}

// disturb disturbs w from now on.
func (f *faults) disturb(w *wire) {
	next := f.next
	w.disturb.Store(&next)
}

func (f *faults) next(answer bool) *disturbance {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rnd.IntN(f.odds) > 0 {
		return nil
	}
	kinds := map[bool][]faultKind{
		false: {faultResetQuestion, faultStalledAsking, faultBrokenAsking},
		true:  {faultLost, faultResetAnswer, faultStalledReply, faultBrokenReply},
	}[answer]
	k := kinds[f.rnd.IntN(len(kinds))]
	if k.stalls() && f.rnd.IntN(3) > 0 { // it takes the time of a whole request
		return nil
	}
	f.injected[k].Add(1)
	return k.disturbance(f.rnd)
}

// disturbance makes one of the kind.
func (k faultKind) disturbance(rnd *rand.Rand) *disturbance {
	d := &disturbance{part: rnd.Float64(), stall: faultStall + time.Duration(rnd.Int64N(int64(faultStall/2)))}
	switch k {
	case faultLost:
		d.part, d.stall, d.breaks = 0, 0, true
	case faultResetQuestion, faultResetAnswer:
		// Sometimes the other side has read the part, sometimes not.
		d.stall, d.breaks, d.reset = time.Duration(rnd.Int64N(int64(2*time.Millisecond))), true, true
	case faultBrokenAsking, faultBrokenReply:
		d.breaks, d.reset = true, true
	}
	return d
}

// least is how often each kind has happened at least.
func (f *faults) least() int64 {
	n := f.injected[0].Load()
	for i := range f.injected {
		n = min(n, f.injected[i].Load())
	}
	return n
}

func (f *faults) String() string {
	var b strings.Builder
	for i, name := range faultNames {
		fmt.Fprintf(&b, "%d %s, ", f.injected[i].Load(), name)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

// Each kind of fault does what it is called.
func TestFaultsOfAWire(t *testing.T) {
	t.Parallel()
	const question, reply = "how much is the fish?", "it is not for sale"
	for k := range faultKind(faultKinds) {
		t.Run(faultNames[k], func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			w := newWire(t, l.Addr().String())
			disturb := func(answer bool) *disturbance {
				if answer != k.ofAnswers() {
					return nil
				}
				return k.disturbance(rand.New(rand.NewPCG(1, uint64(k))))
			}
			w.disturb.Store(&disturb)
			client, err := net.Dial("tcp", w.Addr().String())
			require.NoError(t, err)
			server, err := l.Accept()
			require.NoError(t, err)
			require.NoError(t, l.Close())
			defer func() { _ = client.Close(); _ = server.Close() }()

			begun := time.Now()
			_, err = io.WriteString(client, question)
			require.NoError(t, err)
			heard := make([]byte, len(question))
			n, err := io.ReadFull(server, heard)
			if k == faultResetQuestion || k == faultBrokenAsking {
				require.Less(t, n, len(question))
				require.Equal(t, question[:n], string(heard[:n]))
				require.ErrorIs(t, err, syscall.ECONNRESET)
				_, err = client.Read(heard)
				require.ErrorIs(t, err, syscall.ECONNRESET)
				if k.stalls() {
					require.Greater(t, time.Since(begun), faultContext)
				}
				return
			}
			require.NoError(t, err)
			if k == faultStalledAsking {
				require.Greater(t, time.Since(begun), faultContext)
			}
			_, err = io.WriteString(server, reply)
			require.NoError(t, err)
			got, err := io.ReadAll(io.LimitReader(client, int64(len(reply))))
			switch k {
			case faultLost:
				require.NoError(t, err, "the end, without a reset")
				require.Empty(t, got)
			case faultResetAnswer, faultBrokenReply:
				require.ErrorIs(t, err, syscall.ECONNRESET)
				require.Less(t, len(got), len(reply))
				if k.stalls() {
					require.Greater(t, time.Since(begun), faultContext)
				}
			default:
				require.NoError(t, err)
				require.Equal(t, reply, string(got))
				require.Greater(t, time.Since(begun), faultContext)
			}
		})
	}
}
