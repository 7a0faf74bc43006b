package session

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The shortcuts for plain values are an optimization that must not show, so they
// are tested where they are.

// TestShortcutsAreTaken: what they write is what they read; otherwise all their
// tests would pass when they did nothing.
func TestShortcutsAreTaken(t *testing.T) {
	t.Parallel()
	n, n64, text, yes := -42, int64(1<<40), "plain text", true
	for _, v := range []any{&n, &n64, &text, &yes} {
		raw, ok := encodePlain(v)
		require.True(t, ok, "%T", v)
		require.True(t, decodePlain(raw, v), "%T", v)
	}
	require.Equal(t, []any{-42, int64(1 << 40), "plain text", true}, []any{n, n64, text, yes})
	type named int
	var other named
	require.False(t, decodePlain([]byte("1"), &other), "another type may have methods")
	_, ok := encodePlain(&other)
	require.False(t, ok)
}

func TestShortcutsAgreeWithEncodingJSON(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(19, 20))
	for _, seed := range codecSeeds {
		sameShortcuts(t, seed)
		sameShortcuts(t, " "+seed+"\n")
	}
	for range 15_000 {
		sameShortcuts(t, randomJSON(r))
	}
}

// sameShortcuts goes through the decoder of the verbs, shortcut and codec.
func sameShortcuts(t *testing.T, raw string) {
	t.Helper()
	sameVerb[int](t, raw)
	sameVerb[int64](t, raw)
	sameVerb[string](t, raw)
	sameVerb[bool](t, raw)
}

func sameVerb[T any](t *testing.T, raw string) {
	t.Helper()
	c := &valueCodec{Codec: JSON{}, plain: true, maxDepth: 32}
	var want T
	err := json.Unmarshal([]byte(raw), &want)
	got, _, _, gotErr := startValue[T](c, Key[T]("k").d, &start{stored: stored{raw: []byte(raw), ok: true}})
	refused := err != nil || strings.TrimSpace(raw) == "null"
	if refused != (gotErr != nil) {
		t.Fatalf("%T from %q: %v instead of %v", want, raw, gotErr, err)
	}
	if refused {
		return
	}
	if any(*got) != any(want) {
		t.Fatalf("%T from %q: %v instead of %v", want, raw, *got, want)
	}
	text, err := json.Marshal(want)
	require.NoError(t, err)
	written, err := encodeValue(c, Key[T]("k").d, got)
	if err != nil || string(written) != string(text) {
		t.Fatalf("%T %v: written as %q, %v", want, want, written, err)
	}
}

// randomJSON returns something like a number, a text or neither.
func randomJSON(r *rand.Rand) string {
	const signs = `0123456789-+.eE "\/tfnul<>&ax{}[],:`
	switch r.IntN(5) {
	case 0:
		return fmt.Sprint(int64(r.Uint64() >> r.IntN(64)))
	case 1:
		return fmt.Sprint(-int64(r.Uint64() >> r.IntN(64)))
	case 2:
		b := make([]byte, r.IntN(12))
		for i := range b {
			b[i] = byte(r.Uint32() >> r.IntN(2)) // half of them ASCII
		}
		return `"` + string(b) + `"`
	case 3:
		digits := strings.Repeat("0", r.IntN(3)) + fmt.Sprintf("%020d", r.Uint64())[r.IntN(20):]
		return strings.Repeat("-", r.IntN(2)) + digits
	default:
		b := make([]byte, r.IntN(8))
		for i := range b {
			b[i] = signs[r.IntN(len(signs))]
		}
		return string(b)
	}
}
