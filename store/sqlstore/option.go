package sqlstore

import (
	"fmt"
	"strings"
)

// DefaultTable is the name of the table unless WithTable says otherwise.
const DefaultTable = "sessions"

// maxName leaves room for the suffixes of index names where identifiers have at
// most 63 bytes.
const maxName = 48

// Option changes what New makes.
type Option func(*config)

type config struct {
	table        string
	keepsJournal bool
	notifies     bool
	listen       Listener
}

// WithTable names the table, and begins the names of its indexes. The name may be
// qualified, as in "web.sessions": by a schema of PostgreSQL, a database of MySQL,
// an attached database of SQLite, which must be there. Each part is
// made of ASCII letters, digits and underscores, does not begin with a digit and
// has at most 48 bytes; it is quoted, so it may be a word of SQL, and case is
// kept. The default is DefaultTable.
func WithTable(name string) Option {
	return func(c *config) { c.table = name }
}

// WithoutWAL makes Migrate leave the journal mode of an SQLite file as it is.
// Then readers and writers wait for each other. By default Migrate switches the
// file to WAL.
func WithoutWAL() Option {
	return func(c *config) { c.keepsJournal = true }
}

// tableName is the name of a table, in its parts.
type tableName struct {
	schema string // empty: the database's default
	name   string
}

func parseTable(s string, d *dialect) (tableName, error) {
	schema, name, qualified := strings.Cut(s, ".")
	if !qualified {
		schema, name = "", s
	}
	if qualified && !isIdentifier(schema) || !isIdentifier(name) {
		return tableName{}, fmt.Errorf("%.100q is no name for a table: "+
			"want name or schema.name, each of at most %d ASCII letters, digits and underscores, no digit first", s, maxName)
	}
	if d != nil && d.reserved != "" && strings.HasPrefix(strings.ToLower(name), d.reserved) {
		return tableName{}, fmt.Errorf("%q is no name for a table: %s keeps those that begin with %s for itself", s, d.name, d.reserved)
	}
	return tableName{schema: schema, name: name}, nil
}

func isIdentifier(s string) bool {
	if s == "" || len(s) > maxName || s[0] >= '0' && s[0] <= '9' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// quoted returns the name with a suffix, as it is written in a statement.
func (t tableName) quoted(quote func(string) string, suffix string) string {
	q := quote(t.name + suffix)
	if t.schema != "" {
		q = quote(t.schema) + "." + q
	}
	return q
}
