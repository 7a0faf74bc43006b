package sqlstore

var mysql = dialect{
	name:        "MySQL",
	placeholder: func(int) string { return "?" },
	quote:       func(identifier string) string { return "`" + identifier + "`" },
	prepares:    true,
	classify:    classifyMySQL,
	isDuplicate: isMySQLDuplicate,
	explain:     explainMySQL,
	migrate:     migrateMySQL,
	texts: texts{
		load: `SELECT version, expires, owner, data FROM {table} WHERE id = {key} AND expires > ` + mysqlBegun,
		// Not IGNORE: it would cut off what does not fit. Not ON DUPLICATE KEY: what
		// it counts depends on clientFoundRows.
		insert: `INSERT INTO {table} (id, version, expires, due, owner, data)
			VALUES ({key}, {version}, {expires}, {expires}, {owner bytes}, {data})`,
		// By cost alone a small table might be read, and locked, by another index.
		swap: `UPDATE {table} FORCE INDEX (PRIMARY) SET version = {version}, expires = {expires}, data = {data}
			WHERE id = {key} AND version = {old} AND owner = {owner bytes} AND due <= {expires} AND ` + mysqlLive,
		swapAll: `UPDATE {table} SET version = {version}, expires = {expires}, due = {expires}, owner = {owner bytes}, data = {data}
			WHERE id = {key} AND version = {old} AND ` + mysqlLive,
		touch: `UPDATE {table} SET expires = {expires}
			WHERE id = {key} AND version = {old} AND expires < {expires} AND ` + mysqlLive,
		remove: `DELETE FROM {table} WHERE id = {key}`,

		list: `SELECT id, version, expires, owner, data FROM {table}
			WHERE owner = {owner bytes} AND owner <> '' AND id > {after} AND expires > ` + mysqlBegun + ` ORDER BY id LIMIT {limit}`,
		ownedKeys: `SELECT id FROM {table}
			WHERE owner = {owner bytes} AND owner <> '' AND id > {after} ORDER BY id LIMIT {limit}`,
		removeKeys: `DELETE FROM {table} WHERE id IN ({keys}) AND owner = {owner bytes} AND ` + mysqlLive,

		// By key, so that nothing else is locked: DELETE ... ORDER BY due LIMIT
		// locks what it passes over, and the gaps between, until its end.
		due:      `SELECT id FROM {table} WHERE due <= ` + mysqlBegun + ` ORDER BY due LIMIT {limit}`,
		sweep:    `DELETE FROM {table} WHERE id IN ({keys}) AND expires <= ` + mysqlBegun,
		postpone: `UPDATE {table} SET due = expires WHERE id IN ({keys}) AND due < expires AND expires > ` + mysqlBegun,
	},
}

const (
	// mysqlBegun is the time at which the statement began, in milliseconds. UTC has
	// no hour that comes twice: UNIX_TIMESTAMP(NOW(3)) is wrong in that one.
	mysqlBegun = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000`
	// mysqlLive also judges by the time at which it is evaluated, when the record
	// has been locked: whoever has waited for the lock may come after somebody who
	// has been told that the record has expired. MySQL has no such clock in UTC.
	mysqlLive = `expires > ` + mysqlBegun + ` AND (` + mysqlWaited + ` NOT BETWEEN 0 AND 1799999999
		OR expires > (TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) + ` + mysqlWaited + `) DIV 1000)`
	// mysqlWaited is how many microseconds ago the statement began, or beyond half
	// an hour when the clocks have been changed since.
	mysqlWaited = `TIMESTAMPDIFF(MICROSECOND, NOW(6), SYSDATE(6))`
)
