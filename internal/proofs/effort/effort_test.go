package effort_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
)

func TestOf(t *testing.T) {
	t.Setenv(effort.ProofsVariable, "")
	t.Setenv(effort.SeedVariable, "")
	e := effort.Of(t)
	require.False(t, e.Long)
	require.False(t, e.Over())
	require.Equal(t, 3, e.Count(3, 70))
	require.NotEqual(t, e.Seed, effort.Of(t).Seed)

	t.Setenv(effort.SeedVariable, "18446744073709551615")
	t.Setenv(effort.ProofsVariable, "1h")
	e = effort.Of(t)
	require.True(t, e.Long)
	require.False(t, e.Over())
	require.Equal(t, 70, e.Count(3, 70))
	require.Equal(t, uint64(math.MaxUint64), e.Seed)
	require.Equal(t, e.Rand(1).Uint64(), effort.Of(t).Rand(1).Uint64())
	require.NotEqual(t, e.Rand(1).Uint64(), e.Rand(2).Uint64())

	t.Setenv(effort.ProofsVariable, "1ns")
	e = effort.Of(t)
	require.Eventually(t, e.Over, time.Minute, time.Millisecond)
}
