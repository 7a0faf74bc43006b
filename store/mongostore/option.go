package mongostore

import "fmt"

const (
	// DefaultBatch is how many records a store removes at a time unless WithBatch
	// says otherwise.
	DefaultBatch = 500
	// MaxBatch is the largest number that WithBatch takes.
	MaxBatch = 10_000
)

// Option changes what New makes.
type Option func(*config)

type config struct {
	batch int
}

// WithBatch says how many records DeleteExpired and DeleteOwner remove with one
// command, from 1 to MaxBatch. The default is DefaultBatch.
func WithBatch(n int) Option {
	return func(c *config) { c.batch = n }
}

func (c *config) check() error {
	if c.batch < 1 || c.batch > MaxBatch {
		return fmt.Errorf("WithBatch(%d): want a number from 1 to %d", c.batch, MaxBatch)
	}
	return nil
}
