package pgxlisten_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the store

	"github.com/typedsession/session/store/pgxlisten"
	"github.com/typedsession/session/store/sqlstore"
)

// A store that tells of changes. Its writes go through PgBouncer; the listener has
// a direct connection.
func ExampleNew() {
	listen, err := pgxlisten.New("postgres://web@db.example/shop")
	if err != nil {
		log.Fatal(err)
	}
	db, err := sql.Open("pgx", "postgres://web@pool.example/shop?default_query_exec_mode=exec")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	st, err := sqlstore.New(db, sqlstore.PostgreSQL, sqlstore.WithNotify(listen))
	if err != nil {
		log.Print(err)
		return
	}
	if err := st.Migrate(context.Background()); err != nil { // creates the triggers, too
		log.Print(err)
	}
	// session.NewManager(session.Config{Store: st})
}

// A listener whose connections can be told on the server.
func ExampleFromConfig() {
	config, err := pgx.ParseConfig("postgres://web@db.example/shop")
	if err != nil {
		log.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "sessions of the shop"
	listen := pgxlisten.FromConfig(config)
	_ = sqlstore.WithNotify(listen)
}
