package mutant

import "slices"

// Table returns all mutants.
func Table() []Mutant {
	return slices.Concat(ofMemory, ofSQLite, ofRedis, ofMySQL, ofCommits, ofAnswers, ofValues, ofCredentials, ofEnds, ofResponses, ofCaches)
}
