package main

import (
	"context"
	"errors"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"
	mongooptions "go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/mongostore"
)

func openMongo(ctx context.Context, o options) (store.Store, func() error, error) {
	c, err := mongo.Connect(mongooptions.Client().ApplyURI(o.dsn))
	if err != nil { // which may show the password
		return nil, nil, errors.New("-dsn is not as in mongodb://user:password@localhost:27017/")
	}
	closeClient := func() error {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return c.Disconnect(wait)
	}
	s := mongostore.New(c.Database("counter").Collection("sessions"))
	if err := s.EnsureIndexes(ctx); err != nil {
		return nil, nil, errors.Join(err, closeClient())
	}
	return s, closeClient, nil
}
