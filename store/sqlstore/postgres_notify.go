package sqlstore

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// ErrTrigger is wrapped by the error of Migrate when the database has a function or
// a trigger of a name that [WithNotify] needs, which is none of ours.
var ErrTrigger = errors.New("is not what notifies of sessions")

const (
	notifySuffix  = "_notify"
	swappedSuffix = "_swapped"
	deletedSuffix = "_deleted"
)

// notifyBody is the function of the triggers. No name in it depends on the path of
// whoever writes, and it reads no NEW where there is none: PostgreSQL 10 would
// refuse that.
const notifyBody = `
BEGIN
	IF TG_OP = 'DELETE' THEN
		PERFORM pg_catalog.pg_notify('{channel}', pg_catalog.concat(pg_catalog.encode(OLD.id, 'hex'), ':0'));
	ELSE
		PERFORM pg_catalog.pg_notify('{channel}', pg_catalog.concat(pg_catalog.encode(OLD.id, 'hex'), ':', NEW.version));
	END IF;
	RETURN NULL;
END
`

// notifyTriggers are those that call it. A touch does not set the version, and what
// has expired is removed in silence. PROCEDURE is FUNCTION, before PostgreSQL 11 too.
var notifyTriggers = []struct{ suffix, text string }{
	{swappedSuffix, `CREATE TRIGGER {trigger} AFTER UPDATE OF version ON {table} FOR EACH ROW
		WHEN (OLD.version <> NEW.version) EXECUTE PROCEDURE {function}()`},
	{deletedSuffix, `CREATE TRIGGER {trigger} AFTER DELETE ON {table} FOR EACH ROW
		WHEN (OLD.expires > ` + postgresNow + `) EXECUTE PROCEDURE {function}()`},
}

// notifying is what a database has, and has not, of what notifies.
type notifying struct {
	channel  string
	missing  []string // statements that create it
	disabled bool
}

func (n *notifying) complete() bool { return len(n.missing) == 0 && !n.disabled }

// notifyingInPostgres looks at the schema in which the table is, or is going to be.
func (s *Store) notifyingInPostgres(ctx context.Context, q postgresQuerier) (n notifying, err error) {
	var schema string
	var source sql.NullString // of the function
	triggers := make(map[string]bool)
	err = queryEach(ctx, q, func(rows *sql.Rows) error {
		var trigger string
		var calls, enabled bool
		if err := rows.Scan(&schema, &source, &trigger, &calls, &enabled); err != nil || trigger == "" {
			return err
		}
		if !calls {
			return fmt.Errorf("table %s: trigger %q %w", s.config.table, trigger, ErrTrigger)
		}
		triggers[trigger] = true
		n.disabled = n.disabled || !enabled
		return nil
	}, `SELECT n.nspname::text, f.prosrc, COALESCE(t.tgname::text, ''), COALESCE(t.tgfoid = f.oid, false),
			COALESCE(t.tgenabled IN ('O', 'A'), false)
		FROM pg_catalog.pg_namespace AS n
		LEFT JOIN pg_catalog.pg_proc AS f ON f.pronamespace = n.oid AND f.proname = $2::name AND f.pronargs = 0
		LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = to_regclass($1) AND t.tgname IN ($3::name, $4::name) AND NOT t.tgisinternal
		WHERE n.nspname = COALESCE((SELECT s.nspname FROM pg_catalog.pg_class AS c
			JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace WHERE c.oid = to_regclass($1)), $5::name, current_schema())`,
		s.expand("{table}"), s.table.name+notifySuffix, s.table.name+swappedSuffix, s.table.name+deletedSuffix,
		sql.NullString{String: s.table.schema, Valid: s.table.schema != ""})
	if err != nil {
		return notifying{}, err
	}
	n.channel = channelOf(schema, s.table.name)
	body := strings.ReplaceAll(notifyBody, "{channel}", n.channel)
	function := quotePostgres(schema) + "." + quotePostgres(s.table.name+notifySuffix)
	switch {
	case !source.Valid:
		n.missing = append(n.missing, `CREATE FUNCTION `+function+`() RETURNS trigger LANGUAGE plpgsql AS $body$`+body+`$body$`)
	case !sameWords(source.String, body):
		return notifying{}, fmt.Errorf("table %s: function %s %w", s.config.table, function, ErrTrigger)
	}
	for _, t := range notifyTriggers {
		if name := s.table.name + t.suffix; !triggers[name] {
			n.missing = append(n.missing, strings.NewReplacer("{trigger}", quotePostgres(name),
				"{table}", s.expand("{table}"), "{function}", function).Replace(t.text))
		}
	}
	return n, nil
}

// channelOf names the channel of a table, in at most 63 bytes that need no escape.
// Two tables of a database never share one.
func channelOf(schema, table string) string {
	const prefix, most = "typedsession.", 63
	if name := prefix + schema + "." + table; len(name) <= most && isIdentifier(schema) && isIdentifier(table) {
		return name
	}
	sum := sha256.Sum256([]byte(schema + "\x00" + table))
	return prefix + hex.EncodeToString(sum[:20]) // has one dot less than any other
}

// quotePostgres quotes a name that the server has given.
func quotePostgres(identifier string) string {
	return `"` + strings.ReplaceAll(identifier, `"`, `""`) + `"`
}

// sameWords compares two texts of which one may have been made by hand.
func sameWords(a, b string) bool {
	return strings.Join(strings.Fields(a), " ") == strings.Join(strings.Fields(b), " ")
}
