package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/internal/record"
)

type expiryKind uint8

const (
	kindDefault expiryKind = iota // of Config: the zero Expiry
	kindSessionEnd
	kindInactivity
	kindAtTime
)

// defaultIdle is the inactivity limit of OnSessionEnd (NIST SP 800-63B, AAL2).
const defaultIdle = time.Hour

// Expiry says when a session ends. There are always two limits, both kept by
// the server: inactivity, and an absolute end that activity does not move
// ([Config.Lifetime], or earlier). It also decides whether the cookie survives
// the end of the browser.
//
// An Expiry is a comparable value. The zero Expiry means the default of where
// it is used: in [Config] that is OnSessionEnd.
type Expiry struct {
	kind expiryKind
	idle time.Duration
	at   int64 // ms, for kindAtTime
}

// OnSessionEnd keeps the session for as long as the browser keeps a cookie
// without a lifetime, at most one hour without activity (change it with
// [Expiry.WithIdle]) and at most [Config.Lifetime].
func OnSessionEnd() Expiry { return Expiry{kind: kindSessionEnd, idle: defaultIdle} }

// OnInactivity ends the session after d without activity, and at the latest
// after [Config.Lifetime]. The cookie is persistent.
func OnInactivity(d time.Duration) Expiry { return Expiry{kind: kindInactivity}.WithIdle(d) }

// AtTime ends the session at t, which must lie within [Config.Lifetime]. The
// cookie is persistent. There is no inactivity limit unless WithIdle sets one.
func AtTime(t time.Time) Expiry { return Expiry{kind: kindAtTime, at: t.UnixMilli()} }

// WithIdle returns e with an inactivity limit of d, which is kept to the
// millisecond.
func (e Expiry) WithIdle(d time.Duration) Expiry {
	if e.kind == kindDefault {
		e = OnSessionEnd()
	}
	if e.idle = d.Truncate(time.Millisecond); e.idle <= 0 {
		e.idle = -1 // asked for, and refused by check
	}
	return e
}

// String describes e, for messages.
func (e Expiry) String() string {
	var s string
	switch e.kind {
	case kindDefault:
		return "default"
	case kindSessionEnd:
		s = "on session end"
	case kindInactivity:
		return "after " + e.idle.String() + " of inactivity"
	case kindAtTime:
		s = "at " + time.UnixMilli(e.at).UTC().Format(time.RFC3339)
	}
	if e.idle > 0 {
		s += " or after " + e.idle.String() + " of inactivity"
	}
	return s
}

// check reports what makes e unusable for a session that must end by deadline.
func (e Expiry) check(now, deadline time.Time, lifetime time.Duration) error {
	var errs []error
	if e.kind == kindInactivity || e.idle != 0 {
		switch {
		case e.idle < time.Millisecond:
			errs = append(errs, errors.New("the inactivity limit must be at least a millisecond"))
		case e.idle > lifetime:
			errs = append(errs, fmt.Errorf("the inactivity limit of %v is beyond the lifetime of %v: raise Config.Lifetime", e.idle, lifetime))
		}
	}
	if e.kind == kindAtTime {
		at := time.UnixMilli(e.at)
		switch {
		case !at.After(now):
			errs = append(errs, fmt.Errorf("the end %v is not in the future", at.UTC().Format(time.RFC3339)))
		case at.After(deadline):
			errs = append(errs, fmt.Errorf("the end %v is beyond the lifetime, which ends at %v",
				at.UTC().Format(time.RFC3339), deadline.UTC().Format(time.RFC3339)))
		}
	}
	return errors.Join(errs...)
}

// store puts e into a frame, and expiryOf takes it out.
func (e Expiry) store(meta *record.Meta) {
	meta.Kind, meta.Idle, meta.At = uint8(e.kind), e.idle.Milliseconds(), e.at
}

func expiryOf(meta *record.Meta) Expiry {
	return Expiry{kind: expiryKind(meta.Kind), idle: time.Duration(meta.Idle) * time.Millisecond, at: meta.At}
}

func (e Expiry) persistent() bool { return e.kind == kindInactivity || e.kind == kindAtTime }
