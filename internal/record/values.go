package record

import (
	"bytes"
	"encoding/binary"
	"iter"
	"slices"
)

// A value is stored as
//
//	uvarint length, key
//	byte flags
//	uvarint version          if flags has flagVersion
//	uvarint expiry in ms     if flags has flagExpires
//	uvarint length, value
//
// in ascending order of the keys. Other flags belong to later formats and are
// refused: what they add could not be kept.
const (
	flagVersion = 1 << iota
	flagExpires
	knownFlags = flagVersion | flagExpires
)

// Values is the values section of a frame. The zero Values is empty. It is
// immutable and safe for concurrent use.
type Values struct {
	entries []byte // behind the count
	n       int
}

// Value is one stored value. The slices point into the frame.
type Value struct {
	Name    []byte
	Raw     []byte
	Version uint64 // of its schema; 0 when it has none
	Expires int64  // in ms; 0 when it lives as long as its session
	entry   []byte
}

// parseValues reads a section that makes up the whole of data. It does not walk
// through one that is trusted.
func parseValues(p *parser, data []byte, trusted bool) Values {
	if p.failed {
		return Values{}
	}
	q := parser{rest: data}
	n := q.uvarint()
	entries := q.rest
	if trusted {
		p.failed = p.failed || q.failed
		return Values{entries: entries, n: int(n)}
	}
	var last []byte
	for i := uint64(0); i < n && !q.failed; i++ {
		v := q.value()
		if i > 0 && bytes.Compare(last, v.Name) >= 0 {
			q.failed = true
		}
		last = v.Name
	}
	if q.failed || len(q.rest) > 0 {
		p.failed = true
		return Values{}
	}
	return Values{entries: entries, n: int(n)}
}

func (p *parser) value() Value {
	start := p.rest
	v := Value{Name: p.bytes()}
	flags := p.byte()
	if flags&^knownFlags != 0 {
		p.failed = true
	}
	if flags&flagVersion != 0 {
		v.Version = p.uvarint()
		p.failed = p.failed || v.Version == 0
	}
	if flags&flagExpires != 0 {
		v.Expires = p.millis()
		p.failed = p.failed || v.Expires == 0
	}
	v.Raw = p.bytes()
	v.entry = start[:len(start)-len(p.rest)]
	return v
}

// Len returns the number of values.
func (s Values) Len() int { return s.n }

// Size returns what the values take in a frame.
func (s Values) Size() Size { return Size{Keys: s.n, Bytes: len(s.entries)} }

// All yields the values in ascending order of their names.
func (s Values) All() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		p := parser{rest: s.entries}
		for len(p.rest) > 0 {
			if !yield(p.value()) {
				return
			}
		}
	}
}

// Find returns the value of a name.
func (s Values) Find(name string) (Value, bool) {
	p := parser{rest: s.entries}
	for len(p.rest) > 0 {
		v := p.value()
		if string(v.Name) == name {
			return v, true
		}
		if string(v.Name) > name {
			break
		}
	}
	return Value{}, false
}

func (s Values) encodedLen() int { return uvarintLen(uint64(s.n)) + len(s.entries) }

func (s Values) appendTo(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(s.n))
	return append(out, s.entries...)
}

// Size is what values take: their number, and their bytes with names and
// framing.
type Size struct{ Keys, Bytes int }

// Edit sets or deletes one value.
type Edit struct {
	Name   string
	Raw    []byte
	Delete bool
}

// Edits turns one values section into another. The zero Edits changes nothing.
type Edits struct {
	Clear bool     // drop every value that is neither set nor in Keep
	Keep  []string // survive Clear
	Set   []Edit   // in strictly ascending order of their names
}

// Size returns the size of base after e.
func (e *Edits) Size(base Values) Size {
	size, _ := e.merge(base, nil, false)
	return size
}

func (e *Edits) appendTo(out []byte, base Values) []byte {
	_, out = e.merge(base, out, true)
	return out
}

// merge walks through base and e side by side, in the order of the names, and
// returns the size of the result and, if write is set, out with the result. It
// keeps everything in local variables, which are not allocated.
func (e *Edits) merge(base Values, out []byte, write bool) (size Size, _ []byte) {
	set, rest := e.Set, parser{rest: base.entries}
	var head Value // next of base, if its entry is not nil
	for {
		if head.entry == nil && len(rest.rest) > 0 {
			head = rest.value()
		}
		switch {
		case len(set) > 0 && (head.entry == nil || set[0].Name <= string(head.Name)):
			if head.entry != nil && set[0].Name == string(head.Name) {
				head.entry = nil // replaced
			}
			if !set[0].Delete {
				size.Keys++
				size.Bytes += EntrySize(set[0].Name, set[0].Raw)
				if write {
					out = appendEntry(out, set[0].Name, set[0].Raw)
				}
			}
			set = set[1:]
		case head.entry == nil:
			return size, out
		default:
			if !e.Clear || e.keeps(head.Name) {
				size.Keys++
				size.Bytes += len(head.entry)
				if write {
					out = append(out, head.entry...)
				}
			}
			head.entry = nil
		}
	}
}

func appendEntry(out []byte, name string, raw []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(name)))
	out = append(out, name...)
	out = append(out, 0)
	out = binary.AppendUvarint(out, uint64(len(raw)))
	return append(out, raw...)
}

func (e *Edits) keeps(name []byte) bool {
	return slices.Contains(e.Keep, string(name))
}

// EntrySize returns the bytes that a value without version and expiry takes.
func EntrySize(name string, raw []byte) int {
	return uvarintLen(uint64(len(name))) + len(name) + 1 + uvarintLen(uint64(len(raw))) + len(raw)
}
