package main

import (
	"fmt"
	"testing"

	"github.com/typedsession/session/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }

// Two programs that share a database are two nodes of one site.
func TestCounterOnServers(t *testing.T) {
	program := build(t)
	for store, dsn := range map[string]func(t *testing.T) string{
		"postgres": func(t *testing.T) string { return servers.PostgreSQL(t).Database(t) },
		"mysql":    func(t *testing.T) string { return servers.MariaDB(t).Database(t) },
		"redis":    func(t *testing.T) string { return "redis://" + servers.Redis(t).DSN() },
		"mongo":    func(t *testing.T) string { return servers.MongoDB(t).DSN() },
	} {
		t.Run(store, func(t *testing.T) {
			args := []string{"-store", store, "-dsn", dsn(t)}
			nodes := []*server{start(t, program, args...), start(t, program, args...)}
			b := newBrowser(t, "")
			for want := 1; want <= 4; want++ {
				b.url = nodes[want%2].url
				if status, body := b.do("GET", "/"); status != 200 || body != fmt.Sprint(want) {
					t.Fatalf("visit %d: %d %q", want, status, body)
				}
			}
			nodes[0].stop()
			b.url = start(t, program, args...).url
			if _, body := b.do("GET", "/"); body != "5" {
				t.Fatalf("after a restart: %q", body)
			}
		})
	}
}
