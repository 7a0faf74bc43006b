package main

import (
	"fmt"
	"net/http"
	"slices"
)

// visitor is a browser with one session: it follows Set-Cookie.
type visitor struct {
	app        app
	credential string
}

// newVisitor returns a visitor whose session holds contents.
func newVisitor(a app, contents map[string]any) (*visitor, error) {
	v := &visitor{app: a}
	var failed error
	_, err := v.visit(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range contents {
			if failed == nil {
				failed = a.put(r.Context(), name, value)
			}
		}
		_, _ = w.Write(okay)
	})
	if err == nil {
		err = failed
	}
	if err == nil && v.credential == "" {
		err = fmt.Errorf("no cookie named %s", a.cookie())
	}
	return v, err
}

// visit calls h behind the app's middleware and returns its answer.
func (v *visitor) visit(h handlerFunc) (string, error) {
	c := newClient(v.app.middleware(http.HandlerFunc(h)))
	if err := c.do(newRequest(v.app.cookie(), v.credential)); err != nil {
		return "", err
	}
	response := http.Response{Header: c.rec.header}
	for _, got := range response.Cookies() {
		if got.Name != v.app.cookie() {
			return "", fmt.Errorf("unexpected cookie %s", got.Name)
		}
		if !got.Secure || !got.HttpOnly || got.SameSite != http.SameSiteLaxMode || got.Path != "/" ||
			got.Domain != "" || got.MaxAge != 0 || !got.Expires.IsZero() {
			return "", fmt.Errorf("the attributes of a cookie are not those of the other peers: %s", got.Raw[len(got.Name)+len(got.Value)+1:])
		}
		v.credential = got.Value
	}
	return string(c.rec.body), nil
}

// contents reads the whole session, whose values should have the types of want.
func (v *visitor) contents(want map[string]any) (map[string]any, error) {
	got := make(map[string]any, len(want))
	var failed error
	_, err := v.visit(func(w http.ResponseWriter, r *http.Request) {
		var names []string
		if names, failed = v.app.names(r.Context()); failed != nil {
			return
		}
		slices.Sort(names)
		for _, name := range names {
			if got[name], failed = v.app.get(r.Context(), name, want[name]); failed != nil {
				return
			}
		}
		_, _ = w.Write(okay)
	})
	if failed != nil {
		return nil, failed
	}
	return got, err
}
