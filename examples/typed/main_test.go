package main

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/typedsession/session/middleware"
)

// guest is a browser.
type guest struct {
	t      *testing.T
	url    string
	client *http.Client
}

func newGuest(t *testing.T) *guest {
	handler, err := newHandler(middleware.Config{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &guest{t: t, url: server.URL + "/", client: &http.Client{Jar: jar}}
}

// page sends a request, and follows a redirect.
func (g *guest) page(req *http.Request) (int, string) {
	res, err := g.client.Do(req)
	if err != nil {
		g.t.Error(err)
		return 0, ""
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		g.t.Error(err)
	}
	return res.StatusCode, string(body)
}

func (g *guest) request(method, body string) *http.Request {
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.url, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	return req
}

func (g *guest) view() (int, string) { return g.page(g.request(http.MethodGet, "")) }

func (g *guest) submit(pairs ...string) (int, string) {
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	req := g.request(http.MethodPost, values.Encode())
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return g.page(req)
}

func (g *guest) contains(body string, parts ...string) {
	g.t.Helper()
	for _, part := range parts {
		if !strings.Contains(body, part) {
			g.t.Errorf("no %q in the page:\n%s", part, body)
		}
	}
}

func TestGuest(t *testing.T) {
	g := newGuest(t)
	id := regexp.MustCompile(`<h1>Guest (\w{26})</h1>`)
	_, first := g.view()
	if id.FindString(first) == "" {
		t.Fatalf("no id: %s", first)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if status, body := g.view(); status != http.StatusOK {
				t.Errorf("%d: %s", status, body)
			}
		})
	}
	all.Wait()
	_, last := g.view()
	g.contains(last, id.FindString(first), `<dd id="pageviews">22</dd>`)
}

func TestForm(t *testing.T) {
	g := newGuest(t)
	g.view()
	status, body := g.submit("name", "A", "email", "nobody", "age", "12")
	if status != http.StatusUnprocessableEntity {
		t.Errorf("status %d", status)
	}
	g.contains(body, "needs at least 2 characters", "is not an address", "must be at least 16", `value="nobody"`)
	if _, body := g.view(); strings.Contains(body, "nobody") {
		t.Errorf("what was refused has been stored: %s", body)
	}
	if status, body = g.submit("name", "Ada", "age", "x"); status != http.StatusUnprocessableEntity {
		t.Errorf("status %d: %s", status, body)
	}
	g.contains(body, "is not a number")
	if status, body = g.submit("name", "Ada", "email", "ada@example.org", "age", "36"); status != http.StatusOK {
		t.Errorf("after the redirect: %d: %s", status, body)
	}
	g.contains(body, `value="Ada"`, `value="ada@example.org"`, `value="36"`, `<dd id="pageviews">5</dd>`)
}
