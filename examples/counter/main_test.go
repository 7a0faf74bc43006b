package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/typedsession/session/middleware"
)

// browser keeps the cookies of one host, secure ones over plain HTTP too, as
// browsers and curl do for localhost and net/http/cookiejar does not.
type browser struct {
	t       *testing.T
	url     string
	accept  string
	cookies map[string]string
}

func newBrowser(t *testing.T, url string) *browser {
	return &browser{t: t, url: url, cookies: map[string]string{}}
}

func (b *browser) do(method, path string) (int, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	if b.accept != "" {
		req.Header.Set("Accept", b.accept)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c.Value
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return res.StatusCode, strings.TrimSpace(string(body))
}

// start builds and runs the program, as `go run` does, and returns its URL.
func start(t *testing.T, args ...string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "counter.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	// The context of t ends before its cleanups run, which stop the program.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	cmd := exec.CommandContext(ctx, program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		if err := cmd.Process.Signal(os.Interrupt); err != nil { // Windows has no such signal
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			return
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("the program did not stop cleanly: %v", err)
		}
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the program printed no URL: %v", err)
	}
	_, url, _ := strings.Cut(line, "http://")
	url, _, _ = strings.Cut(url, "/")
	return "http://" + url
}

func TestCounter(t *testing.T) {
	url := start(t)
	ada, bob := newBrowser(t, url), newBrowser(t, url)
	for want := 1; want <= 3; want++ {
		if status, body := ada.do("GET", "/"); status != 200 || body != fmt.Sprint(want) {
			t.Fatalf("visit %d: %d %q", want, status, body)
		}
	}
	if _, body := bob.do("GET", "/"); body != "1" {
		t.Fatalf("another visitor: %q", body)
	}
	if len(ada.cookies) != 1 || ada.cookies["__Host-id"] == "" {
		t.Fatalf("cookies: %v", ada.cookies)
	}
	if status, _ := ada.do("GET", "/favicon.ico"); status != 404 {
		t.Fatalf("favicon: %d", status)
	}
	if _, body := ada.do("GET", "/"); body != "4" {
		t.Fatalf("after the favicon: %q", body)
	}
}

func TestCounterInBrowser(t *testing.T) {
	b := newBrowser(t, start(t, "-insecure"))
	b.accept = "text/html,application/xhtml+xml"
	contains := func(want string) {
		t.Helper()
		if _, body := b.do("GET", "/"); !strings.Contains(body, want) {
			t.Fatalf("no %q in %s", want, body)
		}
	}
	contains(`<output id="visits">1<`)
	contains(`<output id="visits">2<`)
	before := b.cookies["id"]
	if status, _ := b.do("POST", "/reset"); status != http.StatusSeeOther {
		t.Fatalf("reset: %d", status)
	}
	if b.cookies["id"] == before {
		t.Fatal("the session of before is still in use")
	}
	contains("The counter has been reset.")
	if _, body := b.do("GET", "/"); strings.Contains(body, "has been reset") || !strings.Contains(body, ">2<") {
		t.Fatalf("the farewell is shown twice: %s", body)
	}
}

func TestAddressInUse(t *testing.T) {
	url := start(t)
	err := run(t.Context(), io.Discard, strings.TrimPrefix(url, "http://"), middleware.Config{})
	if err == nil || !strings.Contains(err.Error(), "-addr") {
		t.Fatalf("error: %v", err)
	}
}
