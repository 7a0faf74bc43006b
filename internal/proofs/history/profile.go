package history

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// forever is a limit that no history meets.
const forever = 24 * time.Hour

// profile is what the limits of a history are, and how its session ends.
type profile struct {
	idle, lifetime, grace time.Duration
	ending                kind // destroy, revoke, or touch: nobody uses it any more
}

// timed reports whether the session may end by itself, or needs touches.
func (p profile) timed() bool { return p.idle < time.Hour }

func (p profile) String() string {
	return fmt.Sprintf("idle %v, lifetime %v, grace %v, in the end: %v", p.idle, p.lifetime, p.grace, p.ending)
}

// drawProfile chooses the limits.
func drawProfile(rnd *rand.Rand, o Options) profile {
	some := func(least, most int) time.Duration { return time.Duration(least+rnd.IntN(most-least)) * o.Unit }
	p := profile{idle: time.Hour, lifetime: forever, grace: time.Hour}
	if rnd.IntN(3) > 0 {
		p.grace = some(10, 25)
	}
	switch n := rnd.IntN(10); {
	case n < 4:
		p.ending = destroy
	case n < 7:
		p.ending = revoke
	case n < 9:
		p.ending, p.idle = touch, some(24, 60)
	default:
		p.ending, p.lifetime = touch, some(20, 90)
		p.idle = p.lifetime
	}
	if p.ending != touch && rnd.IntN(2) == 0 {
		p.idle = some(15, 60)
	}
	if o.Endless {
		p.idle, p.lifetime = time.Hour, forever
		if p.ending == touch {
			p.ending = destroy
		}
	}
	return p
}
