// Package examples_test holds the README to the programs beside it.
package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var firstProgram = regexp.MustCompile("(?s)```go\n(package main\n.*?)```")

func readmeProgram(t *testing.T) string {
	t.Helper()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := firstProgram.FindSubmatch(readme)
	if m == nil {
		t.Fatal("the README has no program")
	}
	return string(m[1])
}

func TestReadmeProgram(t *testing.T) {
	source, err := os.ReadFile("quickstart/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, program, _ := strings.Cut(string(source), "\npackage main\n")
	got := readmeProgram(t)
	if got != "package main\n"+program {
		t.Error("the README's program is not that of examples/quickstart")
	}
	if n := strings.Count(got, "\n"); n > 35 {
		t.Errorf("the README's program has %d lines, at most 35 are allowed", n)
	}
}

// TestReadmeStruct compares the second piece of Go in the README, a struct session,
// with what examples/typed does.
func TestReadmeStruct(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	pieces := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(readme, 2)
	if len(pieces) < 2 {
		t.Fatal("the README shows no struct session")
	}
	source, err := os.ReadFile("typed/visit.go")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(source), "\n)\n\n") // behind the imports
	if got := string(pieces[1][1]); got != want {
		t.Errorf("the README's struct session is not that of examples/typed:\n%s", got)
	}
	if n := strings.Count(want, "\n"); n > 25 {
		t.Errorf("the struct session has %d lines, at most 25 are allowed", n)
	}
}

// TestLinks follows what the documents name as proof.
func TestLinks(t *testing.T) {
	documents, err := filepath.Glob("../*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"../docs/*.md", "../docs/*/*.md"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, more...)
	}
	code, link := regexp.MustCompile("(?s)```.*?```|`[^`\n]+`"), regexp.MustCompile(`\]\(([^)]+)\)`)
	followed := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllSubmatch(code.ReplaceAll(text, nil), -1) {
			target, _, _ := strings.Cut(string(m[1]), "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			followed++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), target)); err != nil {
				t.Errorf("dead link in %s: %v", document, err)
			}
		}
	}
	if followed < 10 {
		t.Errorf("only %d links found", followed)
	}
}

// TestOutsideProgram builds the README's program as a module of its own, outside
// the repository: it must gain no requirement that the root does not have.
func TestOutsideProgram(t *testing.T) {
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	sums, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		"main.go": readmeProgram(t),
		"go.sum":  string(sums), // so that nothing has to be downloaded
		"go.mod": "module example.org/outside\n\ngo 1.26.0\n\nrequire github.com/typedsession/session v0.0.0\n\n" +
			"replace github.com/typedsession/session => " + root + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	goCommand := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod", "GOPROXY=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	goCommand("build", "-o", os.DevNull, ".")
	allowed, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	required := strings.Fields(goCommand("list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", "."))
	gained, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if len(required) == 0 {
		t.Fatal("go list names no module")
	}
	for _, module := range required {
		if module == "github.com/typedsession/session" || !strings.Contains(string(gained), module) {
			continue
		}
		if !strings.Contains(string(allowed), module+" ") {
			t.Errorf("a user of the library is made to require %s", module)
		}
	}
}
