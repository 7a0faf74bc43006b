package mongostore_test

import (
	"context"
	"fmt"
	"log"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/mongostore"
)

func Example() {
	ctx := context.Background()
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://db.example/?replicaSet=rs0"))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = client.Disconnect(ctx) }()

	st := mongostore.New(client.Database("shop").Collection("sessions"))
	m, err := session.NewManager(session.Config{Store: st})
	if err != nil {
		log.Fatal(err)
	}
	_ = m // goes to middleware.New; st.EnsureIndexes(ctx) is called at every start
	fmt.Println("nothing was sent yet")
	// Output: nothing was sent yet
}
