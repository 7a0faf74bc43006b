// Package record is the stored form of a session: a binary frame around raw
// values, one per key.
//
// Parse walks a frame once, checks all of it and allocates nothing; values
// are then found by name without decoding the others. Every frame has exactly
// one spelling: what Parse accepts, Encode reproduces byte for byte.
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// Format is the first byte of a frame. A frame of another format was written
// by another generation of the library and is refused, never guessed at.
const Format = 1

// HashSize is the length of a stored secret hash in bytes.
const HashSize = 16

// MaxRecent is how many versions of earlier commits a frame remembers.
const MaxRecent = 16

// ErrCorrupt is wrapped by every error of Parse.
var ErrCorrupt = errors.New("stored session is malformed")

// Hash is the truncated hash of a secret.
type Hash [HashSize]byte

// Mode says what the secret before the last rotation is still good for.
type Mode uint8

const (
	// ModeNone means that there is no earlier secret.
	ModeNone Mode = iota
	// ModeAlias means that the earlier secret is as good as the current one.
	ModeAlias
	// ModeFrozen means that the earlier secret reads what it could read before.
	ModeFrozen
)

// Meta is what the library itself keeps of a session. Times and durations are
// milliseconds, times since 1970 in UTC; zero means never or none. The byte
// slices point into the parsed frame and are not written to.
type Meta struct {
	Kind     uint8 // of the expiry policy
	Idle     int64 // inactivity after which the session ends
	At       int64 // fixed end chosen by the program
	Created  int64
	LoggedIn int64
	Deadline int64 // absolute end
	Rotated  int64 // last change of the secret; creation counts

	Epoch uint64 // privilege changes so far
	Seq   uint64 // commits so far

	Owner  []byte
	Secret Hash
	Recent []byte // versions of the commits before this one, newest first, 8 bytes each
	Prev   Prev
}

// Prev is the secret before the last rotation.
type Prev struct {
	Mode     Mode
	Hash     Hash
	Until    int64 // end of its grace
	LoggedIn int64
	Owner    []byte
	Values   Values // ModeFrozen: what it may still read
}

// View is a parsed frame.
type View struct {
	Meta
	Values Values
}

// Size of the fixed parts, for one allocation per frame.
const maxFixed = 2 + 1 + 8*binary.MaxVarintLen64 + binary.MaxVarintLen64 + HashSize + 1 +
	1 + HashSize + 3*binary.MaxVarintLen64 + 2*binary.MaxVarintLen64

// Parse checks data as a whole and returns a view of it.
func Parse(data []byte) (View, error) { return parse(data, false) }

// Reparse is Parse for data that Encode has made or Parse has accepted: it does not
// walk through the values again.
func Reparse(data []byte) (View, error) { return parse(data, true) }

func parse(data []byte, trusted bool) (View, error) {
	var v View
	p := parser{rest: data}
	if f := p.byte(); f != Format && !p.failed {
		return v, fmt.Errorf("%w: format %d instead of %d", ErrCorrupt, f, Format)
	}
	mode := Mode(p.byte())
	if mode > ModeFrozen {
		p.failed = true
	}
	v.Kind = p.byte()
	for _, t := range [...]*int64{&v.Idle, &v.At, &v.Created, &v.LoggedIn, &v.Deadline, &v.Rotated} {
		*t = p.millis()
	}
	v.Epoch = p.uvarint()
	v.Seq = p.uvarint()
	v.Owner = p.bytes()
	p.hash(&v.Secret)
	n := int(p.byte())
	if n > MaxRecent {
		p.failed = true
	}
	v.Recent = p.take(8 * n)
	if v.Prev.Mode = mode; mode != ModeNone {
		p.hash(&v.Prev.Hash)
		v.Prev.Until = p.millis()
		v.Prev.LoggedIn = p.millis()
		v.Prev.Owner = p.bytes()
		if mode == ModeFrozen {
			v.Prev.Values = parseValues(&p, p.bytes(), trusted)
		}
	}
	v.Values = parseValues(&p, p.rest, trusted)
	if p.failed {
		return View{}, ErrCorrupt
	}
	return v, nil
}

// IsRecent returns the position of version in m.Recent, counting from the
// newest, and -1 when it is not there.
func (m *Meta) IsRecent(version int64) int {
	for i := 0; i+8 <= len(m.Recent); i += 8 {
		if binary.BigEndian.Uint64(m.Recent[i:]) == uint64(version) {
			return i / 8
		}
	}
	return -1
}

// RecentAt returns the version at position i of m.Recent.
func (m *Meta) RecentAt(i int) int64 {
	return int64(binary.BigEndian.Uint64(m.Recent[8*i:]))
}

// Encode returns the frame of m with the values of base after e. A previous
// version other than zero is put in front of m.Recent.
func Encode(m *Meta, previous int64, base Values, e *Edits) []byte {
	size := e.Size(base)
	out := make([]byte, 0, maxFixed+len(m.Owner)+8*MaxRecent+
		len(m.Prev.Owner)+m.Prev.Values.encodedLen()+size.Bytes+binary.MaxVarintLen64)
	out = append(out, Format, byte(m.Prev.Mode), m.Kind)
	for _, t := range [...]int64{m.Idle, m.At, m.Created, m.LoggedIn, m.Deadline, m.Rotated} {
		out = binary.AppendUvarint(out, uint64(t))
	}
	out = binary.AppendUvarint(out, m.Epoch)
	out = binary.AppendUvarint(out, m.Seq)
	out = appendBytes(out, m.Owner)
	out = append(out, m.Secret[:]...)
	out = appendRecent(out, m.Recent, previous)
	if m.Prev.Mode != ModeNone {
		out = append(out, m.Prev.Hash[:]...)
		out = binary.AppendUvarint(out, uint64(m.Prev.Until))
		out = binary.AppendUvarint(out, uint64(m.Prev.LoggedIn))
		out = appendBytes(out, m.Prev.Owner)
		if m.Prev.Mode == ModeFrozen {
			snap := m.Prev.Values
			out = binary.AppendUvarint(out, uint64(snap.encodedLen()))
			out = snap.appendTo(out)
		}
	}
	out = binary.AppendUvarint(out, uint64(size.Keys))
	return e.appendTo(out, base)
}

func appendRecent(out, recent []byte, previous int64) []byte {
	n := len(recent) / 8
	if previous == 0 {
		out = append(out, byte(n))
		return append(out, recent...)
	}
	if n == MaxRecent {
		n--
	}
	out = append(out, byte(n+1))
	out = binary.BigEndian.AppendUint64(out, uint64(previous))
	return append(out, recent[:8*n]...)
}

func appendBytes(out, b []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(b)))
	return append(out, b...)
}

func uvarintLen(x uint64) int {
	n := 1
	for x >= 0x80 {
		x >>= 7
		n++
	}
	return n
}

// parser reads from the front of rest. After the first failure it returns
// zeros, so that callers check once at the end.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) byte() byte {
	b := p.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (p *parser) take(n int) []byte {
	if p.failed || n < 0 || n > len(p.rest) {
		p.failed = true
		return nil
	}
	b := p.rest[:n:n]
	p.rest = p.rest[n:]
	return b
}

func (p *parser) uvarint() uint64 {
	if len(p.rest) > 0 && p.rest[0] < 0x80 { // most are one byte
		x := p.rest[0]
		p.rest = p.rest[1:]
		return uint64(x)
	}
	x, n := binary.Uvarint(p.rest)
	if n <= 0 || p.rest[n-1] == 0 { // cut off, too long, or padded with zeros
		p.failed = true
		return 0
	}
	p.rest = p.rest[n:]
	return x
}

func (p *parser) millis() int64 {
	x := p.uvarint()
	if x > math.MaxInt64 {
		p.failed = true
		return 0
	}
	return int64(x)
}

func (p *parser) bytes() []byte {
	n := p.uvarint()
	if n > uint64(len(p.rest)) {
		p.failed = true
		return nil
	}
	return p.take(int(n))
}

func (p *parser) hash(h *Hash) { copy(h[:], p.take(HashSize)) }
