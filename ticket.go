package session

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Action says what a transport has to do with its cookie.
type Action uint8

const (
	// ActionNone leaves the cookie alone.
	ActionNone Action = iota
	// ActionSet sends the credential of the ticket.
	ActionSet
	// ActionRemove removes the cookie.
	ActionRemove
)

// String returns "none", "set" or "remove".
func (a Action) String() string {
	switch a {
	case ActionSet:
		return "set"
	case ActionRemove:
		return "remove"
	default:
		return "none"
	}
}

// Ticket tells a transport what to do with the cookie. It prints without its
// credential, whatever the verb. The zero Ticket says ActionNone.
type Ticket struct {
	action     Action
	cred       credential
	expires    time.Time
	persistent bool
}

// Action says whether to set, remove or leave the cookie.
func (t Ticket) Action() Action { return t.action }

// Credential returns the value of the cookie: letters, digits, '-', '_' and
// one '.'. It is empty unless the action is ActionSet.
func (t Ticket) Credential() string {
	if t.action != ActionSet {
		return ""
	}
	return t.cred.encode()
}

// Expires returns the absolute end of the session.
func (t Ticket) Expires() time.Time { return t.expires }

// Persistent says whether the cookie is to outlive the browser, until Expires.
func (t Ticket) Persistent() bool { return t.persistent }

// String describes t without its credential.
func (t Ticket) String() string { return "session.Ticket(" + t.action.String() + ")" }

// Format implements [fmt.Formatter]: every verb prints String.
func (t Ticket) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue implements [slog.LogValuer].
func (t Ticket) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON implements json.Marshaler.
func (t Ticket) MarshalJSON() ([]byte, error) { return []byte(`"` + t.String() + `"`), nil }

// Opening is what a transport knows of a request when it opens its session. It
// prints without the credentials.
type Opening struct {
	// Credentials are the values of all cookies that have the session's name, in
	// the order of the request. Malformed ones are ignored; of the others at most
	// three are tried, and the first that opens a live session counts.
	Credentials []string
	// Fresh asks for a load past every cache. Set it for requests that may
	// change something: all methods but GET and HEAD.
	Fresh bool
}

// String describes o without its credentials.
func (o Opening) String() string {
	return fmt.Sprintf("session.Opening(%d credentials, fresh=%t)", len(o.Credentials), o.Fresh)
}

// Format implements [fmt.Formatter]: every verb prints String.
func (o Opening) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// LogValue implements [slog.LogValuer].
func (o Opening) LogValue() slog.Value { return slog.StringValue(o.String()) }

// MarshalJSON implements json.Marshaler.
func (o Opening) MarshalJSON() ([]byte, error) { return []byte(`"` + o.String() + `"`), nil }
