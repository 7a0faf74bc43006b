package servers

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
)

// redis is the path of its program.
type redis string

func redisProduct() product {
	return product{
		kind:     KindRedis,
		variable: "SESSION_TEST_REDIS_ADDR",
		packages: []string{"redis-server"},
		services: []string{"redis-server"},
		locate: func(p places) (engine, bool) {
			path, ok := p.program("redis-server")
			return redis(path), ok
		},
	}
}

func (redis) prepare(context.Context, *Server) error { return nil }

func (e redis) command(s *Server) []string {
	args := []string{string(e), "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", ""}
	if s.durable {
		return append(args, "--appendonly", "yes", "--appendfsync", "always")
	}
	return append(args, "--appendonly", "no")
}

func (redis) probe(ctx context.Context, s *Server) error { return probeRedis(ctx, s) }

func (redis) dsn(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func (redis) signals() (stop, discard syscall.Signal) { return syscall.SIGTERM, syscall.SIGKILL }

func (redis) account() (*account, error) { return nil, nil } //nolint:nilnil // that of the tests

func (redis) release(context.Context, *Server) {}
