// Package session keeps HTTP sessions in which the compiler knows what is in
// them.
//
// # Model
//
// A session is a set of JSON values under string keys, one session per visitor.
// A program declares the keys it uses, with their types:
//
//	var Counter = session.Key[int]("counter")
//
// and handlers use them with the context of the request:
//
//	n, err := Counter.Update(r.Context(), func(n *int) error { *n++; return nil })
//
// or it binds the session, or a part of it, to a struct whose fields are keys:
//
//	type Visit struct {
//		Pageviews int       `json:"pageviews" validate:"gte=0"`
//		FirstSeen time.Time `json:"first_seen"`
//	}
//
//	var Guest = session.Struct[Visit]()
//
//	v, err := Guest.Update(r.Context(), func(v *Visit) error { v.Pageviews++; return nil })
//
// Keys and structs share one session: a struct writes the fields that it changes and
// leaves everything else as it is, so programs of different versions can share one
// too. Values are checked by the rules of their types whenever they are stored, see
// [ValidationError]. What package variables declare is checked by [NewManager]: keys
// of one name with two types, structs that JSON cannot hold, rules that do not exist
// or fit.
//
// Three layers lie beneath. A [Manager] opens, commits and revokes sessions. A
// transport, such as package middleware for net/http, reads the cookie, calls the
// manager, and writes the cookie. A store keeps records: package store is its
// contract, store/memory, store/sqlstore, store/redisstore and store/mongostore are
// implementations, store/cached is a near cache in front of any of them, and
// store/storetest is the proof that a store keeps the contract.
// Package sessiontest makes sessions for the tests of programs.
//
// A session is loaded when a handler first uses it, and committed once, before the
// first byte of the response. What a request did is a log of changes, not a copy
// of the session: when another request was faster, the log is applied again to
// what that one has stored. Changes of different keys never meet; the functions
// given to [Typed.Update] run again on the fresh value, of a struct on all its fields;
// replacing a value that has
// changed since it was read is a [ConflictError]. [Typed.Take], [Typed.GetOrSet],
// [Session.Save] and [Session.Destroy] act at once.
//
// The cookie holds a key, which names the session for life, and a secret, which
// [Session.Login], [Session.Elevate] and [Session.Rotate] replace. The store sees
// hashes of both. A rotation is one swap of one record, and a key that has been
// deleted is never used again.
//
// Once a load has failed, every verb of the request returns that error, nothing
// is committed, and the response is an error, unless the handler has answered with
// one itself. A value that could not be decoded cannot be overwritten before it
// has been deleted: a handler that ignores an error cannot destroy what it failed
// to read.
//
// A handler that lives long, such as that of a WebSocket, learns from [Session.Done]
// that its session is over, on whichever node that happened.
//
// # Promises
//
// Each has tests that carry its number: go test -run Promise ./...
//
//  1. No lost update: concurrent changes to different keys all survive; concurrent
//     Updates of one key or struct all count; on any number of nodes.
//  2. No resurrection: once Destroy, Revoke or expiry has been acknowledged, no
//     later request of any node reads or writes that session. (Behind store/cached
//     another node may read it up to the bound of the cache, and never write.)
//  3. Rotation is atomic and keeps the data; requests under way with the previous
//     credential neither fork the session nor are answered as logged out within a
//     short grace window. After a change of privileges the previous credential
//     reads only what it could read before, and writes nothing; it reads nothing
//     when the session has become another owner's.
//  4. A client never chooses an id; unknown, malformed, expired or duplicated
//     cookies create nothing.
//  5. A visitor who never touches the session costs no store call, no cookie, no
//     record, no Vary.
//  6. A store failure is an error, never an empty session; a change that was not
//     saved is never reported as saved.
//  7. A value of the wrong type or shape is an error on that key alone; other keys,
//     and keys the program does not know, are kept byte for byte.
//  8. Absolute and idle limits are enforced by the server; only Login starts a new
//     absolute one.
//  9. No credential in any log line, error, %v, %+v or %#v, or in the store.
//  10. Bounded: size of a session, number of keys, nesting, retries, goroutines:
//     none, but for Done a few for each Manager. A limit met is a typed error, and
//     nothing is lost.
//
// A store whose backend cannot keep a promise says so in its documentation. Not
// promised: dependencies between keys are not checked (write skew). And where
// responses that set the cookie are under way together, the browser keeps what the
// last one to arrive says: one of the two sessions that two first requests make; the
// credential of a Rotate that a later login has replaced; or, after a logout, no
// cookie although a later login sent one. At worst the visitor has to log in, or
// out, once more. No order shows a session again that an acknowledged logout ended.
package session
