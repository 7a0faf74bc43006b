package session_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/store/memory"
)

var (
	regWant = regexp.MustCompile("`[^`]*`")
	regLine = regexp.MustCompile(`\{-?\d+\}`)
)

// regWants returns what the comments of a source file promise: parts of lines.
func regWants(t *testing.T, file string) (wants []string) {
	t.Helper()
	src, err := os.ReadFile(file)
	require.NoError(t, err)
	for i, line := range strings.Split(string(src), "\n") {
		_, comment, ok := strings.Cut(line, "// want ")
		if !ok {
			continue
		}
		for _, want := range regWant.FindAllString(comment, -1) {
			wants = append(wants, regLine.ReplaceAllStringFunc(strings.Trim(want, "`"), func(ref string) string {
				n, err := strconv.Atoi(strings.Trim(ref, "{}"))
				require.NoError(t, err)
				return strconv.Itoa(i + 1 + n)
			}))
		}
	}
	return wants
}

// TestPackageVariablesThatAreWrong runs a program whose package variables are: what
// NewManager says of them is each time what the source promises, and no more.
func TestPackageVariablesThatAreWrong(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("internal", "declared", "testdata", "wrong")
	program := filepath.Join(t.TempDir(), "wrong.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./"+filepath.ToSlash(dir))
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	run := exec.CommandContext(t.Context(), program)
	var stderr bytes.Buffer
	run.Stderr = &stderr
	out, err = run.Output()
	require.NoError(t, err, "%s", stderr.String())

	abs, err := filepath.Abs(dir)
	require.NoError(t, err)
	wants := regWants(t, filepath.Join(dir, "main.go"))
	require.Greater(t, len(wants), 30, "the comments are not found")
	for scan := bufio.NewScanner(bytes.NewReader(out)); scan.Scan(); {
		scope, quoted, _ := strings.Cut(scan.Text(), ": ")
		problem, err := strconv.Unquote(quoted)
		require.NoError(t, err, scan.Text())
		line := scope + ": " + strings.ReplaceAll(problem, filepath.ToSlash(abs)+"/", "")
		found := false
		for i, want := range wants {
			if found = strings.Contains(line, want); found {
				wants = append(wants[:i], wants[i+1:]...)
				break
			}
		}
		if !found {
			t.Errorf("nobody wants %s", line)
		}
	}
	for _, want := range wants {
		t.Errorf("missing: %s", want)
	}
}

type regVisit struct {
	N int `json:"reg.n" validate:"min=0"`
}

var (
	regCount = session.Key[int]("reg.count")
	regAgain = session.Key[int]("reg.count").WithDefault(1).WithLastWriteWins()
	regAll   = session.Struct[regVisit]().WithDefault(regVisit{N: 1})
)

// TestDeclarationsAtRunTime are not registered: no manager complains about them.
func TestDeclarationsAtRunTime(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"reg.count", "reg.count", "regVisit"}, []string{regCount.Name(), regAgain.Name(), regAll.Name()})
	_ = session.Key[string]("reg.count")
	_ = session.Key[bool]("reg.n").WithRule("nonsense")
	_ = session.Struct[struct{ A chan int }]()
	_ = session.Key[string]("")
	done := make(chan session.Typed[uint])
	go func() { done <- session.Key[uint]("reg.count") }()
	<-done
	_, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
}

// TestDeclarationsAtRunTimeCostNothing: once a session has been opened, Key does not
// look where it is called from, and leaves nothing behind.
func TestDeclarationsAtRunTimeCostNothing(t *testing.T) { // not parallel: it counts allocations
	newManager(t).Open(session.Opening{})
	name := "cart:" + strings.Repeat("7", 20)
	var key session.Typed[int]
	var all session.Typed[regVisit]
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { key = session.Key[int](name) }), 2.0)
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { all = session.Struct[regVisit]() }), 2.0)
	require.Equal(t, "regVisit", all.Name())

	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 20_000 {
		key = session.Key[int](name).WithDefault(1)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapObjects)-int64(before.HeapObjects), int64(5000))
	require.Equal(t, name, key.Name())
}
