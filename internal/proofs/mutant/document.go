package mutant

import (
	"errors"
	"fmt"
	"strings"
)

// Documentation is the file with the table of the mutants, from the root of the
// repository.
const Documentation = "docs/mutants.md"

const (
	begins = "<!-- mutants: made by go generate ./internal/proofs/mutant -->\n"
	ends   = "<!-- end of mutants -->\n"
)

var errNoPlace = errors.New("the documentation has no place for the table of mutants")

// document puts the table between its marks in a text.
func document(text string, table []Mutant) (string, error) {
	before, rest, begun := strings.Cut(text, begins)
	_, after, ended := strings.Cut(rest, ends)
	if !begun || !ended {
		return "", errNoPlace
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n%d mutants.\n\n", before, begins, len(table))
	b.WriteString("| mutant | what it does | published | what users suffered | killed by |\n|---|---|---|---|---|\n")
	for i := range table {
		m := &table[i]
		killers := make([]string, len(m.Killers))
		for i, k := range m.Killers {
			killers[i] = k.Title
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", m.Name, m.Bug, m.Published, m.Suffered, strings.Join(killers, "; "))
	}
	b.WriteString("\n" + ends + after)
	return b.String(), nil
}
