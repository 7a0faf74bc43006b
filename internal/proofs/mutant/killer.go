package mutant

import (
	"regexp"
	"strings"

	"github.com/typedsession/session/internal/proofs/effort"
)

// Killer is a test that has to fail with a mutant.
type Killer struct {
	Title   string   // in the documentation
	Package string   // its folder, from the root of the repository
	Run     string   // which test, as in go test -run
	Env     []string // more of the environment
}

// exactly is a pattern for one test, or for one of its subtests.
func exactly(names ...string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = "^" + regexp.QuoteMeta(strings.ReplaceAll(name, " ", "_")) + "$"
	}
	return strings.Join(parts, "/")
}

// law is one sentence of the contract of a store, held to store/memory.
func law(name string) Killer {
	return Killer{Title: "storetest: " + name, Package: "store/memory", Run: exactly("TestLaws", "laws", name)}
}

// lawOfSQLite is the same, held to store/sqlstore on a file.
func lawOfSQLite(name string) Killer {
	return Killer{
		Title: "storetest on SQLite: " + name, Package: "internal/proofs/mutant/laws", Run: exactly("TestSQLite", "laws", name),
	}
}

// lawOfRedis is the same, held to store/redisstore on a server.
func lawOfRedis(name string) Killer {
	return Killer{
		Title: "storetest on Redis: " + name, Package: "internal/proofs/mutant/laws", Run: exactly("TestRedis", "laws", name),
	}
}

// test is a test of a package.
func test(folder string, names ...string) Killer {
	k := Killer{Title: strings.Join(names, "/"), Package: folder, Run: exactly(names...)}
	if folder != "." {
		k.Title = folder + " " + k.Title
	}
	return k
}

// histories are those of the store in memory. Their seed is given, so that a mutant is
// not found in one run and missed in the next.
func histories() Killer {
	return Killer{
		Title: "histories", Package: "internal/proofs/history", Run: exactly("TestHistories") + "/^with",
		Env: []string{effort.SeedVariable + "=1"},
	}
}

// faultyHistories are those in which requests and answers get lost.
func faultyHistories() Killer {
	k := histories()
	k.Title, k.Run = "histories with faults", exactly("TestHistories", "with faults")
	return k
}

// cachedHistories are those of nodes that have near caches.
func cachedHistories() Killer {
	k := histories()
	k.Title, k.Run = "histories behind a cache", exactly("TestHistories", "behind a cache")
	return k
}

// schedules are those of three requests: they find what those of two do, and sooner.
func schedules() Killer {
	return Killer{Title: "schedules", Package: "internal/proofs/schedule", Run: exactly("TestSchedulesOfThree")}
}

// scenario is a story of one or two requests.
func scenario(name string) Killer {
	return Killer{Title: "scenario: " + name, Package: "internal/proofs/mutant/scenario", Run: exactly(name)}
}
