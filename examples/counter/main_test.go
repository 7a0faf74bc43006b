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

// build compiles the program, as `go run` does.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "counter.exe")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// server is a running program.
type server struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
}

// start runs a program until the test ends or stops it.
func start(t *testing.T, program string, args ...string) *server {
	t.Helper()
	// The context of t ends before its cleanups run, which stop the program.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*time.Minute)
	cmd := exec.CommandContext(ctx, program, append([]string{"-addr", "127.0.0.1:0"}, args...)...)
	cmd.Dir = filepath.Dir(program)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, cmd: cmd}
	t.Cleanup(func() {
		defer cancel()
		s.stop()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the program printed no URL: %v", err)
	}
	_, url, _ := strings.Cut(line, "http://")
	url, _, _ = strings.Cut(url, "/")
	s.url = "http://" + url
	return s
}

// stop ends the program as Ctrl-C does.
func (s *server) stop() {
	s.t.Helper()
	if s.cmd.ProcessState != nil {
		return
	}
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil { // Windows has no such signal
		s.kill()
		return
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the program did not stop cleanly: %v", err)
	}
}

// kill ends the program without its having a say.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func TestCounter(t *testing.T) {
	url := start(t, build(t)).url
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
	b := newBrowser(t, start(t, build(t), "-insecure", "-store", "memory").url)
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

// TestRestart stops the program in good order, starts it again, and goes on
// counting: only with a file.
func TestRestart(t *testing.T) {
	program := build(t)
	for store, want := range map[string]string{"sqlite": "4", "memory": "1"} {
		s := start(t, program, "-store", store)
		b := newBrowser(t, s.url)
		for n := 1; n <= 3; n++ {
			if _, body := b.do("GET", "/"); body != fmt.Sprint(n) {
				t.Fatalf("%s, visit %d: %q", store, n, body)
			}
		}
		s.stop()
		b.url = start(t, program, "-store", store).url
		if _, body := b.do("GET", "/"); body != want {
			t.Fatalf("%s, after the restart: %q instead of %s", store, body, want)
		}
	}
}

func TestErrorsAtStart(t *testing.T) {
	s := start(t, build(t))
	unused := filepath.Join(t.TempDir(), "sessions.db")
	for says, o := range map[string]options{
		"another address: -addr": {addr: strings.TrimPrefix(s.url, "http://"), store: "memory"},
		`-store "ram"`:           {addr: "127.0.0.1:0", store: "ram"},
		"-dsn says where":        {addr: "127.0.0.1:0", store: "redis"},
		"session file":           {addr: "127.0.0.1:0", store: "sqlite", file: filepath.Join(unused, "missing", "x.db")},
	} {
		if err := run(t.Context(), io.Discard, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q expected, got %v", says, err)
		}
	}
	// What is wrong with an address, or at it, is said without its password.
	for store, dsns := range map[string][]string{
		"postgres": {"postgres://ada:geheim@127.0.0.1:1/x", "postgres://ada:geheim@[/x"},
		"mysql":    {"ada:geheim@tcp(127.0.0.1:1)/x", "ada:geheim@"},
		"redis":    {"redis://ada:geheim@127.0.0.1:1", "redis://ada:geheim@[/", "ada:geheim@127.0.0.1"},
		"mongo":    {"mongodb://ada:geheim@127.0.0.1:1/?serverSelectionTimeoutMS=100", "mongodb://ada:geheim@localhost:x/", "ada:geheim@127.0.0.1"},
	} {
		for _, dsn := range dsns {
			err := run(t.Context(), io.Discard, options{addr: "127.0.0.1:0", store: store, dsn: dsn})
			if err == nil || !strings.Contains(err.Error(), "-store "+store) || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s: %v", store, err)
			}
		}
	}
}
