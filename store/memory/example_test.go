package memory_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// A session manager takes the store as it is; here its operations are called by
// hand.
func ExampleNew() {
	s := memory.New(memory.WithMaxBytes(64 << 20))
	ctx := context.Background()
	key := store.Key{1}

	err := s.Insert(ctx, key, store.Record{Data: []byte("one"), Version: 17, Expires: time.Now().Add(time.Hour)})
	fmt.Println("insert:", err)

	next := store.Record{Data: []byte("two"), Version: 4, Expires: time.Now().Add(time.Hour)}
	_, err = s.Swap(ctx, key, 17, next)
	fmt.Println("swap:", err)

	next.Version = 99
	cur, err := s.Swap(ctx, key, 17, next)
	fmt.Println("stale swap:", errors.Is(err, store.ErrConflict), string(cur.Data), s.Len())
	// Output:
	// insert: <nil>
	// swap: <nil>
	// stale swap: true two 1
}
