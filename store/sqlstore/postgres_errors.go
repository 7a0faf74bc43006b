package sqlstore

import "errors"

// classifyPostgres knows what a statement outside of a transaction has done when
// the server answers it with an error: nothing, unless the error is about the end
// of the connection or about the server itself. Both pgx and lib/pq show the code.
// Without one the connection has failed, and what was sent may have been done.
func classifyPostgres(err error) class {
	coder, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err)
	if !ok {
		return unknown
	}
	code := coder.SQLState()
	switch code {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, no lock in time
		return busy
	case "57014", "57P03": // canceled, by statement_timeout for example; starting up
		return refused
	}
	if len(code) != 5 {
		return unknown
	}
	switch code[:2] {
	case "0A", "22", "23", "25", "26", "28", "3D", "3F", "42", "44", "53", "54", "55", "P0":
		// A value, a constraint, a database that is read only, rights, a name, room,
		// a limit, a trigger.
		return refused
	}
	return unknown
}
