// Package mutant puts the published bugs of other session libraries into this one,
// one after the other, and holds the tests of the repository to finding them. A proof
// that cannot reject anything is worth nothing.
//
// A [Mutant] is a few replacements in source files. They are made in copies, which
// the go command reads instead of the files (go build -overlay): nothing of a mutant
// is in the repository, and no shipped code knows of it. Its [Killer]s are tests
// that have to fail with it, and that pass without it.
//
// One mutant alone:
//
//	go test ./internal/proofs/mutant -run 'TestMutants/upsert$'
package mutant
