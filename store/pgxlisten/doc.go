// Package pgxlisten hears the notifications of PostgreSQL for a store of package
// sqlstore, through github.com/jackc/pgx/v5: with it the store tells of changes.
//
//	listen, err := pgxlisten.New("postgres://web@db.example/shop")
//	...
//	db, err := sql.Open("pgx", "postgres://web@pool.example/shop?default_query_exec_mode=exec")
//	...
//	st, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
//	...
//	err = st.Migrate(ctx) // creates the triggers
//
// Each Watch of the store opens one connection and keeps it until it returns. It
// must lead to the primary server, to the database of the store, and not through
// PgBouncer in transaction mode: there LISTEN is of no use. The store itself may go
// through a pooler, and use another driver.
//
// The role needs nothing but the right to connect. While nothing happens the
// server is asked every two seconds whether it is there.
package pgxlisten
