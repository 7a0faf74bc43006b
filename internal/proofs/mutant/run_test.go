package mutant

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var sharedLaboratory = sync.OnceValues(func() (*laboratory, error) { return newLaboratory(".", atOnce()) })

// easy is a killer that is built in no time, and what it looks at.
var (
	easy     = test("internal/proofs/effort", "TestOf")
	easyFile = "internal/proofs/effort/effort.go"
)

func TestMutantThatDoesNotApply(t *testing.T) {
	t.Parallel()
	l := shared(t)
	for name, edits := range map[string][]Edit{
		"no such text":        {{easyFile, "what is not there", "x"}},
		"twice":               {{easyFile, "SESSION_TEST_PROOFS", "x"}},
		"nothing changes":     {{easyFile, "package effort", "package effort"}},
		"no such file":        {{"internal/proofs/effort/none.go", "package", "x"}},
		"changed by the last": {{easyFile, "package effort", "package other"}, {easyFile, "package effort", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := l.build(t.Context(), &Mutant{Edits: edits}, t.TempDir(), easy.Package)
			require.ErrorIs(t, err, ErrDoesNotApply)
			require.NotErrorIs(t, err, ErrDoesNotBuild)
		})
	}
}

func TestMutantThatDoesNotBuild(t *testing.T) {
	t.Parallel()
	l := shared(t)
	m := &Mutant{Edits: []Edit{{easyFile, "func Of(", "var _ int = \"\"\n\nfunc Of("}}}
	_, err := l.build(t.Context(), m, t.TempDir(), easy.Package)
	require.ErrorIs(t, err, ErrDoesNotBuild)
	require.NotErrorIs(t, err, ErrDoesNotApply)
	require.ErrorContains(t, err, "int value", "it says why")
}

func TestMutantThatSurvives(t *testing.T) {
	t.Parallel()
	l := shared(t)
	m := &Mutant{Edits: []Edit{{easyFile, "package effort", "package effort\n\n// This is no bug."}}}
	l.judgeAll(t, m, []Killer{easy}, func(_ *Killer, v Verdict, out string) {
		require.Equal(t, Survived, v, out)
	})
}

func TestMutantThatIsKilled(t *testing.T) {
	t.Parallel()
	l := shared(t)
	m := &Mutant{Edits: []Edit{
		{easyFile, "	if e.Long {\n		return long", "	if !e.Long {\n		return long"},
		{easyFile, "return e.Long && time", "return false && time"},
	}}
	programs, err := l.build(t.Context(), m, t.TempDir(), easy.Package)
	require.NoError(t, err)
	v, out, err := l.judge(t.Context(), &easy, programs)
	require.NoError(t, err)
	require.Equal(t, Killed, v, out)

	none := test(easy.Package, "TestNone")
	_, out, err = l.judge(t.Context(), &none, programs)
	require.ErrorIs(t, err, ErrNoTest, out)

	source, err := os.ReadFile(filepath.Join(l.root, filepath.FromSlash(easyFile)))
	require.NoError(t, err)
	require.Contains(t, string(source), "return e.Long && time", "the repository is as it was")
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	k := &Killer{Package: "p", Run: exactly("TestLaws", "laws", "one law")}
	run := "=== RUN   TestLaws\n=== RUN   TestLaws/laws\n"
	end := errors.New("exit status 1")
	for name, c := range map[string]struct {
		out     string
		end     error
		verdict Verdict
		err     error
	}{
		"passed":            {run + "=== RUN   TestLaws/laws/one_law\n        --- PASS: TestLaws/laws/one_law (0.00s)\nPASS\n", nil, Survived, nil},
		"failed":            {run + "=== RUN   TestLaws/laws/one_law\n        --- FAIL: TestLaws/laws/one_law (0.00s)\nFAIL\n", end, Killed, nil},
		"panic":             {run + "panic: assignment to entry in nil map [recovered]\n", end, Killed, nil},
		"crash":             {run + "fatal error: concurrent map writes\n", end, Killed, nil},
		"hangs":             {run + "panic: test timed out after 1m0s\n", end, Survived, ErrHangs},
		"no test":           {"testing: warning: no tests to run\nPASS\n", nil, Survived, ErrNoTest},
		"only those around": {run + "    --- PASS: TestLaws/laws (0.00s)\n--- PASS: TestLaws (0.00s)\nPASS\n", nil, Survived, ErrNoTest},
		"skipped":           {"=== RUN   TestLaws\n--- SKIP: TestLaws (0.00s)\nPASS\n", nil, Skipped, nil},
		"a part is skipped": {run + "=== RUN   TestLaws/laws/one_law\n        --- PASS: TestLaws/laws/one_law (0.00s)\n--- SKIP: TestLaws/other (0.00s)\n", nil, Survived, nil},
		"no server":         {"cannot start: no room\n", end, Survived, ErrBroken},
		"cut off":           {run + "=== RUN   TestLaws/laws/one_law\n", nil, Survived, ErrBroken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := verdict(k, c.out, c.end)
			require.Equal(t, c.verdict, v)
			require.ErrorIs(t, err, c.err)
		})
	}
}

func TestTablesWithProblems(t *testing.T) {
	t.Parallel()
	good := Table()[0]
	require.NoError(t, problems([]Mutant{good}))
	for name, change := range map[string]func(m *Mutant){
		"no name":        func(m *Mutant) { m.Name = "" },
		"no harm":        func(m *Mutant) { m.Suffered = "" },
		"breaks a table": func(m *Mutant) { m.Published = "a | b" },
		"no edit":        func(m *Mutant) { m.Edits = nil },
		"no killer":      func(m *Mutant) { m.Killers = nil },
		"half a killer":  func(m *Mutant) { m.Killers = []Killer{{Title: "x"}} },
	} {
		m := good
		change(&m)
		require.Error(t, problems([]Mutant{m}), name)
	}
	require.ErrorContains(t, problems([]Mutant{good, good}), good.Name, "twice")
}

// The environment of a killer is this one's, but for what is meant for this test.
func TestEnvironment(t *testing.T) {
	l := shared(t)
	t.Setenv("GOFLAGS", "-race")
	t.Setenv("GOWORK", "off")
	t.Setenv("SESSION_TEST_PROOFS", "30m")
	t.Setenv("SESSION_TEST_SEED", "1")
	t.Setenv("SESSION_TEST_OTHER", "kept")
	env := l.environment("MORE=1")
	values := map[string][]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		values[name] = append(values[name], value)
	}
	require.Equal(t, []string{""}, values["GOFLAGS"])
	require.Equal(t, []string{filepath.Join(l.root, "go.work")}, values["GOWORK"])
	require.Equal(t, []string{""}, values["SESSION_TEST_PROOFS"])
	require.Equal(t, []string{""}, values["SESSION_TEST_SEED"])
	require.Equal(t, []string{"kept"}, values["SESSION_TEST_OTHER"])
	require.Equal(t, []string{"1"}, values["MORE"])
}

func TestSourceTreeIsElsewhere(t *testing.T) {
	t.Parallel()
	_, err := newLaboratory(t.TempDir(), 1)
	require.Error(t, err)
}
