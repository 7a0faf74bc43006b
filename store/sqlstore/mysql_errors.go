package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Errors of MySQL and of MariaDB, by their numbers.
const (
	mysqlDuplicate = 1062
	mysqlNoTable   = 1146
)

// mysqlClasses knows what an InnoDB statement outside of a transaction has done
// when the server answers it with one of these errors. What is not here may come
// from the commit, or from an end of the statement that somebody else has
// brought about.
var mysqlClasses = map[uint64]class{
	1020: busy, // record has changed
	1205: busy, // lock wait timeout
	1213: busy, // deadlock
	1615: busy, // prepared statement needs to be prepared again

	1021: refused, // disk full
	1036: refused, // table is read only
	1040: refused, // too many connections
	1044: refused, // no access to the database
	1045: refused, // no access
	1047: refused, // a Galera node that is not ready
	1048: refused, // column cannot be null
	1049: refused, // no such database
	1054: refused, // no such column
	1062: refused, // duplicate key
	1064: refused, // syntax
	1114: refused, // table is full
	1129: refused, // host is blocked
	1130: refused, // host is not allowed
	1142: refused, // no right to this table
	1143: refused, // no right to this column
	1146: refused, // no such table
	1153: refused, // packet too large
	1203: refused, // too many connections of this user
	1206: refused, // too many locks
	1226: refused, // a limit of this user
	1227: refused, // no right to this
	1243: refused, // no such prepared statement
	1264: refused, // out of range
	1290: refused, // read only server
	1364: refused, // a column without a default
	1366: refused, // not a value of this type
	1406: refused, // data too long
	1461: refused, // too many prepared statements
	1792: refused, // read only transaction
	1836: refused, // read only mode
	3819: refused, // a check of MySQL
	4025: refused, // a check of MariaDB
}

func classifyMySQL(err error) class {
	if n, ok := mysqlNumber(err); ok {
		return mysqlClasses[n]
	}
	if strings.Contains(err.Error(), "packet for query is too large") {
		return refused // the driver has not sent it
	}
	return unknown
}

func isMySQLDuplicate(err error) bool {
	n, _ := mysqlNumber(err)
	return n == mysqlDuplicate
}

// mysqlNumber finds the number of the server's error, which the driver has in a
// field, without knowing the driver.
func mysqlNumber(err error) (uint64, bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		v := reflect.Indirect(reflect.ValueOf(err))
		if v.Kind() != reflect.Struct {
			continue
		}
		if f := v.FieldByName("Number"); f.IsValid() && f.CanUint() {
			return f.Uint(), true
		}
	}
	return 0, false
}

// explainMySQL asks whether the server could have taken the data at all: it only
// hangs up on a packet that is too large.
func explainMySQL(ctx context.Context, db *sql.DB, v *values, err error) error {
	if classifyMySQL(err) != unknown || len(v.data) == 0 {
		return err
	}
	var limit int64
	ask := db.QueryRowContext(ctx, "SELECT GREATEST(@@global.max_allowed_packet, @@session.max_allowed_packet)")
	if ask.Scan(&limit) != nil || int64(len(v.data)) <= limit {
		return err
	}
	return unsentError{fmt.Errorf("%d bytes of data are more than max_allowed_packet of the server, %d: %w", len(v.data), limit, err)}
}
