package sqlstore

import (
	"errors"
	"reflect"
	"strings"
)

// Primary result codes of SQLite. Those below 20 are older than any driver.
const (
	sqlitePerm       = 3
	sqliteBusy       = 5
	sqliteLocked     = 6
	sqliteReadOnly   = 8
	sqliteFull       = 13
	sqliteCantOpen   = 14
	sqliteTooBig     = 18
	sqliteConstraint = 19
	sqliteMismatch   = 20
	sqliteAuth       = 23
	sqliteNotADB     = 26

	sqliteConstraintTrigger = sqliteConstraint | 7<<8
)

// classifySQLite knows what a single statement outside of a transaction has done
// when it fails. SQLite takes it back as a whole before it reports that it was
// locked out, that there is no room, or that something is not allowed. What is
// not here may come after the commit, or from a file in trouble: errors of the
// disk, of memory, a corrupt file, an interruption.
func classifySQLite(err error) class {
	code, ok := sqliteCode(err)
	if !ok {
		return classifySQLiteText(err)
	}
	switch code & 0xff {
	case sqliteBusy, sqliteLocked:
		return busy
	case sqlitePerm, sqliteReadOnly, sqliteFull, sqliteCantOpen, sqliteTooBig, sqliteMismatch, sqliteAuth, sqliteNotADB:
		return refused
	case sqliteConstraint:
		if code == sqliteConstraintTrigger {
			return unknown // RAISE(FAIL) keeps what was done before it
		}
		return refused
	}
	return unknown
}

// sqliteCode finds the result code, extended if the driver has that, without
// knowing the driver. modernc.org/sqlite has a method, mattn/go-sqlite3 a struct
// with fields.
func sqliteCode(err error) (int, bool) {
	if coder, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return coder.Code(), true
	}
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}
		for _, name := range []string{"ExtendedCode", "Code"} {
			if f := v.FieldByName(name); f.IsValid() && f.CanInt() && f.Int() != 0 {
				return int(f.Int()), true
			}
		}
	}
	return 0, false
}

// sqliteTexts are the words of sqlite3_errstr, which every driver passes on.
var sqliteTexts = []struct {
	text  string
	class class
}{
	{"database is locked", busy},
	{"database table is locked", busy},
	{"database schema is locked", busy},
	{"database or disk is full", refused},
	{"attempt to write a readonly database", refused},
	{"unable to open database file", refused},
	{"string or blob too big", refused},
}

// classifySQLiteText is for drivers that do not show the code.
func classifySQLiteText(err error) class {
	text := err.Error()
	for _, t := range sqliteTexts {
		if strings.Contains(text, t.text) {
			return t.class
		}
	}
	return unknown
}
