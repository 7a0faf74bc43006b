package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
)

// client sends requests to a handler and allocates nothing of its own: the
// recorder is used again, and so is the memory of the request. Its headers are not
// copied.
type client struct {
	handler http.Handler
	rec     recorder
	req     http.Request
}

// do sends a copy of r, so that the context a middleware adds is gone with it.
func (c *client) do(r *http.Request) error {
	clear(c.rec.header)
	c.rec.status, c.rec.body = 0, c.rec.body[:0]
	c.req = *r
	c.handler.ServeHTTP(&c.rec, &c.req)
	if c.rec.status != http.StatusOK {
		return fmt.Errorf("status %d: %s", c.rec.status, c.rec.body)
	}
	return nil
}

func newClient(h http.Handler) *client {
	return &client{handler: h, rec: recorder{header: make(http.Header, 8)}}
}

// recorder is a response.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

// newRequest returns a request of a browser, over TLS as secure cookies need it,
// between the cookies of others. An empty credential is none.
func newRequest(name, credential string) *http.Request {
	cookies := "theme=dark; "
	if credential != "" {
		cookies += name + "=" + credential + "; "
	}
	cookies += "_ga=GA1.2.1234567890.1234567890"
	return &http.Request{
		Method: http.MethodGet, URL: &url.URL{Path: "/"}, RequestURI: "/", Host: "shop.example",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Body: http.NoBody, TLS: new(tls.ConnectionState),
		Header: http.Header{
			"Accept": {"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"},
			"Cookie": {cookies},
		},
	}
}
