package mongostore

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/typedsession/session/store"
)

// ServerError is an error that the server answered with, without its message:
// MongoDB quotes keys and values in there.
type ServerError struct {
	// Code is the server's number for the error.
	Code int
	// Name is the server's name for it, empty where it gave none.
	Name string
	// WriteConcern says that the error is about what comes after a write: the
	// server has done it, but not confirmed that it will last.
	WriteConcern bool
}

// Error implements the error interface.
func (e *ServerError) Error() string {
	text := fmt.Sprintf("the server answered with error %d", e.Code)
	if e.WriteConcern {
		text = fmt.Sprintf("the server did not confirm the write: error %d", e.Code)
	}
	if e.Name != "" {
		text += " (" + e.Name + ")"
	}
	return text
}

// effect is what an operation does to the database.
type effect int

const (
	reads      effect = iota
	writes            // nothing else is changed when it fails
	writesMore        // after others of the same call
)

// failure returns the error of an operation. That of an ended context comes
// first: it ends an operation that has, or has not, taken effect.
func failure(ctx context.Context, op string, e effect, err error) error {
	cause, refused := explain(err)
	end := ctx.Err()
	switch {
	case end != nil && !errors.Is(cause, end):
		return fmt.Errorf("mongostore: %s: %w: %w", op, end, cause)
	case end == nil && refused && e == writes:
		return fmt.Errorf("mongostore: %s: %w: %w", op, store.ErrRefused, cause)
	default:
		return fmt.Errorf("mongostore: %s: %w", op, cause)
	}
}

// explain takes out of an error of the driver what may quote a record, and says
// whether it is certain that nothing was written.
//
// The driver may have sent a write before: it repeats one after a broken
// connection or an election. Then the error is that of the last attempt, or of
// the first one. So an error counts only if none of the attempts can have been
// more successful.
func explain(err error) (cause error, refused bool) {
	if e, ok := errors.AsType[mongo.WriteException](err); ok {
		unwritten := e.HasErrorLabel(noWrites)
		switch {
		case e.WriteConcernError != nil:
			return &ServerError{Code: e.WriteConcernError.Code, Name: e.WriteConcernError.Name, WriteConcern: true}, false
		case len(e.WriteErrors) > 0:
			code := e.WriteErrors[0].Code
			return &ServerError{Code: code}, unwritten || refuses(code)
		}
		return errors.New("the server did not say what was wrong"), unwritten
	}
	if e, ok := errors.AsType[mongo.CommandError](err); ok && e.Code != 0 {
		return &ServerError{Code: int(e.Code), Name: e.Name}, e.HasErrorLabel(noWrites) || refuses(int(e.Code))
	}
	return err, unsent(err)
}

// noWrites is the label of an error that changed nothing; newer servers give it. See
// https://github.com/mongodb/specifications/blob/master/source/retryable-writes/retryable-writes.md.
const noWrites = "NoWritesPerformed"

// unsent says that there was no connection to send anything on.
func unsent(err error) bool {
	if errors.Is(err, mongo.ErrClientDisconnected) {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	// The driver has no stable names for these.
	text := err.Error()
	_, handshake, connected := strings.Cut(text, ") ")
	return strings.HasPrefix(text, "server selection error: ") ||
		strings.HasPrefix(text, "timed out while checking out a connection ") ||
		connected && strings.HasPrefix(text, "connection(") && strings.HasPrefix(handshake, "error occurred during connection handshake")
}

// refusals are the codes of errors that a write always meets, however often it is
// sent: because of what it says, who sends it or what the database is. See
// https://www.mongodb.com/docs/manual/reference/error-codes/.
var refusals = []int{
	2,     // BadValue
	9,     // FailedToParse
	13,    // Unauthorized
	14,    // TypeMismatch
	18,    // AuthenticationFailed
	20,    // IllegalOperation
	59,    // CommandNotFound
	72,    // InvalidOptions
	73,    // InvalidNamespace
	115,   // CommandNotSupported
	121,   // DocumentValidationFailure
	166,   // CommandNotSupportedOnView
	10334, // BSONObjectTooLarge
	duplicateKey,
	17280, // KeyTooLong
}

const duplicateKey = 11000

// keyExists says that an insert found a document with its _id. A document with
// the same value in another index, which somebody has added, is not that.
func keyExists(err error) bool {
	e, ok := errors.AsType[mongo.WriteException](err)
	if !ok || e.WriteConcernError != nil || len(e.WriteErrors) == 0 || e.WriteErrors[0].Code != duplicateKey {
		return false
	}
	pattern, ok := e.WriteErrors[0].Raw.Lookup("keyPattern").DocumentOK()
	if !ok {
		return true // servers before 4.4 do not say
	}
	field, err := pattern.IndexErr(0)
	return err == nil && field.Key() == fieldID
}

func refuses(code int) bool { return slices.Contains(refusals, code) }
