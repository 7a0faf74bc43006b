package sqlstore

var sqlite = dialect{
	name:        "SQLite",
	placeholder: func(int) string { return "?" },
	quote:       func(identifier string) string { return `"` + identifier + `"` },
	reserved:    "sqlite_",
	oneWriter:   true,
	prepares:    true,
	classify:    classifySQLite,
	migrate:     migrateSQLite,
	texts: texts{
		load: `SELECT version, expires, owner, data FROM {table} WHERE id = {key} AND ` + sqliteLive,
		insert: `INSERT INTO {table} (id, version, expires, due, owner, data)
			VALUES ({key}, {version}, {expires}, {expires}, {owner}, {data}) ON CONFLICT (id) DO NOTHING`,
		swap: `UPDATE {table} SET version = {version}, expires = {expires}, data = {data}
			WHERE id = {key} AND version = {old} AND owner = {owner} AND due <= {expires} AND ` + sqliteLive,
		swapAll: `UPDATE {table} SET version = {version}, expires = {expires}, due = {expires}, owner = {owner}, data = {data}
			WHERE id = {key} AND version = {old} AND ` + sqliteLive,
		touch: `UPDATE {table} SET expires = {expires}
			WHERE id = {key} AND version = {old} AND expires < {expires} AND ` + sqliteLive,
		remove: `DELETE FROM {table} WHERE id = {key}`,

		// Without owner <> '' SQLite would not know that the index has it all.
		list: `SELECT id, version, expires, owner, data FROM {table}
			WHERE owner = {owner} AND owner <> '' AND id > {after} AND ` + sqliteLive + ` ORDER BY id LIMIT {limit}`,
		ownedKeys: `SELECT id FROM {table}
			WHERE owner = {owner} AND owner <> '' AND id > {after} ORDER BY id LIMIT {limit}`,
		removeKeys: `DELETE FROM {table} WHERE id IN ({keys}) AND owner = {owner} AND ` + sqliteLive,

		due: `SELECT id FROM {table} WHERE due <= {now} LIMIT 1`,
		sweep: `DELETE FROM {table} WHERE expires <= {now}
			AND rowid IN (SELECT rowid FROM {table} WHERE due <= {now} ORDER BY due LIMIT {limit})`,
		postpone: `UPDATE {table} SET due = expires WHERE expires > {now}
			AND rowid IN (SELECT rowid FROM {table} WHERE due <= {now} ORDER BY due LIMIT {limit})`,
	},
}

const (
	// sqliteLive judges by Go's clock, moved on by the time that the statement has
	// waited inside SQLite for a lock: whoever comes later may have been told
	// meanwhile that the record has expired. SQLite reads its own clock when it
	// has the lock; it is the same one, unless a test has another
	// (testing/synctest): then they are further apart than anybody waits, and
	// Go's counts alone.
	sqliteLive = `expires > {now} AND (expires > ` + sqliteNow + ` OR ` + sqliteNow + ` - {now} NOT BETWEEN 0 AND 3600000)`
	// sqliteNow is the time in milliseconds. A Julian day is a real number, exact
	// to a twentieth of one; unixepoch('subsec') needs SQLite 3.42.
	sqliteNow = `CAST((julianday('now') - 2440587.5) * 86400000.0 + 0.5 AS INTEGER)`
)
