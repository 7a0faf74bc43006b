package main

import (
	"context"
	"encoding/gob"
	"fmt"
	"net/http"

	"github.com/alexedwards/scs/v2"
)

func init() { // scs: custom types have to be registered with gob
	gob.Register(User{})
	gob.Register(Profile{})
}

// scsDefaults is copied for each program: scs.New starts a goroutine that cannot
// be stopped without a data race.
var scsDefaults = scs.New()

// scsApp uses scs with its defaults, less what would make its cookie differ from
// the other peer's, and less its sweeper, which could run in the middle of a
// measurement.
type scsApp struct{ sm *scs.SessionManager }

func newSCSApp(at place) (app, error) {
	sm := *scsDefaults
	sm.Store = at.scs()
	sm.Cookie.Secure = true
	sm.Cookie.Persist = false
	return scsApp{&sm}, nil
}

func (a scsApp) cookie() string                            { return a.sm.Cookie.Name }
func (a scsApp) middleware(next http.Handler) http.Handler { return a.sm.LoadAndSave(next) }

func (a scsApp) read(key string) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(answer(a.sm.GetInt(r.Context(), key)))
	}
}

func (a scsApp) add(key string) handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := a.sm.GetInt(r.Context(), key) + 1
		a.sm.Put(r.Context(), key, n)
		_, _ = w.Write(answer(n))
	}
}

func (a scsApp) login() handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		u, ok := a.sm.Get(r.Context(), "user").(User)
		if !ok {
			http.Error(w, "no user", http.StatusInternalServerError)
			return
		}
		u.LoginCount++
		a.sm.Put(r.Context(), "user", u)
		_, _ = w.Write(answer(u.LoginCount))
	}
}

func (a scsApp) create() handlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		a.sm.Put(r.Context(), "n", 1)
		_, _ = w.Write(okay)
	}
}

func (a scsApp) put(ctx context.Context, name string, v any) error {
	a.sm.Put(ctx, name, v)
	return nil
}

func (a scsApp) get(ctx context.Context, name string, like any) (any, error) {
	v := a.sm.Get(ctx, name)
	if fmt.Sprintf("%T", v) != fmt.Sprintf("%T", like) {
		return nil, fmt.Errorf("%s is a %T, not a %T", name, v, like)
	}
	return v, nil
}

func (a scsApp) names(ctx context.Context) ([]string, error) { return a.sm.Keys(ctx), nil }
