package redisstore_test

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/redisstore"
)

// One server.
func ExampleNew() {
	client := redis.NewClient(&redis.Options{
		Addr:                  "redis.example:6379",
		ContextTimeoutEnabled: true,            // a deadline ends a call
		ReadTimeout:           2 * time.Second, // and so does this, however it was cancelled
	})
	defer func() { _ = client.Close() }()

	st := redisstore.New(client)
	_ = st // session.NewManager(session.Config{Store: st})
}

// A cluster.
func ExampleNew_cluster() {
	client := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs:                      []string{"one.example:6379", "two.example:6379", "three.example:6379"},
		ContextTimeoutEnabled:      true,
		ReadTimeout:                2 * time.Second,
		ClusterStateReloadInterval: 10 * time.Second,
	})
	defer func() { _ = client.Close() }()

	st := redisstore.New(client, redisstore.WithPrefix("shop:session:"))
	_ = st // session.NewManager(session.Config{Store: st})
}

// A logout that is not undone when a replica takes over.
func ExampleWithWait() {
	client := redis.NewFailoverClient(&redis.FailoverOptions{
		MasterName:    "sessions",
		SentinelAddrs: []string{"one.example:26379", "two.example:26379", "three.example:26379"},
	})
	defer func() { _ = client.Close() }()

	st := redisstore.New(client, redisstore.WithWait(1, 500*time.Millisecond))
	_ = st // session.NewManager(session.Config{Store: st})
}

// Programs that hear of each other's changes.
func ExampleWithNotify() {
	client := redis.NewClient(&redis.Options{Addr: "redis.example:6379"})
	defer func() { _ = client.Close() }()

	st := redisstore.New(client, redisstore.WithNotify())
	_ = st // session.NewManager(session.Config{Store: st})
}

// Watch is called again when it has ended. What has changed meanwhile was not told, so
// that whatever is known of records is looked at again when it is ready.
func ExampleStore_Watch() {
	client := redis.NewClient(&redis.Options{Addr: "redis.example:6379"})
	defer func() { _ = client.Close() }()
	st := redisstore.New(client, redisstore.WithNotify())

	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	for ctx.Err() == nil {
		err := st.Watch(ctx,
			func() { fmt.Println("look at everything once more") },
			func(c store.Change) { fmt.Println("look at", c.Key) })
		fmt.Println("look at everything now and then:", err)
		select { // a server that is away is not asked all the time
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}
