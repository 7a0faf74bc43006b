package redisstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

// A record is one string of Redis. Numbers are unsigned, big-endian, and times are
// milliseconds since 1970:
//
//	 0  1  format, 1
//	 1  8  version
//	 9  8  expires
//	17  8  hinted: the time of the owner's hint, see owner.go; 0 without an owner
//	25  2  length of the owner
//	27     owner
//	       data
//
// Scripts know these places too.
const (
	format     = 1
	ownerAt    = 25
	headerSize = 27
	maxOwner   = 512
)

// maxMilli is the latest time: scripts count in float64.
const maxMilli = 1<<53 - 1

var (
	errForeign  = errors.New("what is stored under the key of a record is none")
	errBadOwner = fmt.Errorf("an owner has at most %d bytes", maxOwner)
)

// frame is a record in the form in which it is stored.
type frame struct {
	version uint64
	expires uint64
	hinted  uint64
	owner   string
	data    []byte
}

func newFrame(r *store.Record) (frame, error) {
	if len(r.Owner) > maxOwner {
		return frame{}, errBadOwner
	}
	return frame{
		version: uint64(r.Version), //nolint:gosec // G115: a version is a pattern of bits
		expires: milli(r.Expires),
		owner:   r.Owner,
		data:    r.Data,
	}, nil
}

// milli rounds down. What is out of range expired long ago, or is far away.
func milli(t time.Time) uint64 {
	return uint64(min(max(t.UnixMilli(), 1), maxMilli))
}

// redisExpiry returns when Redis has to forget a record, which it does in the
// millisecond after.
func redisExpiry(expires uint64) uint64 { return max(expires-1, 1) }

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// appendHeader appends what is in front of the data to b.
func (f *frame) appendHeader(b []byte) []byte {
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, f.version)
	b = binary.BigEndian.AppendUint64(b, f.expires)
	b = binary.BigEndian.AppendUint64(b, f.hinted)
	return appendOwner(b, f.owner)
}

func appendOwner(b []byte, owner string) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(owner))) //nolint:gosec // G115: at most maxOwner
	return append(b, owner...)
}

// encode returns the whole frame.
func (f *frame) encode() []byte {
	b := f.appendHeader(make([]byte, 0, headerSize+len(f.owner)+len(f.data)))
	return append(b, f.data...)
}

// parseFrame returns the record in b. Its data is a part of b.
func parseFrame(b []byte) (store.Record, error) {
	if len(b) < headerSize || b[0] != format {
		return store.Record{}, errForeign
	}
	version, expires := binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	size := int(binary.BigEndian.Uint16(b[ownerAt:]))
	if version > 1<<63-1 || expires > maxMilli || size > maxOwner || len(b) < headerSize+size {
		return store.Record{}, errForeign
	}
	return store.Record{
		Data:    b[headerSize+size:],
		Version: int64(version),
		Expires: time.UnixMilli(int64(expires)),
		Owner:   string(b[headerSize : headerSize+size]),
	}, nil
}
