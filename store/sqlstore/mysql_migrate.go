package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// mysqlColumns are the columns of the table, as MySQL lists them.
var mysqlColumns = map[string]string{
	"id":      "varbinary(32)",
	"version": "bigint",
	"expires": "bigint",
	"due":     "bigint",
	"owner":   "varbinary(512)",
	"data":    "longblob",
}

// errAutocommit says that writes would be lost.
var errAutocommit = errors.New("the connections have autocommit turned off")

// Another node has been faster.
const (
	mysqlTableExists = 1050
	mysqlIndexExists = 1061
)

// migrateMySQL needs no lock between nodes: each statement is atomic, and who
// comes second is told so.
func migrateMySQL(ctx context.Context, s *Store) error {
	return s.attempt(ctx, "migrate", writes, func() error {
		var autocommit bool
		if err := s.db.QueryRowContext(ctx, "SELECT @@autocommit").Scan(&autocommit); err != nil {
			return err
		}
		if !autocommit {
			return errAutocommit
		}
		columns, err := s.columnsInMySQL(ctx)
		if n, _ := mysqlNumber(err); n == mysqlNoTable {
			// LONGBLOB: what is too large for MEDIUMBLOB would be cut off without
			// an error unless sql_mode is strict.
			err = s.defineInMySQL(ctx, `CREATE TABLE IF NOT EXISTS {table} (id VARBINARY(32) NOT NULL PRIMARY KEY, version BIGINT NOT NULL,
				expires BIGINT NOT NULL, due BIGINT NOT NULL, owner VARBINARY(512) NOT NULL, data LONGBLOB NOT NULL,
				INDEX {due index} (due), INDEX {owner index} (owner, id)) ENGINE = InnoDB`, mysqlTableExists)
			if err != nil {
				return err
			}
			columns, err = s.columnsInMySQL(ctx)
		}
		if err != nil {
			return err
		}
		if err := s.checkColumns(columns, mysqlColumns); err != nil {
			return err
		}
		if err := s.checkEngineInMySQL(ctx); err != nil {
			return err
		}
		indexes := make(map[string]bool)
		err = s.showInMySQL(ctx, "SHOW INDEX FROM {table}", func(row map[string]string) { indexes[row["key_name"]] = true })
		if err != nil {
			return err
		}
		if !indexes[s.table.name+"_due"] {
			if err := s.defineInMySQL(ctx, `CREATE INDEX {due index} ON {table} (due)`, mysqlIndexExists); err != nil {
				return err
			}
		}
		if !indexes[s.table.name+"_owner"] {
			return s.defineInMySQL(ctx, `CREATE INDEX {owner index} ON {table} (owner, id)`, mysqlIndexExists)
		}
		return nil
	})
}

// checkEngineInMySQL refuses a table that loses or tears writes when the server
// crashes, as those of MyISAM and MEMORY do.
func (s *Store) checkEngineInMySQL(ctx context.Context) error {
	var engine, transactions sql.NullString
	err := s.db.QueryRowContext(ctx, `SELECT e.engine, e.transactions FROM information_schema.tables t
		JOIN information_schema.engines e ON e.engine = t.engine
		WHERE t.table_schema = COALESCE(NULLIF(?, ''), DATABASE()) AND t.table_name = ?`, s.table.schema, s.table.name).Scan(&engine, &transactions)
	switch {
	case errors.Is(err, sql.ErrNoRows): // as the server folds names, it may be called otherwise
		return nil
	case err == nil && transactions.String != "YES":
		return fmt.Errorf("table %s: %w: its engine is %s, which has no transactions: want InnoDB", s.config.table, ErrTable, engine.String)
	}
	return err
}

func (s *Store) defineInMySQL(ctx context.Context, text string, exists uint64) error {
	_, err := s.db.ExecContext(ctx, s.expand(text))
	if n, ok := mysqlNumber(err); ok && n == exists {
		return nil
	}
	return err
}

func (s *Store) columnsInMySQL(ctx context.Context) (columns []column, err error) {
	err = s.showInMySQL(ctx, "SHOW COLUMNS FROM {table}", func(row map[string]string) {
		kind := strings.ToLower(row["type"])
		if strings.HasPrefix(kind, "bigint(") { // with a width, which means nothing
			kind = "bigint" + kind[strings.IndexByte(kind, ')')+1:]
		}
		_, hasDefault := row["default"]
		c := column{name: row["field"], kind: kind, required: row["null"] == "NO", hasDefault: hasDefault || row["extra"] != ""}
		if row["key"] == "PRI" {
			c.key = 1 // the only one, or another is 1 too
		}
		columns = append(columns, c)
	})
	return columns, err
}

// showInMySQL calls f for each row of a SHOW statement, whose columns depend on
// the version. Their names are in lower case, and NULL is left out.
func (s *Store) showInMySQL(ctx context.Context, text string, f func(row map[string]string)) error {
	rows, err := s.db.QueryContext(ctx, s.expand(text))
	return eachRow(rows, err, func(rows *sql.Rows) error {
		names, err := rows.Columns()
		if err != nil {
			return err
		}
		fields := make([]sql.NullString, len(names))
		into := make([]any, len(names))
		for i := range fields {
			into[i] = &fields[i]
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row := make(map[string]string)
		for i, name := range names {
			if fields[i].Valid {
				row[strings.ToLower(name)] = fields[i].String
			}
		}
		f(row)
		return nil
	})
}
