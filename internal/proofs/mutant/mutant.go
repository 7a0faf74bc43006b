package mutant

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Edit is a piece of source text in place of another one.
type Edit struct {
	File string // from the root of the repository, with slashes
	Old  string // occurs once in the file
	New  string
}

// Mutant is a bug to be put in.
type Mutant struct {
	Name      string // of its subtest
	Bug       string // what the code does instead
	Published string // where the bug was, or is
	Suffered  string // what that did to whoever used it
	Edits     []Edit
	Killers   []Killer // each of them fails with it
}

// Errors of a mutant that is not fit to be judged.
var (
	// ErrDoesNotApply says that the text to be replaced is not there, or not once:
	// the code has changed, and the bug has to be put in anew.
	ErrDoesNotApply = errors.New("the mutant does not apply")
	// ErrDoesNotBuild says that the code does not compile with it.
	ErrDoesNotBuild = errors.New("the mutant does not compile")
)

// problems are reasons not to run any mutant of a table.
func problems(table []Mutant) error {
	var errs []error
	var names []string
	for i := range table {
		m := &table[i]
		if m.Name == "" || slices.Contains(names, m.Name) {
			errs = append(errs, fmt.Errorf("the name %q is empty or not the first of its kind", m.Name))
		}
		names = append(names, m.Name)
		for what, text := range map[string]string{"bug": m.Bug, "place where it was published": m.Published, "harm": m.Suffered} {
			if text == "" || strings.ContainsAny(text, "|\n") {
				errs = append(errs, fmt.Errorf("%s: its %s is no text for a table: %q", m.Name, what, text))
			}
		}
		if len(m.Edits) == 0 || len(m.Killers) == 0 {
			errs = append(errs, fmt.Errorf("%s: it changes nothing, or nothing is to kill it", m.Name))
		}
		for _, k := range m.Killers {
			if k.Package == "" || k.Run == "" || k.Title == "" {
				errs = append(errs, fmt.Errorf("%s: a killer is incomplete: %+v", m.Name, k))
			}
		}
	}
	return errors.Join(errs...)
}

// apply returns the changed files, by name.
func (m *Mutant) apply(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.Edits {
		text, changed := texts[e.File]
		if !changed {
			source, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.File))) //nolint:gosec // G304: a file of the repository
			if err != nil {
				return nil, fmt.Errorf("%w: %w", ErrDoesNotApply, err)
			}
			text = strings.ReplaceAll(string(source), "\r\n", "\n")
		}
		if n := strings.Count(text, e.Old); n != 1 || e.Old == e.New {
			return nil, fmt.Errorf("%w: %s has %d times, not once, or is to keep\n%s", ErrDoesNotApply, e.File, n, e.Old)
		}
		texts[e.File] = strings.Replace(text, e.Old, e.New, 1)
	}
	return texts, nil
}

// overlay writes the changed files below dir, and returns the file that tells the go
// command of them. Without an edit it tells of none.
func (m *Mutant) overlay(root, dir string) (string, error) {
	texts, err := m.apply(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for name, text := range texts {
		changed := filepath.Join(dir, strings.ReplaceAll(name, "/", "-"))
		replace[filepath.Join(root, filepath.FromSlash(name))] = changed
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, list, 0o600)
}
