// Package wire knows the messages of MongoDB's protocol as far as a proxy has to.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// The wire protocol, see
// https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/: a header
// of length, number, number of the command that is answered, and kind. A message
// of kind OP_MSG goes on with flags and sections; one section, of type 0, is the
// command.
const (
	headerSize  = 16
	longestSize = 64 << 20 // MongoDB's is 48 MB

	kindMsg     = 2013
	flagsAt     = headerSize
	sectionAt   = flagsAt + 4
	documentAt  = sectionAt + 1
	hasChecksum = 1 << 0
	moreToCome  = 1 << 1
)

// Message is one message with its header, as Read returns it.
type Message []byte

// Read reads one message. Its errors are those of r, io.ErrUnexpectedEOF within a
// message, and that of a length that no message has.
func Read(r io.Reader) (Message, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(length[:])
	if n < headerSize || n > longestSize {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	m := make(Message, n)
	copy(m, length[:])
	if _, err := io.ReadFull(r, m[len(length):]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return m, nil
}

func (m Message) kind() uint32 { return binary.LittleEndian.Uint32(m[12:]) }

// flags are 0 for messages that have none.
func (m Message) flags() uint32 {
	if m.kind() != kindMsg || len(m) < sectionAt {
		return 0
	}
	return binary.LittleEndian.Uint32(m[flagsAt:])
}

// WantsReply says whether the server answers the message.
func (m Message) WantsReply() bool { return m.flags()&moreToCome == 0 }

// PlainIndexes takes out of the indexes that a command creates what the server
// does not know: expireAfterSeconds and partialFilterExpression. Every other
// message is returned as it is.
func PlainIndexes(m Message) (Message, error) {
	if m.kind() != kindMsg || m.flags()&hasChecksum != 0 || len(m) <= documentAt || m[sectionAt] != 0 {
		return m, nil
	}
	// Only a document alone: what follows one would be a list of documents, and
	// drivers put indexes in the command.
	raw := bson.Raw(m[documentAt:])
	first, err := raw.IndexErr(0)
	if err != nil || first.Key() != "createIndexes" || raw.Validate() != nil {
		return m, nil //nolint:nilerr // the server says what is wrong with it
	}
	var command bson.D
	if err := bson.Unmarshal(raw, &command); err != nil {
		return nil, err
	}
	for _, e := range command {
		indexes, ok := e.Value.(bson.A)
		if e.Key != "indexes" || !ok {
			continue
		}
		for i, index := range indexes {
			if d, ok := index.(bson.D); ok {
				indexes[i] = plain(d)
			}
		}
	}
	document, err := bson.Marshal(command)
	if err != nil {
		return nil, err
	}
	changed := append(m[:documentAt:documentAt], document...)
	binary.LittleEndian.PutUint32(changed, uint32(len(changed))) //nolint:gosec // G115: shorter than m
	return changed, nil
}

func plain(index bson.D) bson.D {
	return slices.DeleteFunc(index, func(e bson.E) bool {
		return e.Key == "expireAfterSeconds" || e.Key == "partialFilterExpression"
	})
}
