package session_test

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/typedsession/session"

// listed is what go list says about a package, tests left aside.
type listed struct {
	ImportPath string
	Deps       []string // everything it imports, directly or not
}

// ours returns what the package imports of this repository, shortened: "." is
// the root.
func (p listed) ours() []string {
	var all []string
	for _, dep := range p.Deps {
		if rel, ok := shorten(dep); ok {
			all = append(all, rel)
		}
	}
	return all
}

func shorten(path string) (string, bool) {
	if path == modulePath {
		return ".", true
	}
	return strings.CutPrefix(path, modulePath+"/")
}

// below says whether a package is dir or in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}

// TestImportGraph holds the packages to the arrows
//
//	examples → middleware → session → store ← memory, sqlstore, cached, storetest ...
func TestImportGraph(t *testing.T) {
	packages := map[string]listed{}
	for _, p := range goList(t) {
		rel, ok := shorten(p.ImportPath)
		require.True(t, ok, p.ImportPath)
		packages[rel] = p
	}
	for _, rel := range []string{".", "store", "store/memory", "store/storetest", "middleware"} {
		require.Contains(t, packages, rel, "go list does not see what this test is about")
	}

	for rel, p := range packages {
		for _, dep := range p.ours() {
			require.True(t, mayImport(rel, dep), "%s must not import %s", rel, dep)
		}
	}
	for _, dep := range packages["."].Deps {
		for _, forbidden := range []string{"net/http", "testing", "database/sql"} {
			require.False(t, below(dep, forbidden), "the root must not import %s, directly or not", dep)
		}
	}
	require.Contains(t, packages["middleware"].ours(), ".", "a middleware serves the sessions of the root")
}

// mayImport says whether one package of this repository may depend on another.
func mayImport(from, to string) bool {
	switch {
	case from == ".":
		return to == "store" || below(to, "internal/record")
	case from == "store":
		return false
	case below(from, "store/pgxlisten"): // an option of that store, with a driver
		return to == "store" || to == "store/sqlstore" || below(to, "store/pgxlisten")
	case below(from, "store"):
		implementation := strings.SplitN(from, "/", 3)[1]
		return to == "store" || below(to, "store/"+implementation)
	case below(from, "middleware"):
		return to == "." || to == "store" || below(to, "internal") || below(to, "middleware")
	case below(from, "sessiontest"):
		return to == "." || below(to, "internal/record") || to == "store" || to == "store/memory"
	case below(from, "internal/record"):
		return below(to, "internal/record")
	}
	return true // programs and tools for tests
}

func TestMayImport(t *testing.T) {
	for _, arrow := range []struct{ from, to string }{
		{".", "store"},
		{".", "internal/record"},
		{"store/memory", "store"},
		{"store/memory/shard", "store/memory"},
		{"store/sqlstore", "store/sqlstore/internal/schema"},
		{"store/pgxlisten", "store/sqlstore"},
		{"middleware", "."},
		{"middleware/ginsession", "middleware"},
		{"sessiontest", "store/memory"},
		{"examples/counter", "store/memory"},
	} {
		require.True(t, mayImport(arrow.from, arrow.to), "%s → %s", arrow.from, arrow.to)
	}
	for _, arrow := range []struct{ from, to string }{
		{".", "middleware"},
		{".", "store/memory"},
		{".", "store/storetest"},
		{".", "internal/check"},
		{"store", "internal/record"},
		{"store/memory", "."},
		{"store/sqlstore", "store/pgxlisten"},
		{"store/memory", "store/storetest"},
		{"store/storetest", "store/memory"},
		{"middleware", "store/memory"},
		{"sessiontest", "middleware"},
		{".", "sessiontest"},
		{"internal/record", "store"},
	} {
		require.False(t, mayImport(arrow.from, arrow.to), "%s → %s", arrow.from, arrow.to)
	}
}

// TestRequirementsOfTheRoot guards what everybody who imports the root gets.
func TestRequirementsOfTheRoot(t *testing.T) {
	allowed := []string{
		"github.com/go-playground/validator/v10",
		"github.com/goccy/go-json",
		"github.com/stretchr/testify",
	}
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	require.NoError(t, json.Unmarshal([]byte(goTool(t, "mod", "edit", "-json", "go.mod")), &mod))
	require.NotEmpty(t, mod.Require)
	for _, r := range mod.Require {
		require.True(t, r.Indirect || slices.Contains(allowed, r.Path),
			"the root must not require %s: what needs it becomes a module of its own", r.Path)
	}
}

// goList lists every package of the workspace, or of the root alone when there
// is no workspace.
func goList(t *testing.T) []listed {
	t.Helper()
	// Looking at every folder tells go test, which caches, what the answer
	// depends on: it does not see what go list reads.
	require.NoError(t, filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != "." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		return err
	}))
	var packages []listed
	stream := json.NewDecoder(strings.NewReader(goTool(t, "list", "-json=ImportPath,Deps", "work")))
	for {
		var p listed
		err := stream.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	return string(out)
}
