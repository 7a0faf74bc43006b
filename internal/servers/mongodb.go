package servers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

var errMongoURI = errors.New("what was given is no connection string of MongoDB")

// KindMongoDB is MongoDB, or what stands in for it: see MongoDB.
const KindMongoDB Kind = "MongoDB"

// MongoDB returns the server that SESSION_TEST_MONGO_URI names, otherwise a
// stand-in that all tests of this binary share; the first test that asks starts
// it. The stand-in is built from this repository, which takes minutes the first
// time; where that fails the test is skipped, even if installing was asked for.
// What the stand-in can and cannot do is in the documentation of its command,
// internal/mongostandin; see StandIn.
//
// It is called from the goroutine of the test, like t.Fatal.
func MongoDB(t testing.TB) *Server {
	t.Helper()
	return shared(t, KindMongoDB)
}

// StartMongoDB starts a stand-in for this test only, which may stop it. The server
// ends with the test. The environment cannot name another one in its place;
// otherwise it is like MongoDB.
func StartMongoDB(t testing.TB, opts ...Option) *Server {
	t.Helper()
	return private(t, KindMongoDB, opts...)
}

// StandIn says whether the server is not the product itself but the stand-in of
// MongoDB, which was started here.
func (s *Server) StandIn() bool { return s.kind == KindMongoDB && s.Own() }

func mongoProduct() product {
	return product{
		kind:     KindMongoDB,
		variable: "SESSION_TEST_MONGO_URI",
		locate:   func(places) (engine, bool) { return standIn(""), true }, // nothing to install
		build: func() (engine, error) {
			path, err := builtStandIn()
			return standIn(path), err
		},
		within: mongoWithin,
	}
}

// standIn is the path of its program.
type standIn string

func (standIn) prepare(context.Context, *Server) error { return nil }

func (e standIn) command(s *Server) []string {
	return []string{string(e), "-dir", s.dir, "-listen", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))}
}

func (standIn) probe(ctx context.Context, s *Server) error { return probeMongo(ctx, s) }

func (standIn) dsn(port int) string { return fmt.Sprintf("mongodb://127.0.0.1:%d/", port) }

func (standIn) signals() (stop, discard syscall.Signal) { return syscall.SIGTERM, syscall.SIGKILL }

func (standIn) account() (*account, error) { return nil, nil } //nolint:nilnil // that of the tests

func (standIn) release(context.Context, *Server) {}

// mongoWithin returns a connection string for another database. Whoever logs in
// still does so where the string said, which without another word is its database.
// The error does not say what was given: it has a password.
func mongoWithin(uri, name string) (string, error) {
	head, options, _ := strings.Cut(uri, "?")
	scheme, rest, ok := strings.Cut(head, "://")
	if !ok {
		return "", errMongoURI
	}
	hosts, database, _ := strings.Cut(rest, "/")
	q, err := url.ParseQuery(options)
	if err != nil {
		return "", errMongoURI
	}
	named := func(option string) bool { return strings.EqualFold(option, "authSource") }
	if strings.Contains(hosts, "@") && !slices.ContainsFunc(slices.Collect(maps.Keys(q)), named) {
		q.Set("authSource", cmp.Or(database, "admin"))
	}
	within := scheme + "://" + hosts + "/" + name
	if len(q) > 0 {
		within += "?" + q.Encode()
	}
	return within, nil
}
