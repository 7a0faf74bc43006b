package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
	"github.com/typedsession/session/store/memory"
)

var userKey = session.Key[User]("user")

// sessionApp uses this library with all defaults.
type sessionApp struct{ mw *middleware.Middleware }

func newSessionApp(at place) (app, error) { return newAppOn(at.session()) }

func newCachedApp(at place) (app, error) { return newAppOn(cached.New(at.session())) }

func newMemoryApp(place) (app, error) { return newAppOn(memory.New()) }

func newAppOn(st store.Store) (app, error) {
	m, err := session.NewManager(session.Config{Store: st})
	if err != nil {
		return nil, err
	}
	mw, err := middleware.New(m, middleware.Config{})
	return sessionApp{mw}, err
}

func (sessionApp) cookie() string                              { return middleware.HostName }
func (a sessionApp) middleware(next http.Handler) http.Handler { return a.mw.Handler(next) }

func (sessionApp) read(key string) handlerFunc {
	k := session.Key[int](key)
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := k.Get(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer(n))
	}
}

func (sessionApp) add(key string) handlerFunc {
	k := session.Key[int](key)
	return func(w http.ResponseWriter, r *http.Request) {
		n, err := k.Update(r.Context(), func(n *int) error { *n++; return nil })
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer(n))
	}
}

func (sessionApp) login() handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, err := userKey.Update(r.Context(), func(u *User) error { u.LoginCount++; return nil })
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(answer(u.LoginCount))
	}
}

func (sessionApp) create() handlerFunc {
	k := session.Key[int]("n")
	return func(w http.ResponseWriter, r *http.Request) {
		if err := k.Set(r.Context(), 1); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(okay)
	}
}

func (sessionApp) put(ctx context.Context, name string, v any) error {
	switch v := v.(type) {
	case int:
		return session.Key[int](name).Set(ctx, v)
	case bool:
		return session.Key[bool](name).Set(ctx, v)
	case string:
		return session.Key[string](name).Set(ctx, v)
	case User:
		return session.Key[User](name).Set(ctx, v)
	case Profile:
		return session.Key[Profile](name).Set(ctx, v)
	default:
		return fmt.Errorf("no session.Key for %T", v)
	}
}

func (sessionApp) get(ctx context.Context, name string, like any) (any, error) {
	switch like.(type) {
	case int:
		return session.Key[int](name).Get(ctx)
	case bool:
		return session.Key[bool](name).Get(ctx)
	case string:
		return session.Key[string](name).Get(ctx)
	case User:
		return session.Key[User](name).Get(ctx)
	case Profile:
		return session.Key[Profile](name).Get(ctx)
	default:
		return nil, fmt.Errorf("no session.Key for %T", like)
	}
}

func (sessionApp) names(ctx context.Context) ([]string, error) {
	return session.FromContext(ctx).Keys(ctx)
}
