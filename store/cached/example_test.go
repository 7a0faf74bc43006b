package cached_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

// A cache in front of a store that other nodes use as well; here that is a memory
// store. A session manager takes the cache as it is.
func ExampleNew() {
	shared := memory.New()
	st := cached.New(shared, cached.WithTTL(5*time.Second), cached.WithMaxBytes(256<<20))

	ctx := context.Background()
	key := store.Key{1}
	_ = st.Insert(ctx, key, store.Record{Data: []byte("one"), Version: 17, Expires: time.Now().Add(time.Hour)})

	// Another node replaces the record.
	_, _ = shared.Swap(ctx, key, 17, store.Record{Data: []byte("two"), Version: 4, Expires: time.Now().Add(time.Hour)})

	near, _ := st.Load(ctx, key)       // at most five seconds old
	fresh, _ := st.LoadFresh(ctx, key) // asks the store
	after, _ := st.Load(ctx, key)      // never older than that
	fmt.Println(string(near.Data), string(fresh.Data), string(after.Data), st.Stats().Hits)
	// Output: one two two 2
}

// While Run works, the copies of what other nodes change are dropped at once.
func ExampleStore_Run() {
	st := cached.New(memory.New())
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = st.Run(ctx) }) // logs when it does not hear of changes

	// Serve. Then:
	stop()
	wg.Wait()
	fmt.Println(st.Stats().Listening)
	// Output: false
}
