package mongostore_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

func marshal(t testing.TB, d bson.D) bson.Raw {
	t.Helper()
	raw, err := bson.Marshal(d)
	require.NoError(t, err)
	return raw
}

func TestDocument(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]store.Record{
		"plain":    newRecord(""),
		"owned":    newRecord("ada"),
		"no data":  {Version: 1, Expires: time.UnixMilli(1)},
		"long":     {Version: 1<<63 - 1, Expires: time.UnixMilli(1 << 45), Data: make([]byte, 1<<20), Owner: strings.Repeat("é", 256)},
		"bygone":   {Version: 1, Expires: time.UnixMilli(-1), Data: []byte{0}},
		"no time":  {Version: 1, Data: []byte{0}},
		"any text": {Version: 1, Owner: "\x01\U0010ffff$o.x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key := newKey()
			raw := marshal(t, mongostore.Document(key, &r))
			require.Equal(t, len(raw), mongostore.DocumentSize(&r))
			var gotKey store.Key
			got, err := mongostore.Decode(raw, &gotKey)
			require.NoError(t, err)
			require.Equal(t, key, gotKey)
			require.True(t, r.Expires.Equal(got.Expires), "%v, want %v", got.Expires, r.Expires)
			require.True(t, bytes.Equal(r.Data, got.Data))
			require.Equal(t, len(got.Data), cap(got.Data), "nobody can append into the document")
			require.Equal(t, r.Version, got.Version)
			require.Equal(t, r.Owner, got.Owner)
			_, err = raw.LookupErr("o")
			require.Equal(t, r.Owner == "", err != nil, "the field is only there with an owner")
		})
	}
}

func TestForeignDocuments(t *testing.T) {
	t.Parallel()
	r := newRecord("ada")
	good := mongostore.Document(newKey(), &r)
	for _, c := range []struct {
		field string
		value any // nil: the field is missing
	}{
		{"_id", nil},
		{"_id", "text"},
		{"_id", bson.Binary{Data: []byte("short")}},
		{"_id", bson.Binary{Subtype: 4, Data: make([]byte, 32)}},
		{"v", nil},
		{"v", int32(1)},
		{"v", 1.0},
		{"x", nil},
		{"x", int64(1)},
		{"d", nil},
		{"d", "data"},
		{"d", bson.Null{}},
		{"d", bson.Binary{Subtype: 0x80}},
		{"o", "ada"},
		{"o", bson.Null{}},
		{"o", bson.Binary{Subtype: 2, Data: []byte("ada")}},
	} {
		var d bson.D
		for _, e := range good {
			switch {
			case e.Key != c.field:
				d = append(d, e)
			case c.value != nil:
				d = append(d, bson.E{Key: e.Key, Value: c.value})
			}
		}
		var key store.Key
		got, err := mongostore.Decode(marshal(t, d), &key)
		var problem *mongostore.DocumentError
		require.ErrorAs(t, err, &problem, c)
		require.Equal(t, c.field, problem.Field)
		require.ErrorContains(t, err, c.field)
		require.Zero(t, got)
	}
	_, err := mongostore.Decode(bson.Raw("no document"), nil)
	require.ErrorContains(t, err, "no BSON document")
}

// Whatever is in the collection, it is a record or an error.
func FuzzDecode(f *testing.F) {
	for _, r := range []store.Record{{}, newRecord(""), newRecord("ada"), {Version: -1, Owner: "\xff", Data: make([]byte, 300)}} {
		f.Add([]byte(marshal(f, mongostore.Document(store.Key{1, 2, 3}, &r))))
	}
	f.Add([]byte{5, 0, 0, 0, 0})
	f.Add([]byte(marshal(f, bson.D{{Key: "v", Value: 1}, {Key: "x", Value: bson.A{}}, {Key: "d", Value: bson.D{}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		var key store.Key
		r, err := mongostore.Decode(b, &key)
		require.Equal(t, before, b)
		if err != nil {
			require.Zero(t, r)
			return
		}
		again, err := mongostore.Decode(marshal(t, mongostore.Document(key, &r)), &key)
		require.NoError(t, err)
		require.Equal(t, r, again)
	})
}
