package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The samples are put together here, or this file would be a finding itself.

func TestPathsOfMachines(t *testing.T) {
	there := map[string]bool{"/srv/code/session": true}
	p := newPlaces(func(path string) bool { return there[path] }, "/srv/code/session", "/srv/code", "/", "")
	for _, line := range []string{
		"see /ro" + "ot/x",
		`"/home` + `/ann/go"`,
		"(/Users" + "/ann/go)",
		"cd /srv/code/session/store",
		"file:/srv/code/session",
	} {
		require.Len(t, p.problems("a.md", []byte("first\n"+line+"\n")), 1, line)
		require.Contains(t, p.problems("a.md", []byte("first\n"+line+"\n"))[0], "a.md:2: ")
	}
	for _, line := range []string{
		"github.com/typedsession/session/home/x",
		"https://example.com/ro" + "ot/x",
		"/srv/code/other is not there",
		"a/srv/code/session",
		"Path: /root-page, /home",
	} {
		require.Empty(t, p.problems("a.md", []byte(line)), line)
	}
}

func TestPlacesWithoutAFolder(t *testing.T) {
	p := newPlaces(func(string) bool { return true }, "/", "")
	require.Empty(t, p.problems("a.md", []byte("/x/y")))
	require.Len(t, p.problems("a.md", []byte("/ro"+"ot/x")), 1)
}

func TestGoProblems(t *testing.T) {
	const sleeping = "package a\n\nimport \"time\"\n\nfunc f() { time." + "Sleep(1) }\n"
	for _, c := range []struct{ name, file, source, want string }{
		{"clean", "a.go", "package a\n", ""},
		{"long", "a.go", "package a\n" + strings.Repeat("//\n", maxLines), "451 lines"},
		{"at the limit", "a.go", "package a\n" + strings.Repeat("//\n", maxLines-1), ""},
		{"long test", "a_test.go", "package a\n" + strings.Repeat("//\n", maxLines), ""},
		{"mark", "a.go", "package a // TO" + "DO\n", "a.go:1: TO" + "DO"},
		{"mark", "a.go", "package a\n// FIX" + "ME: x\n", "a.go:2: FIX" + "ME"},
		{"part of a word", "a.go", "package a // TO" + "DOS\n", ""},
		{"name", "a.go", "package utils\n", "package utils"},
		{"name of a test package", "a_test.go", "package common_test\n", "package common"},
		{"name that only begins so", "a.go", "package utility\n", ""},
		{"sleep in a test", "a_test.go", sleeping, "a_test.go:5: a test waits"},
		{"sleep elsewhere is the linter's", "a.go", sleeping, ""},
		{"sleep in a bubble", "a_test.go", strings.Replace(sleeping, `"time"`, "(\n\"testing/synctest\"\n\"time\"\n)", 1), ""},
		{"broken", "a.go", "pakcage a\n", "expected 'package'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(goProblems(c.file, []byte(c.source)), "\n")
			if c.want == "" {
				require.Empty(t, got)
				return
			}
			require.Contains(t, got, c.want)
		})
	}
}
