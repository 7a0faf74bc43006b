package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
)

// postgresColumns are the columns of the table, as PostgreSQL lists them.
var postgresColumns = map[string]string{
	"id":      "bytea",
	"version": "bigint",
	"expires": "bigint",
	"due":     "bigint",
	"owner":   "text",
	"data":    "bytea",
}

// postgresLock is the advisory lock of those who migrate: "sessions" in ASCII.
// IF NOT EXISTS is no help to two who begin at once.
const postgresLock = 0x73657373696f6e73

// postgresQuerier is a database or a transaction.
type postgresQuerier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func migratePostgres(ctx context.Context, s *Store) error {
	// Who finds everything in place needs no right to create it, and no lock.
	var missing []string
	err := s.attempt(ctx, "migrate: look at the table", reads, func() (err error) {
		missing, err = s.missingInPostgres(ctx, s.db)
		return err
	})
	if err != nil || len(missing) == 0 {
		return err
	}
	return s.attempt(ctx, "migrate", writes, func() error { return s.completePostgres(ctx) })
}

func (s *Store) completePostgres(ctx context.Context) error {
	// Only at this level a look sees what others did before it got the lock.
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // says that it is done already, or that the connection is gone
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(postgresLock)); err != nil {
		return err
	}
	missing, err := s.missingInPostgres(ctx, tx)
	if err != nil {
		return err
	}
	for _, text := range missing {
		if _, err := tx.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%.24s...: %w", text, err)
		}
	}
	return tx.Commit()
}

// missingInPostgres returns the statements that create what is not there yet.
func (s *Store) missingInPostgres(ctx context.Context, q postgresQuerier) ([]string, error) {
	name := s.expand("{table}")
	var columns []column
	err := queryEach(ctx, q, func(rows *sql.Rows) error {
		var c column
		err := rows.Scan(&c.name, &c.kind, &c.required, &c.hasDefault, &c.key)
		columns = append(columns, c)
		return err
	}, `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> '',
			COALESCE(array_position(i.indkey::int2[], a.attnum) + 1, 0)
		FROM pg_catalog.pg_attribute AS a LEFT JOIN pg_catalog.pg_index AS i ON i.indrelid = a.attrelid AND i.indisprimary
		WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped`, name)
	if err != nil {
		return nil, err
	}
	var missing []string
	if len(columns) == 0 {
		missing = append(missing, s.expand(`CREATE TABLE {table} (id bytea NOT NULL PRIMARY KEY, version bigint NOT NULL,
			expires bigint NOT NULL, due bigint NOT NULL, owner text COLLATE "C" NOT NULL, data bytea NOT NULL) WITH (fillfactor = 70)`))
	} else if err := s.checkColumns(columns, postgresColumns); err != nil {
		return nil, err
	}
	indexes := make(map[string]bool)
	err = queryEach(ctx, q, func(rows *sql.Rows) error {
		var index string
		err := rows.Scan(&index)
		indexes[index] = true
		return err
	}, `SELECT c.relname::text FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid
		WHERE i.indrelid = to_regclass($1)`, name)
	if err != nil {
		return nil, err
	}
	if !indexes[s.table.name+"_due"] {
		missing = append(missing, s.expand(`CREATE INDEX {due index} ON {table} (due)`))
	}
	if !indexes[s.table.name+"_owner"] {
		missing = append(missing, s.expand(`CREATE INDEX {owner index} ON {table} (owner, id) WHERE owner <> ''`))
	}
	if s.config.notifies {
		n, err := s.notifyingInPostgres(ctx, q)
		if err != nil {
			return nil, err
		}
		missing = append(missing, n.missing...)
	}
	return missing, nil
}

// queryEach calls scan for each row of a query.
func queryEach(ctx context.Context, q postgresQuerier, scan func(rows *sql.Rows) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	return eachRow(rows, err, scan)
}
