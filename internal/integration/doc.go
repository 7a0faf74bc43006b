// Package integration holds tests of the stores against real databases. It is a
// module of its own, so that no driver weighs on those who import the library.
package integration
