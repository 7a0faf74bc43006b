package wire

// The tests are inside the package: they make messages from its constants.

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"go.mongodb.org/mongo-driver/v2/bson"
)

// newMessage returns a message of kind OP_MSG with one document.
func newMessage(t testing.TB, flags uint32, document bson.D) Message {
	t.Helper()
	raw, err := bson.Marshal(document)
	require.NoError(t, err)
	m := make(Message, documentAt, documentAt+len(raw))
	binary.LittleEndian.PutUint32(m[12:], kindMsg)
	binary.LittleEndian.PutUint32(m[flagsAt:], flags)
	m = append(m, raw...)
	binary.LittleEndian.PutUint32(m, uint32(len(m)))
	return m
}

// creation returns the command that creates indexes with options.
func creation(options ...bson.E) bson.D {
	index := append(bson.D{{Key: "key", Value: bson.D{{Key: "x", Value: int32(1)}}}, {Key: "name", Value: "x_1"}}, options...)
	return bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{index}}, {Key: "$db", Value: "d"}}
}

func TestIndexesBecomePlain(t *testing.T) {
	t.Parallel()
	m := newMessage(t, 0, creation(
		bson.E{Key: "expireAfterSeconds", Value: int32(0)},
		bson.E{Key: "partialFilterExpression", Value: bson.D{{Key: "o", Value: bson.D{{Key: "$exists", Value: true}}}}},
		bson.E{Key: "unique", Value: true},
	))
	got, err := PlainIndexes(m)
	require.NoError(t, err)
	require.Equal(t, newMessage(t, 0, creation(bson.E{Key: "unique", Value: true})), got)
}

func TestOtherMessagesStay(t *testing.T) {
	t.Parallel()
	ttl := creation(bson.E{Key: "expireAfterSeconds", Value: int32(0)})
	query := newMessage(t, 0, ttl)
	binary.LittleEndian.PutUint32(query[12:], 2004)
	list := newMessage(t, 0, ttl)
	list[sectionAt] = 1
	for name, m := range map[string]Message{
		"another command": newMessage(t, 0, bson.D{{Key: "insert", Value: "c"}, {Key: "indexes", Value: ttl[1].Value}}),
		"a checksum":      newMessage(t, hasChecksum, ttl),
		"another kind":    query,
		"another section": list,
		"no document":     newMessage(t, 0, ttl)[:documentAt],
		"half a document": newMessage(t, 0, ttl)[:documentAt+20],
		"no indexes":      newMessage(t, 0, bson.D{{Key: "createIndexes", Value: "c"}}),
		"one index":       newMessage(t, 0, bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: "x"}}),
		"no index at all": newMessage(t, 0, bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{"x"}}}),
	} {
		before := bytes.Clone(m)
		got, err := PlainIndexes(m)
		require.NoError(t, err, name)
		require.Equal(t, Message(before), got, name)
	}
}

func TestWantsReply(t *testing.T) {
	t.Parallel()
	require.True(t, newMessage(t, 0, bson.D{}).WantsReply())
	require.False(t, newMessage(t, moreToCome, bson.D{}).WantsReply())
	query := newMessage(t, moreToCome, bson.D{})
	binary.LittleEndian.PutUint32(query[12:], 2004)
	require.True(t, query.WantsReply(), "only OP_MSG has flags")
}

func TestReadMessage(t *testing.T) {
	t.Parallel()
	m := newMessage(t, 0, creation())
	r := bytes.NewReader(append(bytes.Clone(m), m...))
	for range 2 {
		got, err := Read(r)
		require.NoError(t, err)
		require.Equal(t, m, got)
	}
	_, err := Read(r)
	require.ErrorIs(t, err, io.EOF)
	for _, n := range []int{1, 4, 10, len(m) - 1} {
		_, err := Read(bytes.NewReader(m[:n]))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	}
	for _, n := range []uint32{0, headerSize - 1, longestSize + 1, 1<<32 - 1} {
		wrong := bytes.Clone(m)
		binary.LittleEndian.PutUint32(wrong, n)
		_, err := Read(bytes.NewReader(wrong))
		require.ErrorContains(t, err, "bytes", n)
	}
}

// Whatever a client sends, a message stays one.
func FuzzPlainIndexes(f *testing.F) {
	f.Add([]byte(newMessage(f, 0, creation(bson.E{Key: "expireAfterSeconds", Value: int32(0)}))))
	f.Add([]byte(newMessage(f, moreToCome, bson.D{{Key: "insert", Value: "c"}})))
	f.Add([]byte(newMessage(f, 0, bson.D{{Key: "createIndexes", Value: "c"}, {Key: "indexes", Value: bson.A{"x"}}})))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Read(bytes.NewReader(b))
		if err != nil {
			return
		}
		wants := m.WantsReply()
		got, err := PlainIndexes(m)
		if err != nil {
			return
		}
		again, err := Read(bytes.NewReader(got))
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, wants, got.WantsReply())
		require.LessOrEqual(t, len(got), len(b))
	})
}
