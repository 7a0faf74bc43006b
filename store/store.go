// Package store is the contract between sessions and the place where they are
// kept: a linearizable compare-and-swap map whose records expire.
//
// A store author reads this package and calls
// [github.com/typedsession/session/store/storetest.Run] from a test. Nothing
// else of this module is needed to write a store.
package store

import (
	"context"
	"encoding/hex"
	"errors"
	"time"
)

// Key names one record. It is a hash of what the visitor's cookie holds, so a
// key that leaks opens no session. Keys are drawn at random and never used
// again after their record has been deleted; the library relies on that, not
// on tombstones.
type Key [32]byte

// String returns the key as 64 lower-case hexadecimal digits.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// Record is one stored session.
type Record struct {
	// Data is opaque and must come back byte for byte. It is immutable from the
	// moment it is passed, in either direction: neither side copies it and
	// neither side writes to it.
	Data []byte
	// Version is the random, positive 63-bit number of the write that produced
	// this record. It is compared for equality only: it does not count, and a
	// store must not invent or change one.
	Version int64
	// Expires is when the record stops to exist, by the store's clock. A store
	// keeps it to the millisecond at least.
	Expires time.Time
	// Owner is the value of the owner index, empty when nobody owns the record.
	// It is valid UTF-8 without NUL, at most 512 bytes, compared byte by byte.
	Owner string
}

// The answers of a store that leave nothing open. A store may wrap them; every
// other error means that the store could not do its work, and that the outcome
// of a write is not known.
var (
	// ErrNotFound says that no live record has this key: it never existed, was
	// deleted or has expired.
	ErrNotFound = errors.New("store: no such record")
	// ErrExists says that Insert found a record under its key.
	ErrExists = errors.New("store: record exists")
	// ErrConflict says that Swap found another version than the expected one.
	ErrConflict = errors.New("store: version conflict")
	// ErrRefused says that a store would not take a write, for want of room for
	// example, and that nothing has changed.
	ErrRefused = errors.New("store: write refused")
)

// Store keeps records. All methods are safe for concurrent use, and each is
// one atomic step on one key: whoever starts after a method has returned, on
// any node, sees its effect. A store has no operation that writes regardless
// of what is there; do not add one.
//
// Live means: present, and its Expires lies after now. The store's clock
// decides, because it is the only one that all nodes share. An expired record
// that still takes up room must look exactly as if it were gone (for Insert,
// ErrExists is allowed too: keys are never reused).
//
// A method that returns an error other than those named did not necessarily
// fail to take effect. It must not repeat a write by itself unless the
// repetition cannot be noticed. Methods return soon after ctx has ended, with an
// error that is none of those above.
type Store interface {
	// Load returns the live record of key, or ErrNotFound.
	Load(ctx context.Context, key Key) (Record, error)

	// Insert creates the record, or returns ErrExists and changes nothing. It
	// never replaces a record, however old. A record that has expired already is
	// inserted like any other: clocks differ.
	Insert(ctx context.Context, key Key, r Record) error

	// Swap replaces the record if it is live and its version is old. Data,
	// Version, Expires (also to an earlier time) and Owner become those of r.
	//
	// With no live record it returns ErrNotFound and creates nothing. With
	// another version it returns ErrConflict, changes nothing, and returns the
	// record it found, or the zero Record where the backend cannot tell. When
	// the stored version already is r.Version the swap has happened before and
	// its answer was lost: Swap changes nothing and returns nil. On success the
	// returned record is not looked at.
	Swap(ctx context.Context, key Key, old int64, r Record) (cur Record, err error)

	// Touch lengthens the life of a live record whose version is old to exp. It
	// never shortens it, and never changes data, version or owner. Another
	// version, an absent or an expired record is no error and changes nothing.
	Touch(ctx context.Context, key Key, old int64, exp time.Time) error

	// Delete removes the record. It wins over every other method: once it has
	// returned, no Load, Swap or Touch of this key succeeds. An absent record is
	// no error.
	Delete(ctx context.Context, key Key) error
}
