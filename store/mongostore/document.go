package mongostore

import (
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/typedsession/session/store"
)

// The fields of a document. Their names are short because each document has them.
const (
	fieldID      = "_id" // binary, the key
	fieldVersion = "v"   // 64-bit integer
	fieldExpires = "x"   // date
	fieldData    = "d"   // binary
	fieldOwner   = "o"   // binary, and only there if the record has an owner
)

// maxDocument is how long a document can be that MongoDB stores, in bytes.
const maxDocument = 16 << 20

// DocumentError says that a document of the collection is none that a Store has
// written.
type DocumentError struct {
	Field string // the field that is missing or of another type; empty if it is no document at all
}

// Error implements the error interface.
func (e *DocumentError) Error() string {
	if e.Field == "" {
		return "what was found is no BSON document"
	}
	return fmt.Sprintf("field %q of the document is missing or of another type", e.Field)
}

func binary(b []byte) bson.Binary {
	if b == nil {
		b = []byte{} // nil would be null
	}
	return bson.Binary{Data: b}
}

func ownerValue(owner string) bson.Binary { return binary([]byte(owner)) }

func date(t time.Time) bson.DateTime { return bson.DateTime(t.UnixMilli()) }

// fields returns the fields of a record, without its key.
func fields(r *store.Record) bson.D {
	d := make(bson.D, 0, 5)
	d = append(d,
		bson.E{Key: fieldVersion, Value: r.Version},
		bson.E{Key: fieldExpires, Value: date(r.Expires)},
		bson.E{Key: fieldData, Value: binary(r.Data)})
	if r.Owner != "" {
		d = append(d, bson.E{Key: fieldOwner, Value: ownerValue(r.Owner)})
	}
	return d
}

// document returns what is stored of a record.
func document(key store.Key, r *store.Record) bson.D {
	return append(bson.D{{Key: fieldID, Value: binary(key[:])}}, fields(r)...)
}

// replacement returns the update that makes a document that of r.
func replacement(r *store.Record) bson.D {
	update := bson.D{{Key: "$set", Value: fields(r)}}
	if r.Owner == "" {
		update = append(update, bson.E{Key: "$unset", Value: bson.D{{Key: fieldOwner, Value: ""}}})
	}
	return update
}

// documentSize returns the length of the document of r, in bytes.
func documentSize(r *store.Record) int {
	// Type, name, length, subtype: 1 + n + 1 + 4 + 1; length and end of the document.
	const binaryHead, ends = 7, 4 + 1
	n := ends + binaryHead + len(fieldID) + len(store.Key{}) +
		2 + len(fieldVersion) + 8 + 2 + len(fieldExpires) + 8 +
		binaryHead + len(fieldData) + len(r.Data)
	if r.Owner != "" {
		n += binaryHead + len(fieldOwner) + len(r.Owner)
	}
	return n
}

// decode reads a document, and the key in it if key is not nil. The record's data
// is part of raw.
func decode(raw bson.Raw, key *store.Key) (store.Record, error) {
	if raw.Validate() != nil {
		return store.Record{}, &DocumentError{}
	}
	if key != nil {
		id, ok := decodeBinary(raw, fieldID)
		if !ok || len(id) != len(key) {
			return store.Record{}, &DocumentError{Field: fieldID}
		}
		copy(key[:], id)
	}
	var r store.Record
	var ok bool
	if r.Version, ok = raw.Lookup(fieldVersion).Int64OK(); !ok {
		return store.Record{}, &DocumentError{Field: fieldVersion}
	}
	ms, ok := raw.Lookup(fieldExpires).DateTimeOK()
	if !ok {
		return store.Record{}, &DocumentError{Field: fieldExpires}
	}
	r.Expires = time.UnixMilli(ms)
	if r.Data, ok = decodeBinary(raw, fieldData); !ok {
		return store.Record{}, &DocumentError{Field: fieldData}
	}
	if value, err := raw.LookupErr(fieldOwner); err == nil {
		subtype, owner, ok := value.BinaryOK()
		if !ok || subtype != bson.TypeBinaryGeneric {
			return store.Record{}, &DocumentError{Field: fieldOwner}
		}
		r.Owner = string(owner)
	}
	return r, nil
}

func decodeBinary(raw bson.Raw, field string) ([]byte, bool) {
	subtype, data, ok := raw.Lookup(field).BinaryOK()
	return slices.Clip(data), ok && subtype == bson.TypeBinaryGeneric
}
