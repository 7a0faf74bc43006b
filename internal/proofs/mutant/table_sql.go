package mutant

// The bugs of stores, put into store/sqlstore.

const sqliteFile = "store/sqlstore/sqlite.go"

var ofSQLite = []Mutant{
	{
		Name:      "upsert in SQL",
		Bug:       "INSERT replaces a row that is there",
		Published: "tower-sessions: its stores for PostgreSQL and MySQL look, then upsert",
		Suffered:  "Whoever saves last wins, and a deleted row comes back",
		Edits: []Edit{
			{sqliteFile, `INSERT INTO {table}`, `INSERT OR REPLACE INTO {table}`},
			{sqliteFile, ` ON CONFLICT (id) DO NOTHING`, ``},
		},
		Killers: []Killer{lawOfSQLite("insert never replaces")},
	},
	{
		Name:      "last write wins in SQL",
		Bug:       "UPDATE has no condition on the version",
		Published: "scs, Django, Rails, tower-sessions: the whole row is replaced",
		Suffered:  "Concurrent changes are lost in silence",
		Edits: []Edit{
			{"store/sqlstore/store.go", `[]*statement{&s.sql.swap, &s.sql.swapAll}`, `[]*statement{&s.sql.swapAll}`},
			{sqliteFile, `WHERE id = {key} AND version = {old} AND ` + "` + sqliteLive,\n\t\ttouch:", `WHERE id = {key} AND ` + "` + sqliteLive,\n\t\ttouch:"},
		},
		Killers: []Killer{lawOfSQLite("swap refuses a stale version")},
	},
	{
		Name:      "missing row is success in SQL",
		Bug:       "an UPDATE that finds no row passes for one that was done",
		Published: "spring-projects/spring-session #1031 (JDBC)",
		Suffered:  "What was changed is gone, and nobody is told",
		Edits:     []Edit{{"store/sqlstore/store.go", `if err != nil || n > 0 {`, `if err != nil || n >= 0 {`}},
		Killers:   []Killer{lawOfSQLite("swap creates nothing")},
	},
	{
		Name:      "expiry not checked on load in SQL",
		Bug:       "SELECT has no condition on the expiry",
		Published: "antonlindstrom/pgstore",
		Suffered:  "An expired session works until it is swept",
		Edits:     []Edit{{sqliteFile, "WHERE id = {key} AND ` + sqliteLive,\n\t\tinsert:", "WHERE id = {key}`,\n\t\tinsert:"}},
		Killers:   []Killer{lawOfSQLite("records end in time")},
	},
}

var ofMySQL = []Mutant{
	{
		Name:      "local time in MySQL",
		Bug:       "the time comes from UNIX_TIMESTAMP(NOW(3))",
		Published: "The prototype of this library: NOW is local time, and one hour of the year comes twice",
		Suffered:  "The time is 3600 seconds wrong when summer time ends",
		Edits: []Edit{{
			"store/sqlstore/mysql.go",
			"mysqlBegun = `TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000`",
			"mysqlBegun = `UNIX_TIMESTAMP(NOW(3)) * 1000 DIV 1`",
		}},
		Killers: []Killer{test("internal/integration", "TestMariaDBSummerTime")},
	},
}
