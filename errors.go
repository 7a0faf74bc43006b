package session

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrClosed is returned by every verb once the request of the session is
	// over, and by every change once the response has become an error.
	ErrClosed = errors.New("session: the request is over")

	// ErrInUpdate is returned by verbs that change the session when they are
	// called inside the function given to Update.
	ErrInUpdate = errors.New("session: change inside an Update function: return it through the function's pointer instead")

	// ErrPending is returned by Reload when there are unsaved changes.
	ErrPending = errors.New("session: there are unsaved changes: call Save first")

	// ErrDestroyed says that the session ended after this request had opened
	// it: another request destroyed or revoked it, or it expired. Nothing was
	// written.
	ErrDestroyed = errors.New("session: ended by another request or by expiry")

	// ErrSuperseded says that the privilege of the session changed after this
	// request's credential had been issued: another request logged in or
	// elevated. Nothing was written.
	ErrSuperseded = errors.New("session: credential superseded by a login")

	// ErrContention says that other requests changed the session each time this
	// one tried to. Nothing was written; the request can be repeated.
	ErrContention = errors.New("session: too many concurrent changes")

	// ErrUnknown says that a write was sent and its answer was lost: it may have
	// happened or not. Every later verb of the request returns the same error.
	ErrUnknown = errors.New("session: outcome of the write is unknown")

	// ErrHeadersSent is returned where a change would need a cookie and the
	// response has already begun.
	ErrHeadersSent = errors.New("session: the response has begun, a cookie can no longer be sent")
)

// ConflictError says that keys which this request had read were changed by
// another request before this one could replace them. Nothing was written.
type ConflictError struct {
	Keys []string // the keys in conflict, sorted
}

// Error implements error.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("session: %s changed since this request read it: use Update or GetOrSet instead of Get and Set",
		quoteAll(e.Keys))
}

// ReplayError says that the data which another request had written meanwhile were
// refused: by the function of an Update, or by the rules of what came out. Nothing
// was written.
type ReplayError struct {
	Key string
	Err error // what the function returned, or a *ValidationError
}

// Error implements error.
func (e *ReplayError) Error() string {
	return fmt.Sprintf("session: change of %q on fresh data: %v", e.Key, e.Err)
}

// Unwrap returns Err.
func (e *ReplayError) Unwrap() error { return e.Err }

// ValueError says that one value could not be encoded or decoded, or that its
// key is no valid name. The other keys are not affected.
type ValueError struct {
	Key string
	Err error
}

// Error implements error.
func (e *ValueError) Error() string { return fmt.Sprintf("session: value of %q: %v", e.Key, e.Err) }

// Unwrap returns Err.
func (e *ValueError) Unwrap() error { return e.Err }

// ValidationError says that a value breaks the rules of its type: its `validate`
// tags, its method Validate, or the tag of [Typed.WithRule]. Nothing was stored.
// Only what is stored is checked, not what is read. Elements of slices and maps are
// checked too, whether or not their tags say "dive".
type ValidationError struct {
	Key    string         // the key, or the name of the struct's type
	Fields []InvalidField // what is wrong, at least one
	Err    error          // validator.ValidationErrors, what Validate returned, or both
}

// InvalidField is one part of a value that breaks a rule.
type InvalidField struct {
	// Name is the path to it by JSON names, such as "address.zip" or
	// "items[2].price"; empty for the value as a whole. A [Config.Validator] of
	// one's own names fields in its own way.
	Name string
	// Rule and Param are the tag and its parameter, as "min" and "3".
	Rule, Param string
	// Err is what the method Validate returned; nil where a tag was broken.
	Err error
}

// Error implements error.
func (e *ValidationError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "session: %q is not valid", e.Key)
	for i, f := range e.Fields {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		if f.Name != "" {
			b.WriteString(f.Name + " ")
		}
		switch {
		case f.Err != nil:
			b.WriteString(f.Err.Error())
		case f.Param == "":
			b.WriteString("breaks the rule " + f.Rule)
		default:
			b.WriteString("breaks the rule " + f.Rule + "=" + f.Param)
		}
	}
	return b.String()
}

// Unwrap returns Err.
func (e *ValidationError) Unwrap() error { return e.Err }

// Limit names a bound of [Config].
type Limit string

// The limits a [LimitError] can report.
const (
	LimitBytes   Limit = "bytes in a session"
	LimitKeys    Limit = "keys in a session"
	LimitDepth   Limit = "levels of nesting in a value"
	LimitName    Limit = "bytes in a key name"
	LimitOwner   Limit = "bytes in an owner"
	LimitChanges Limit = "changes in a request"
)

// LimitError says that a bound was met. What was there before is still there.
type LimitError struct {
	Limit Limit
	Key   string // the key concerned; empty when it is the session as a whole
	Max   int    // the bound
	Got   int    // what was asked for; for LimitDepth, the level that was too much
}

// Error implements error.
func (e *LimitError) Error() string {
	where := ""
	if e.Key != "" {
		where = fmt.Sprintf(" (key %q)", e.Key)
	}
	return fmt.Sprintf("session: %d %s, at most %d are allowed%s", e.Got, e.Limit, e.Max, where)
}

// StoreError says that the store failed, or returned what cannot be read.
type StoreError struct {
	Op  string // "load", "insert", "swap", "touch", "delete", "list" or "sweep"
	Err error  // the store's own error
}

// Error implements error.
func (e *StoreError) Error() string { return fmt.Sprintf("session: store: %s: %v", e.Op, e.Err) }

// Unwrap returns Err.
func (e *StoreError) Unwrap() error { return e.Err }

// ConfigError holds every problem of a configuration.
type ConfigError struct {
	Problems []error // never empty
}

// Error implements error.
func (e *ConfigError) Error() string {
	var b strings.Builder
	b.WriteString("session: invalid configuration")
	for i, p := range e.Problems {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep)
		b.WriteString(p.Error())
	}
	return b.String()
}

// Unwrap returns the problems.
func (e *ConfigError) Unwrap() []error { return e.Problems }

func quoteAll(keys []string) string {
	var b strings.Builder
	for i, k := range keys {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", k)
	}
	return b.String()
}
