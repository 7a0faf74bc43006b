package mutant

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:generate go test -run TestDocumentation -count=1 . -update

var update = flag.Bool("update", false, "write the table of mutants into the documentation")

func TestDocumentation(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", filepath.FromSlash(Documentation))
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	want, err := document(text, Table())
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(want), 0o644))
		return
	}
	require.Equal(t, want, text, "run go generate ./internal/proofs/mutant")
}

func TestDocumentationWithoutAPlace(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", begins, ends, ends + begins} {
		_, err := document(text, Table())
		require.ErrorIs(t, err, errNoPlace, text)
	}
	text, err := document("a\n"+begins+"old\n"+ends+"z\n", Table()[:1])
	require.NoError(t, err)
	require.NotContains(t, text, "old")
	require.True(t, strings.HasPrefix(text, "a\n") && strings.HasSuffix(text, "z\n"), text)
	again, err := document(text, Table()[:1])
	require.NoError(t, err)
	require.Equal(t, text, again)
}
