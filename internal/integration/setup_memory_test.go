package integration_test

import (
	"context"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

// begin memory
// import "github.com/typedsession/session/store/memory"
func serveFromMemory(ctx context.Context, serve func(*session.Manager) error) error {
	return serveFrom(ctx, memory.New(memory.WithMaxBytes(64<<20)), serve) // 256 MiB without the option
}

// end
