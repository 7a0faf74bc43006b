package record_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/typedsession/session/internal/record"
)

// frame is a stored session as the tests write one by hand: a second opinion on
// the format that shares no code with the package.
type frame struct {
	format, mode, kind byte
	times              [6]uint64 // idle, at, created, logged in, deadline, rotated
	epoch, seq         uint64
	owner              string
	secret             [record.HashSize]byte
	recent             []uint64

	prevHash            [record.HashSize]byte
	prevUntil, prevSeen uint64
	prevOwner           string
	prevValues          []value // mode 2
	values              []value
}

// value is one stored value; a version or an expiry of 0 is none.
type value struct {
	name, raw        string
	version, expires uint64
}

func lengthPrefixed(out []byte, s string) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

func (v value) append(out []byte) []byte {
	out = lengthPrefixed(out, v.name)
	flags := byte(0)
	if v.version != 0 {
		flags |= 1
	}
	if v.expires != 0 {
		flags |= 2
	}
	out = append(out, flags)
	if v.version != 0 {
		out = binary.AppendUvarint(out, v.version)
	}
	if v.expires != 0 {
		out = binary.AppendUvarint(out, v.expires)
	}
	return lengthPrefixed(out, v.raw)
}

func section(values []value) []byte {
	out := binary.AppendUvarint(nil, uint64(len(values)))
	for _, v := range values {
		out = v.append(out)
	}
	return out
}

func (f *frame) encode() []byte {
	out := []byte{f.format, f.mode, f.kind}
	for _, t := range f.times {
		out = binary.AppendUvarint(out, t)
	}
	out = binary.AppendUvarint(out, f.epoch)
	out = binary.AppendUvarint(out, f.seq)
	out = lengthPrefixed(out, f.owner)
	out = append(out, f.secret[:]...)
	out = append(out, byte(len(f.recent)))
	for _, v := range f.recent {
		out = binary.BigEndian.AppendUint64(out, v)
	}
	if f.mode != 0 {
		out = append(out, f.prevHash[:]...)
		out = binary.AppendUvarint(out, f.prevUntil)
		out = binary.AppendUvarint(out, f.prevSeen)
		out = lengthPrefixed(out, f.prevOwner)
	}
	if f.mode == 2 {
		out = lengthPrefixed(out, string(section(f.prevValues)))
	}
	return append(out, section(f.values)...)
}

// realFrame is a session after a login: all slots are in use.
func realFrame() *frame {
	return &frame{
		format: record.Format, mode: 2, kind: 1,
		times: [6]uint64{3_600_000, 0, 1_700_000_000_000, 1_700_000_100_000, 1_700_086_400_000, 1_700_000_100_000},
		epoch: 1, seq: 7, owner: "user-42",
		secret: [16]byte{0xA1, 0xB2, 0xC3, 15: 0xFF}, recent: []uint64{9, 8, 1<<63 - 1},
		prevHash: [16]byte{1, 2, 3}, prevUntil: 1_700_000_130_000, prevOwner: "user-41", prevSeen: 1_700_000_000_500,
		prevValues: []value{{name: "counter", raw: "6"}, {name: "theme", raw: `"dark"`, version: 2}},
		values: []value{
			{name: "\x00", raw: "null"},
			{name: "cart", raw: `[{"id":1},{"id":2}]`, version: 3},
			{name: "counter", raw: "7"},
			{name: "flash", raw: `"saved"`, expires: 1_700_000_200_000},
			{name: "zoë", raw: `{}`, version: 200, expires: 1},
		},
	}
}

// plainFrame is a session without any of it.
func plainFrame(values ...value) *frame {
	return &frame{format: record.Format, seq: 1, values: values}
}

// pick returns a number whose encoding has any of the lengths there are.
func pick(r *rand.Rand, bits int) uint64 { return r.Uint64() >> (64 - r.IntN(bits+1)) }

func randomText(r *rand.Rand, most int) string {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// randomValues returns values in ascending order of their names, which are few,
// so that edits meet them.
func randomValues(r *rand.Rand, most int) []value {
	values := map[string]value{}
	for range r.IntN(most + 1) {
		v := value{name: fmt.Sprintf("k%02d", r.IntN(30)), raw: randomText(r, 40)}
		switch r.IntN(10) {
		case 0:
			v.name = randomText(r, 6)
		case 1:
			v.raw = randomText(r, 300)
		case 2:
			v.version = 1 + pick(r, 63)
		case 3:
			v.expires = 1 + pick(r, 62)
		case 4:
			v.version, v.expires = 1+pick(r, 63), 1+pick(r, 62)
		}
		values[v.name] = v
	}
	return slices.SortedFunc(maps.Values(values), func(a, b value) int { return cmp.Compare(a.name, b.name) })
}

func randomHash(r *rand.Rand) (h [record.HashSize]byte) {
	for i := range h {
		h[i] = byte(r.Uint32())
	}
	return h
}

func randomFrame(r *rand.Rand) *frame {
	f := &frame{
		format: record.Format, mode: byte(r.IntN(3)), kind: byte(r.Uint32()),
		epoch: pick(r, 64), seq: pick(r, 64), owner: randomText(r, 20), secret: randomHash(r),
		values: randomValues(r, 20),
	}
	for i := range f.times {
		f.times[i] = pick(r, 63)
	}
	for range r.IntN(record.MaxRecent + 1) {
		f.recent = append(f.recent, pick(r, 63))
	}
	if f.mode != 0 {
		f.prevHash, f.prevUntil, f.prevSeen, f.prevOwner = randomHash(r), pick(r, 63), pick(r, 63), randomText(r, 20)
	}
	if f.mode == 2 {
		f.prevValues = randomValues(r, 5)
	}
	return f
}

// meta is what Parse must make of f besides the values.
func (f *frame) meta() record.Meta {
	var recent []byte
	for _, v := range f.recent {
		recent = binary.BigEndian.AppendUint64(recent, v)
	}
	return record.Meta{
		Kind: f.kind, Idle: int64(f.times[0]), At: int64(f.times[1]), Created: int64(f.times[2]),
		LoggedIn: int64(f.times[3]), Deadline: int64(f.times[4]), Rotated: int64(f.times[5]),
		Epoch: f.epoch, Seq: f.seq, Owner: []byte(f.owner), Secret: f.secret, Recent: recent,
		Prev: record.Prev{
			Mode: record.Mode(f.mode), Hash: f.prevHash, Until: int64(f.prevUntil),
			LoggedIn: int64(f.prevSeen), Owner: []byte(f.prevOwner),
		},
	}
}

// frameOf is the way back from meta.
func frameOf(v *record.View) *frame {
	f := &frame{
		format: record.Format, mode: byte(v.Prev.Mode), kind: v.Kind, epoch: v.Epoch, seq: v.Seq,
		owner: string(v.Owner), secret: v.Secret, values: valuesOf(v.Values),
		prevHash: v.Prev.Hash, prevUntil: uint64(v.Prev.Until), prevSeen: uint64(v.Prev.LoggedIn),
		prevOwner: string(v.Prev.Owner), prevValues: valuesOf(v.Prev.Values),
	}
	for i, t := range []int64{v.Idle, v.At, v.Created, v.LoggedIn, v.Deadline, v.Rotated} {
		f.times[i] = uint64(t)
	}
	for i := range len(v.Recent) / 8 {
		f.recent = append(f.recent, uint64(v.RecentAt(i)))
	}
	return f
}

// valuesOf reads values back.
func valuesOf(s record.Values) []value {
	var out []value
	for v := range s.All() {
		out = append(out, value{string(v.Name), string(v.Raw), v.Version, uint64(v.Expires)})
	}
	return out
}

func repeated(b byte, n int) string { return string(bytes.Repeat([]byte{b}, n)) }
