package mutant

import (
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/proofs/effort"
)

// shared is the laboratory of all tests.
func shared(t *testing.T) *laboratory {
	t.Helper()
	l, err := sharedLaboratory()
	require.NoError(t, err)
	return l
}

// long leaves a test out where -short asks for a look only.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("it takes long")
	}
}

// judgeAll builds a mutant and calls f with what each of the killers says of it.
func (l *laboratory) judgeAll(t *testing.T, m *Mutant, killers []Killer, f func(k *Killer, v Verdict, out string)) {
	t.Helper()
	release, err := l.take(t.Context())
	require.NoError(t, err)
	defer release()
	var packages []string
	for i := range killers {
		packages = append(packages, killers[i].Package)
	}
	slices.Sort(packages)
	programs, err := l.build(t.Context(), m, t.TempDir(), slices.Compact(packages)...)
	require.NoError(t, err)
	for i := range killers {
		v, out, err := l.judge(t.Context(), &killers[i], programs)
		require.NoError(t, err, "%s\n%s", killers[i].Title, out)
		f(&killers[i], v, out)
	}
}

// required returns the killers of m that are asked: the first of them, and all in the
// long form.
func required(e effort.Effort, m *Mutant) []Killer { return m.Killers[:e.Count(1, len(m.Killers))] }

// Every published bug, put into this library, is found by its killers.
func TestMutants(t *testing.T) {
	t.Parallel()
	long(t)
	e := effort.Of(t)
	l := shared(t)
	table := Table()
	require.NoError(t, problems(table))
	for i := range table {
		m := &table[i]
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			l.judgeAll(t, m, required(e, m), func(k *Killer, v Verdict, out string) {
				switch v {
				case Survived:
					t.Errorf("the mutant %q survived: %s does not find it\n%s", m.Name, k.Title, out)
				case Skipped:
					t.Skipf("%s does not run here:\n%s", k.Title, out)
				}
			})
		})
	}
}

// Without a mutant every killer passes.
func TestKillersPass(t *testing.T) {
	t.Parallel()
	long(t)
	e := effort.Of(t)
	l := shared(t)
	packages := map[string][]Killer{}
	table := Table()
	for i := range table {
		for _, k := range required(e, &table[i]) {
			known := slices.ContainsFunc(packages[k.Package], func(other Killer) bool {
				return other.Run == k.Run && slices.Equal(other.Env, k.Env)
			})
			if !known {
				packages[k.Package] = append(packages[k.Package], k)
			}
		}
	}
	for name, killers := range packages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l.judgeAll(t, &Mutant{}, killers, func(k *Killer, v Verdict, out string) {
				if v == Killed {
					t.Errorf("%s fails without a mutant:\n%s", k.Title, out)
				}
			})
		})
	}
}

// atOnce is how many mutants are built and judged at a time.
func atOnce() int { return max(2, runtime.NumCPU()) }
