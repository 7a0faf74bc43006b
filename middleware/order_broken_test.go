package middleware_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// The exploration of pairs finds what other libraries do wrong with a cookie or with
// a record.
func TestBrowserOrderOfBroken(t *testing.T) {
	for name, c := range map[string]struct {
		start string
		orderBreak
		want orderFinding // nothing: the known exception with rotate is not seen
	}{
		"the cookie is sent with every response": {
			"guest",
			orderBreak{handler: rolling},
			orderFinding{"login read", "lost", "read"},
		},
		"an unknown cookie is removed": {
			"returned",
			orderBreak{handler: removing(func(q *orderRequest) bool { return q.info.New })},
			orderFinding{"login read", "lost", "read"},
		},
		"a superseded cookie is removed": {
			"guest",
			orderBreak{handler: removing(func(q *orderRequest) bool { return q.refused })},
			orderFinding{"login write", "lost", "write"},
		},
		"a logout only removes the cookie": {
			"member",
			orderBreak{verbs: map[string]visitStep{"logout": func(ctx context.Context) error {
				setOrderCookie(orderRequestOf(ctx).writer, "; Max-Age=0")
				return nil
			}}},
			orderFinding{"logout rotate", "risen", "rotate"},
		},
		"a store deletes nothing": {
			"member",
			orderBreak{store: func(s store.Store) store.Store { return keepingStore{s} }},
			orderFinding{"logout rotate", "risen", "rotate"},
		},
		"a store brings records back": {
			"member",
			orderBreak{store: func(s store.Store) store.Store { return risingStore{s} }},
			orderFinding{"logout rotate", "risen", "rotate"},
		},
		"a rotation does nothing": {
			"guest",
			orderBreak{verbs: map[string]visitStep{"rotate": nothing}},
			orderFinding{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				site := newOrderSite(t, memory.New(), c.start, c.orderBreak)
				found, _ := site.exploreAll(2)
				problems := orderProblems(found, orderExceptions, c.start, 2, true)
				if c.want == (orderFinding{}) {
					require.Equal(t, []string{"not seen any more: {requests:login rotate harm:lost by:rotate}"}, problems)
					return
				}
				require.NotEmpty(t, problems)
				require.Contains(t, found, c.want)
			})
		})
	}
}

func setOrderCookie(w http.ResponseWriter, value string) {
	w.Header().Add("Set-Cookie", middleware.HostName+"="+value+"; Path=/; Secure; HttpOnly")
}

// rolling renews the cookie that came with the request, unless the session has
// another.
func rolling(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie(middleware.HostName); err == nil {
			setOrderCookie(w, c.Value)
		}
		next.ServeHTTP(w, r)
	})
}

// removing removes the cookie that came with some requests. The headers are read when
// everything is over.
func removing(when func(*orderRequest) bool) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(w, r)
			_, err := r.Cookie(middleware.HostName)
			if err == nil && when(orderRequestOf(r.Context())) && w.Header().Get("Set-Cookie") == "" {
				setOrderCookie(w, "; Max-Age=0")
			}
		})
	}
}

// keepingStore forgets to delete.
type keepingStore struct{ store.Store }

func (keepingStore) Delete(context.Context, store.Key) error { return nil }

// risingStore has a Swap that creates, as an upsert does.
type risingStore struct{ store.Store }

func (s risingStore) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := s.Store.Swap(ctx, key, old, r)
	if errors.Is(err, store.ErrNotFound) {
		err = s.Insert(ctx, key, r)
	}
	return cur, err
}
