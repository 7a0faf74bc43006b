// Package laws holds the stores that mutants are put into to the laws of
// store/storetest. It has no other tests, so that it is built anew for a mutant in no
// time.
package laws
