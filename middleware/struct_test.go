package middleware_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

// The session of a site, as the program before the latest release knows it, and as
// the latest one does.
type (
	hitsBefore struct {
		Pageviews int `json:"hits_pageviews" validate:"gte=0"`
	}
	hitsNow struct {
		hitsBefore
		Clicks int            `json:"hits_clicks" validate:"ltefield=hitsBefore.Pageviews"`
		Pages  map[string]int `json:"hits_pages,omitempty"`
	}
)

var (
	hitsOld = session.Struct[hitsBefore]()
	hitsNew = session.Struct[hitsNow]()
)

func countOld(r *http.Request) error {
	_, err := hitsOld.Update(r.Context(), func(v *hitsBefore) error { v.Pageviews++; return nil })
	return err
}

func countNew(r *http.Request) error {
	_, err := hitsNew.Update(r.Context(), func(v *hitsNow) error {
		v.Pageviews++
		v.Clicks++
		v.Pages["/"]++
		return nil
	})
	return err
}

// hitsServer is one program: a server over HTTP with a manager of its own.
func hitsServer(t *testing.T, st *memory.Store, count func(r *http.Request) error) *httptest.Server {
	t.Helper()
	m, err := session.NewManager(session.Config{Store: st})
	require.NoError(t, err)
	mw, err := middleware.New(m, middleware.Config{Insecure: true})
	require.NoError(t, err)
	srv := httptest.NewServer(mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/count" {
			if err := count(r); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		v, err := hitsNew.Get(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprint(w, v.Pageviews, v.Clicks, v.Pages["/"])
	})))
	t.Cleanup(srv.Close)
	return srv
}

// hitsFetch returns a page, and the session's cookie if one came with it.
func hitsFetch(t *testing.T, srv *httptest.Server, path string, cookie *http.Cookie) (page string, sent *http.Cookie, err error) {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
	if err != nil {
		return "", nil, err
	}
	if cookie != nil {
		r.AddCookie(&http.Cookie{Name: cookie.Name, Value: cookie.Value})
	}
	res, err := srv.Client().Do(r)
	if err != nil {
		return "", nil, err
	}
	body, err := io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	for _, c := range res.Cookies() {
		sent = c
	}
	return string(body), sent, err
}

// Two programs count in one struct, a thousand times at once: all of it counts, and
// every visitor is answered.
func TestPromise1_StructCountsOverHTTP(t *testing.T) {
	t.Parallel()
	const each, tabs = 500, 8
	for name, counts := range map[string][2]func(r *http.Request) error{
		"two nodes":    {countNew, countNew},
		"two programs": {countOld, countNew},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := memory.New()
			srvs := []*httptest.Server{hitsServer(t, st, counts[0]), hitsServer(t, st, counts[1])}
			_, cookie, err := hitsFetch(t, srvs[1], "/count", nil)
			require.NoError(t, err)
			require.NotNil(t, cookie)
			var wg sync.WaitGroup
			for i := range 2 * tabs {
				wg.Go(func() {
					for n := i / 2; n < each; n += tabs {
						_, sent, err := hitsFetch(t, srvs[i%2], "/count", cookie)
						if err != nil || sent != nil {
							t.Errorf("cookie %v, %v", sent, err)
						}
					}
				})
			}
			wg.Wait()
			news := each + 1
			if name == "two nodes" {
				news += each
			}
			for _, srv := range srvs {
				page, _, err := hitsFetch(t, srv, "/", cookie)
				require.NoError(t, err)
				require.Equal(t, fmt.Sprint(2*each+1, news, news), page)
			}
		})
	}
}
