package middleware_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestUploadFilesAreRemoved: a server removes the temporary files of an upload
// when the request is over, through the request that it made. It can do so only
// if what the handler's copy of the request gained is handed back.
func TestUploadFilesAreRemoved(t *testing.T) { // not parallel: sets the folder for temporary files
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	files := func() []os.DirEntry {
		list, err := os.ReadDir(dir)
		require.NoError(t, err)
		return list
	}
	for _, c := range []struct {
		name string
		end  func(w http.ResponseWriter)
	}{
		{"return", func(http.ResponseWriter) {}},
		{"early response", func(w http.ResponseWriter) { _, _ = io.WriteString(w, "thanks") }},
		{"error", func(w http.ResponseWriter) { w.WriteHeader(http.StatusInternalServerError) }},
		{"failed commit", nil},
	} {
		g := newGate(t)
		srv := httptest.NewServer(g.mw.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			assert.NoError(t, r.ParseMultipartForm(1<<10))
			list, err := os.ReadDir(dir)
			assert.NoError(t, err)
			assert.Len(t, list, 1, "the test needs an upload that goes to a file")
			gateIncrement(t, r)
			if c.end == nil {
				g.breakOps("Insert")
				return
			}
			c.end(w)
		})))
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, err := form.CreateFormFile("photo", "cat.jpg")
		require.NoError(t, err)
		_, _ = part.Write(bytes.Repeat([]byte("meow"), 1<<16))
		require.NoError(t, form.Close())
		res, err := http.Post(srv.URL, form.FormDataContentType(), &body)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, res.Body)
		require.NoError(t, res.Body.Close())
		srv.Close() // waits for the end of the request
		require.Empty(t, files(), c.name)
	}
}

// TestRequestIsHandedBack: what the router and the handler found out about the
// request, middlewares around the session see too, as for access logs.
func TestRequestIsHandedBack(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprintf("panic=%t", panics), func(t *testing.T) {
			t.Parallel()
			g := newGate(t)
			mux := http.NewServeMux()
			mux.HandleFunc("POST /shop/{item}", func(_ http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "tea", r.PathValue("item"))
				assert.Equal(t, "2", r.FormValue("n"))
				if panics {
					panic("boom")
				}
			})
			r := httptest.NewRequest(http.MethodPost, "/shop/tea?q=1", strings.NewReader("n=2"))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			serve := func() { g.mw.Handler(mux).ServeHTTP(httptest.NewRecorder(), r) }
			if panics {
				require.PanicsWithValue(t, "boom", serve)
			} else {
				serve()
			}
			require.Equal(t, "POST /shop/{item}", r.Pattern)
			require.Equal(t, "2", r.Form.Get("n"))
			require.Equal(t, "1", r.Form.Get("q"))
			require.Equal(t, "2", r.PostForm.Get("n"))
		})
	}
}

// TestRequestIsNotTaken: what outer middlewares have parsed is still there
// when the handler did not look at it.
func TestRequestIsNotTaken(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	r := httptest.NewRequest(http.MethodPost, "/?q=1", strings.NewReader("n=2"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	require.NoError(t, r.ParseForm())
	r.Pattern = "/outer"
	g.serve(r, func(_ http.ResponseWriter, r *http.Request) { assert.Equal(t, "2", r.FormValue("n")) })
	require.Equal(t, "2", r.PostForm.Get("n"))
	require.Equal(t, "/outer", r.Pattern)
}
