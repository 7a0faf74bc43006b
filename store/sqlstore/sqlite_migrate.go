package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// sqliteColumns are the columns of the table, as SQLite lists them.
var sqliteColumns = map[string]string{
	"id":      "BLOB",
	"version": "BIGINT",
	"expires": "BIGINT",
	"due":     "BIGINT",
	"owner":   "TEXT",
	"data":    "BLOB",
}

func migrateSQLite(ctx context.Context, s *Store) error {
	m := sqliteMigration{s: s, schema: s.table.schema}
	if m.schema == "" {
		m.schema = "main"
	}
	file, err := m.file(ctx)
	if err != nil {
		return err
	}
	if file == "" && s.db.Stats().MaxOpenConnections != 1 {
		return fmt.Errorf("sqlstore: migrate: %w", ErrMemoryPool)
	}
	if !s.config.keepsJournal && file != "" {
		if err := m.switchToWAL(ctx); err != nil {
			return err
		}
	}
	if err := m.exec(ctx, "create the table", `CREATE TABLE IF NOT EXISTS {table} (id BLOB NOT NULL PRIMARY KEY, version BIGINT NOT NULL,
		expires BIGINT NOT NULL, due BIGINT NOT NULL, owner TEXT NOT NULL, data BLOB NOT NULL)`); err != nil {
		return err
	}
	columns, err := m.columns(ctx)
	if err != nil {
		return err
	}
	if err := s.checkColumns(columns, sqliteColumns); err != nil {
		return fmt.Errorf("sqlstore: migrate: %w", err)
	}
	if err := m.exec(ctx, "create an index", `CREATE INDEX IF NOT EXISTS {due index} ON {name} (due)`); err != nil {
		return err
	}
	if err := m.exec(ctx, "create an index", `CREATE INDEX IF NOT EXISTS {owner index} ON {name} (owner, id) WHERE owner <> ''`); err != nil {
		return err
	}
	// Nothing above writes where all is there: a file that cannot be written is
	// found out now, and not by the first visitor.
	return m.exec(ctx, "try to write", `DELETE FROM {table} WHERE 0`)
}

type sqliteMigration struct {
	s      *Store
	schema string
}

func (m sqliteMigration) expand(text string) string {
	quote, table := m.s.dialect.quote, m.s.table
	return strings.NewReplacer(
		"{schema}", quote(m.schema), "{name}", quote(table.name), "{table}", table.quoted(quote, ""),
		"{due index}", table.quoted(quote, "_due"), "{owner index}", table.quoted(quote, "_owner"),
	).Replace(text)
}

func (m sqliteMigration) exec(ctx context.Context, op, text string) error {
	return m.s.attempt(ctx, "migrate: "+op, writes, func() error {
		_, err := m.s.db.ExecContext(ctx, m.expand(text))
		return err
	})
}

// file returns where the database is, or nothing for one that only its connection
// has.
func (m sqliteMigration) file(ctx context.Context) (file string, err error) {
	err = m.s.attempt(ctx, "migrate: find the file", reads, func() error {
		return m.s.db.QueryRowContext(ctx, `SELECT file FROM pragma_database_list WHERE name = ? COLLATE NOCASE`, m.schema).Scan(&file)
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("sqlstore: migrate: no database is attached as %q", m.schema)
	}
	return file, err
}

func (m sqliteMigration) switchToWAL(ctx context.Context) error {
	var mode string
	err := m.s.attempt(ctx, "migrate: switch to WAL", writes, func() error {
		return m.s.db.QueryRowContext(ctx, m.expand(`PRAGMA {schema}.journal_mode = WAL`)).Scan(&mode)
	})
	if err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("sqlstore: migrate: the file cannot be switched to WAL, its journal mode stays %q: see WithoutWAL", mode)
	}
	return nil
}

// columns lists those of the table.
func (m sqliteMigration) columns(ctx context.Context) (columns []column, err error) {
	err = m.s.attempt(ctx, "migrate: read the columns", reads, func() error {
		columns = nil
		rows, err := m.s.db.QueryContext(ctx,
			`SELECT name, type, "notnull", dflt_value IS NOT NULL, pk FROM pragma_table_info(?, ?)`, m.s.table.name, m.schema)
		return eachRow(rows, err, func(rows *sql.Rows) error {
			var c column
			err := rows.Scan(&c.name, &c.kind, &c.required, &c.hasDefault, &c.key)
			columns = append(columns, c)
			return err
		})
	})
	return columns, err
}
