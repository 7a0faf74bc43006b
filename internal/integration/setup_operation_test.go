package integration_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

// operations are the rows of docs/stores.md on what an operation takes, on a store
// that has the record of key(1), version 1, of ada.
var operations = map[string]func(ctx context.Context, s ownerStore) error{
	"`Load`":   func(ctx context.Context, s ownerStore) error { _, err := s.Load(ctx, key(1)); return err },
	"`Insert`": func(ctx context.Context, s ownerStore) error { return s.Insert(ctx, key(2), owned(1, "")) },
	"`Insert`, with an owner": func(ctx context.Context, s ownerStore) error {
		return s.Insert(ctx, key(2), owned(1, "ada"))
	},
	"`Swap`": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(1), 1, lasting("ada", 90*time.Minute))
		return err
	},
	"`Swap`, another owner": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(1), 1, lasting("bob", 90*time.Minute))
		return err
	},
	"`Swap`, a shorter life": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(1), 1, lasting("ada", time.Minute))
		return err
	},
	"`Swap`, a much longer one": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(1), 1, lasting("ada", 24*time.Hour))
		return err
	},
	"`Swap`, a conflict": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(1), 9, lasting("ada", 90*time.Minute))
		return asWanted(err, store.ErrConflict)
	},
	"`Swap`, no record": func(ctx context.Context, s ownerStore) error {
		_, err := s.Swap(ctx, key(3), 1, lasting("ada", 90*time.Minute))
		return asWanted(err, store.ErrNotFound)
	},
	"`Touch`": func(ctx context.Context, s ownerStore) error {
		return s.Touch(ctx, key(1), 1, time.Now().Add(90*time.Minute))
	},
	"`Touch`, a much longer life": func(ctx context.Context, s ownerStore) error {
		return s.Touch(ctx, key(1), 1, time.Now().Add(24*time.Hour))
	},
	"`Delete`": func(ctx context.Context, s ownerStore) error { return s.Delete(ctx, key(1)) },
	"`ListOwner`, one page": func(ctx context.Context, s ownerStore) error {
		_, err := s.ListOwner(ctx, "ada", store.Key{}, 9)
		return err
	},
	"`DeleteOwner`, of up to 99": func(ctx context.Context, s ownerStore) error { _, err := s.DeleteOwner(ctx, "ada"); return err },
	"`DeleteExpired`, nothing is due": func(ctx context.Context, s ownerStore) error {
		sweeper, ok := s.(store.Sweeper)
		if !ok {
			return errors.ErrUnsupported
		}
		_, err := sweeper.DeleteExpired(ctx, 9)
		return err
	},
}

// lasting is the next version of a record that lasts for an hour.
func lasting(owner string, d time.Duration) store.Record {
	r := record(2, d)
	r.Owner = owner
	return r
}

// asWanted is nil if err is the answer that was wanted.
func asWanted(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return fmt.Errorf("the answer is %w, want %w", err, want)
}

func TestStoresDocOperations(t *testing.T) {
	t.Parallel()
	doc := storesDoc(t)
	rows, head := doc.table(t, "operations"), doc.head(t, "operations")
	onCostPlaces(t, func(t *testing.T, open func(t *testing.T) costPlace) {
		place := open(t)
		column := slices.Index(head, place.column)
		require.Positive(t, column)
		s, trips := place.node(t)
		tried := 0
		for _, row := range rows {
			for name := range strings.SplitSeq(row[0], "; ") {
				require.Contains(t, operations, name)
				for i := range 3 {
					require.NoError(t, s.Delete(t.Context(), key(i)))
				}
				require.NoError(t, s.Insert(t.Context(), key(1), owned(1, "ada")))
				before := trips()
				err := operations[name](t.Context(), s)
				want := row[column]
				if want == "none" {
					require.ErrorIs(t, err, errors.ErrUnsupported, name)
					want = "0"
				} else {
					require.NoError(t, err, name)
				}
				require.Equal(t, want, strconv.Itoa(trips()-before), name)
				tried++
			}
		}
		require.Len(t, operations, tried)
	})
}
