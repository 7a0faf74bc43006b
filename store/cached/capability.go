package cached

import (
	"context"
	"errors"
	"fmt"

	"github.com/typedsession/session/store"
)

// ListOwner implements [store.OwnerIndex]. It is answered by the store beneath.
func (s *Store) ListOwner(ctx context.Context, owner string, after store.Key, limit int) ([]store.Entry, error) {
	x, ok := s.back.(store.OwnerIndex)
	if !ok {
		return nil, s.unsupported("has no owner index")
	}
	return x.ListOwner(ctx, owner, after, limit)
}

// DeleteOwner implements [store.OwnerIndex]. It is done by the store beneath. Before
// and after, also when that fails, every copy of a record of owner is dropped, which
// looks at all that is cached.
//
// A copy from before a record was the owner's is not found so: such a session, as it
// was before the login, can be read until the copy is too old.
func (s *Store) DeleteOwner(ctx context.Context, owner string, except ...store.Key) (int64, error) {
	x, ok := s.back.(store.OwnerIndex)
	if !ok {
		return 0, s.unsupported("has no owner index")
	}
	s.dropOwner(owner)
	defer s.dropOwner(owner)
	return x.DeleteOwner(ctx, owner, except...)
}

func (s *Store) dropOwner(owner string) {
	if owner == "" {
		return // nobody's
	}
	s.spoil()
	for key, e := range s.cache.All() {
		if e.rec.Owner == owner {
			s.cache.Invalidate(key)
		}
	}
}

// DeleteExpired implements [store.Sweeper]. It is done by the store beneath.
func (s *Store) DeleteExpired(ctx context.Context, limit int) (int64, error) {
	x, ok := s.back.(store.Sweeper)
	if !ok {
		return 0, s.unsupported("cannot be swept")
	}
	return x.DeleteExpired(ctx, limit)
}

func (s *Store) unsupported(what string) error {
	return fmt.Errorf("cached: %T %s: %w", s.back, what, errors.ErrUnsupported)
}
