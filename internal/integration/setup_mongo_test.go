package integration_test

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/mongostore"
)

// begin MongoDB
// import "go.mongodb.org/mongo-driver/v2/mongo"
// import "go.mongodb.org/mongo-driver/v2/mongo/options"
// import "github.com/typedsession/session/store/mongostore"
// dsn is mongodb://web:password@a.example,b.example,c.example/shop?serverSelectionTimeoutMS=2000
func serveFromMongoDB(ctx context.Context, dsn string, serve func(*session.Manager) error) error {
	client, err := mongo.Connect(options.Client().ApplyURI(dsn))
	if err != nil {
		return err
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(ctx)) }()
	st := mongostore.New(client.Database("shop").Collection("sessions"))
	if err := st.EnsureIndexes(ctx); err != nil { // at every start
		return err
	}
	return serveFrom(ctx, st, serve)
}

// end
