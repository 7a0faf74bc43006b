package redisstore_test

import (
	"testing"

	"github.com/typedsession/session/internal/servers"
)

func TestMain(m *testing.M) { servers.Main(m) }
