package mongostore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/typedsession/session/store"
)

// ServerError is an error that the server answered with, without its message:
// MongoDB quotes keys and values in there.
type ServerError struct {
	// Code is the server's number for the error, 0 where it gave none.
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
	switch {
	case e.WriteConcern:
		text = fmt.Sprintf("the server did not confirm the write: error %d", e.Code)
	case e.Code == 0:
		text = "the server answered with an error without a code"
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
// The driver repeats a write after a broken connection or an election, as often as
// there is time where the context has a deadline. The error is that of one of the
// attempts, and does not say how many there were. So an error counts only if it
// comes from the first attempt, or if every attempt meets it. The label
// NoWritesPerformed is about its own attempt alone.
func explain(err error) (cause error, refused bool) {
	if e, ok := errors.AsType[mongo.WriteException](err); ok {
		switch {
		case e.WriteConcernError != nil:
			return &ServerError{Code: e.WriteConcernError.Code, Name: e.WriteConcernError.Name, WriteConcern: true}, false
		case len(e.WriteErrors) > 0:
			code := e.WriteErrors[0].Code
			return &ServerError{Code: code}, refuses(code)
		}
		return errors.New("the server did not say what was wrong"), false
	}
	refused = unsent(err)
	if e, ok := errors.AsType[mongo.CommandError](err); ok && (len(e.Raw) > 0 || !e.HasErrorLabel(networkError)) {
		return &ServerError{Code: int(e.Code), Name: e.Name}, refused || refuses(int(e.Code))
	}
	if strings.HasPrefix(err.Error(), "connection pool for ") {
		return errCleared, false // it quotes the error of another operation
	}
	return err, refused
}

// networkError is the label of errors that are no answers.
const networkError = "NetworkError"

var errCleared = errors.New("the connection pool was cleared because another operation had failed")

// unsent says that there was no connection to send anything on. These errors are
// of the first attempt: in place of them a later attempt returns the error of the
// one before.
func unsent(err error) bool {
	if errors.Is(err, mongo.ErrClientDisconnected) {
		return true
	}
	// The driver has no stable names for these.
	text := err.Error()
	_, handshake, connected := strings.Cut(text, ") ")
	return strings.HasPrefix(text, "server selection error: ") ||
		strings.HasPrefix(text, "timed out while checking out a connection ") ||
		connected && strings.HasPrefix(text, "connection(") && strings.HasPrefix(handshake, "error occurred during connection handshake")
}

// refusals are the codes of errors that are due to what a command says, so that
// every attempt meets them. Those that are due to rights, to rules of the collection
// or to the state of a server are not among them: it may have been another one when
// an earlier attempt was made. See
// https://www.mongodb.com/docs/manual/reference/error-codes/.
var refusals = []int{
	9,     // FailedToParse
	14,    // TypeMismatch
	73,    // InvalidNamespace
	10334, // BSONObjectTooLarge
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
