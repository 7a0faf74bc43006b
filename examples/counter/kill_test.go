package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
)

// visit makes one request with the cookies of b, and reports whether it has been
// answered in full.
func (b *browser) visit() bool {
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url+"/", nil)
	if err != nil {
		return false
	}
	for name, value := range b.cookies {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// TestKilledUnderLoad kills the program while requests count. What has been
// answered is in the file; of what was under way, any part may be.
func TestKilledUnderLoad(t *testing.T) {
	const requests = 8 // at once
	program := build(t)
	s := start(t, program)
	b := newBrowser(t, s.url)
	if _, body := b.do("GET", "/"); body != "1" {
		t.Fatalf("first visit: %q", body)
	}

	answers := make(chan struct{})
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			for b.visit() {
				answers <- struct{}{}
			}
		})
	}
	go func() {
		all.Wait()
		close(answers)
	}()
	answered := 1
	for range answers {
		if answered++; answered == 300 {
			s.kill()
		}
	}
	if answered < 300 {
		t.Fatalf("requests failed after %d answers", answered)
	}

	b.url = start(t, program).url
	_, body := b.do("GET", "/")
	n, err := strconv.Atoi(body)
	if err != nil {
		t.Fatalf("after the kill: %q", body)
	}
	if least, most := answered+1, answered+1+requests; n < least || n > most {
		t.Fatalf("the counter is at %d, it should lie between %d and %d", n, least, most)
	}
}

// TestTwoPrograms lets two programs count in one session of one file.
func TestTwoPrograms(t *testing.T) {
	const each, requests = 500, 8 // at once
	program := build(t)
	first := newBrowser(t, start(t, program).url)
	if _, body := first.do("GET", "/"); body != "1" {
		t.Fatalf("first visit: %q", body)
	}
	second := newBrowser(t, start(t, program).url)
	second.cookies = first.cookies

	var all sync.WaitGroup
	for _, b := range []*browser{first, second} {
		turns := make(chan struct{}, each)
		for range each {
			turns <- struct{}{}
		}
		close(turns)
		for range requests {
			all.Go(func() {
				for range turns {
					if !b.visit() {
						t.Error("a visit has failed")
						return
					}
				}
			})
		}
	}
	all.Wait()
	if _, body := second.do("GET", "/"); body != fmt.Sprint(2*each+2) {
		t.Fatalf("%d visits were counted as %s", 2*each+2, body)
	}
}

// TestManyVisitors: none of those who come at once is told that the database is
// locked.
func TestManyVisitors(t *testing.T) {
	s := start(t, build(t))
	var all sync.WaitGroup
	for range 400 {
		all.Go(func() {
			if !newBrowser(t, s.url).visit() {
				t.Error("a visit has failed")
			}
		})
	}
	all.Wait()
}
