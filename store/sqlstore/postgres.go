package sqlstore

import "strconv"

var postgres = dialect{
	name:        "PostgreSQL",
	placeholder: func(n int) string { return "$" + strconv.Itoa(n) },
	quote:       func(identifier string) string { return `"` + identifier + `"` },
	classify:    classifyPostgres,
	migrate:     migratePostgres,
	texts: texts{
		load: `SELECT version, expires, owner, data FROM {table} WHERE id = {key} AND expires > ` + postgresBegun,
		insert: `INSERT INTO {table} (id, version, expires, due, owner, data)
			VALUES ({key}, {version}, {expires}, {expires}, {owner}, {data}) ON CONFLICT (id) DO NOTHING`,
		swap: `UPDATE {table} SET version = {version}, expires = {expires}, data = {data} WHERE expires > ` + postgresNow + ` AND id = (
			SELECT id FROM {table} WHERE id = {key} AND version = {old} AND owner = {owner} AND due <= {expires} FOR NO KEY UPDATE)`,
		swapAll: `UPDATE {table} SET version = {version}, expires = {expires}, due = {expires}, owner = {owner}, data = {data}
			WHERE expires > ` + postgresNow + ` AND id = (
			SELECT id FROM {table} WHERE id = {key} AND version = {old} FOR NO KEY UPDATE)`,
		touch: `UPDATE {table} SET expires = {expires} WHERE expires > ` + postgresNow + ` AND id = (
			SELECT id FROM {table} WHERE id = {key} AND version = {old} AND expires < {expires} FOR NO KEY UPDATE)`,
		// The key twice, so that no reading statement takes as many parameters: a
		// driver in the mode describe_exec, behind a pooler, may run the statement of
		// another connection in place of its own.
		remove: `DELETE FROM {table} WHERE id = {key} AND id = {key}`,

		// Without owner <> '' the index would not do.
		list: `SELECT id, version, expires, owner, data FROM {table}
			WHERE owner = {owner} AND owner <> '' AND id > {after} AND expires > ` + postgresBegun + ` ORDER BY id LIMIT {limit}`,
		ownedKeys: `SELECT id FROM {table}
			WHERE owner = {owner} AND owner <> '' AND id > {after} ORDER BY id LIMIT {limit}`,
		removeKeys: `DELETE FROM {table} WHERE id IN ({keys}) AND owner = {owner} AND expires > ` + postgresNow,

		due: `SELECT id FROM {table} WHERE due <= ` + postgresBegun + ` ORDER BY due LIMIT 1`,
		// What somebody else has locked, another sweep for example, is passed over.
		sweep: `DELETE FROM {table} WHERE expires <= ` + postgresBegun + ` AND id = ANY (ARRAY(
			SELECT id FROM {table} WHERE due <= ` + postgresBegun + ` ORDER BY due LIMIT {limit} FOR UPDATE SKIP LOCKED))`,
		postpone: `UPDATE {table} SET due = expires WHERE expires > ` + postgresBegun + ` AND id = ANY (ARRAY(
			SELECT id FROM {table} WHERE due <= ` + postgresBegun + ` ORDER BY due LIMIT {limit} FOR NO KEY UPDATE SKIP LOCKED))`,
	},
}

const (
	// postgresBegun is the time at which the statement began, which is a transaction
	// of its own, in milliseconds. A read judges by it: what it sees is not older.
	// statement_timestamp() is later than that in the extended protocol, where a
	// statement sees what there was when it was bound. An index takes it too.
	postgresBegun = `floor(extract(epoch FROM transaction_timestamp()) * 1000)::bigint`
	// postgresNow is the time at which it is evaluated. A write judges by it, on
	// what it has locked: whoever has waited for the lock may come after somebody
	// who has been told that the record has expired.
	postgresNow = `floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint`
)
