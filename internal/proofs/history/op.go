package history

import (
	"fmt"
	"strings"
	"time"
)

// kind is what an operation does.
type kind uint8

const (
	load    kind = iota
	touch        // what a commit does for a session that was only read
	set          // one key or two, without looking
	update       // add 1
	pair         // add 1 to the first two keys, which are the fields of a struct
	claim        // add 1 to an even number, or refuse
	replace      // read, then set
	take
	getOrSet
	remove
	clearAll
	rotate
	elevate
	login
	destroy
	revoke // by another node, without a credential
)

var kindNames = [...]string{
	"load", "touch", "set", "update", "update of the struct", "claim", "get and set", "take", "get or set", "delete",
	"clear", "rotate", "elevate", "login", "destroy", "revoke",
}

func (k kind) String() string { return kindNames[k] }

// looks reports whether a request of this kind reads all values when it has loaded
// the session. A set of what has been read would not be blind.
func (k kind) looks() bool {
	switch k {
	case set, remove, rotate, elevate, login:
		return false
	default:
		return true
	}
}

// ends reports whether it ends the session.
func (k kind) ends() bool { return k == destroy || k == revoke }

// outcome is what the client was told.
type outcome uint8

const (
	done       outcome = iota
	unknown            // its answer was lost: it stays open
	gone               // ErrDestroyed: nothing was written
	superseded         // ErrSuperseded, or a login that went to another session
	conflict           // *ConflictError
	refused            // what an Update function returned, at once or in a *ReplayError
	failed             // any other failure, without effect
)

var outcomeNames = [...]string{"done", "unknown", "ended", "superseded", "conflict", "refused", "failed"}

func (o outcome) String() string { return outcomeNames[o] }

// keyCount is how many keys the session has.
const keyCount = 3

var keyNames = [keyCount]string{"x", "y", "z"}

// values are what the keys hold; 0 stands for no value.
type values [keyCount]int32

func (v values) String() string {
	var b strings.Builder
	for i, n := range v {
		if i > 0 {
			b.WriteByte(' ')
		}
		if n == 0 {
			_, _ = fmt.Fprintf(&b, "%s -", keyNames[i])
		} else {
			_, _ = fmt.Fprintf(&b, "%s %d", keyNames[i], n)
		}
	}
	return b.String()
}

// owners are who may be logged in; the first is nobody.
var owners = [...]string{"", "ada", "bob"}

func ownerOf(name string) int8 {
	for i, o := range owners {
		if o == name {
			return int8(i)
		}
	}
	return -1
}

// credential is what a client presents.
type credential struct {
	text  string
	id    int // of the operation that issued it
	epoch int // of the operation that changed the privileges before that
}

// op is one operation. Values, keys and the owner are what was asked for, the rest is
// the answer.
type op struct {
	id, client, node int
	kind             kind
	cred             credential
	keys             []int // of set, and of what is set beside a rotation, elevation or login; else the one
	value            int32 // for each of keys
	owner            int8  // of login; of load: who it was

	out     outcome
	isNew   bool   // of load: the credential opens nothing
	writes  bool   // of load: a change was let in, so it was not frozen
	found   bool   // of load: with all values; else: with all values after it
	values  values // that
	got     int32  // the value that was read, made, taken or found; 0: none
	rotated bool
	other   bool  // it happened to another session
	stale   bool  // it is about what a cache had, or so it may be
	err     error // for the reader

	call, ret  int64         // in the order of events
	begin, end time.Duration // since the history began
}

// open reports whether o may still take effect after its return.
func (o *op) open() bool { return o.out == unknown }

// counts reports whether o says something about the session.
func (o *op) counts() bool { return o.out != failed && (!o.stale || o.kind == touch) }

func (o *op) String() string {
	var b strings.Builder
	_, _ = fmt.Fprintf(&b, "%-20s", o.kind)
	if o.kind != revoke {
		_, _ = fmt.Fprintf(&b, " with %d", o.cred.id)
	}
	if o.kind != load {
		for _, k := range o.keys {
			_, _ = fmt.Fprintf(&b, " %s", keyNames[k])
		}
		if o.value != 0 {
			_, _ = fmt.Fprintf(&b, " := %d", o.value)
		}
		if o.kind == login {
			_, _ = fmt.Fprintf(&b, " as %s", owners[o.owner])
		}
	}
	_, _ = fmt.Fprintf(&b, ": %s", o.out)
	switch {
	case o.kind == load && o.isNew:
		b.WriteString(", opens nothing")
	case o.kind == load && o.out == done:
		_, _ = fmt.Fprintf(&b, ", owner %q", owners[max(o.owner, 0)])
	}
	if o.got != 0 {
		_, _ = fmt.Fprintf(&b, ", got %d", o.got)
	}
	if o.found {
		_, _ = fmt.Fprintf(&b, ", sees %v", o.values)
	}
	if o.rotated {
		b.WriteString(", rotated")
	}
	if o.other {
		b.WriteString(", in another session")
	}
	if o.stale {
		b.WriteString(", perhaps of old")
	}
	if o.err != nil {
		_, _ = fmt.Fprintf(&b, " (%v)", o.err)
	}
	return b.String()
}
