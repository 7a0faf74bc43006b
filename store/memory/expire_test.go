package memory_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// A record is live one millisecond before its Expires and gone at it, for every
// method.
func TestExpiryBoundary(t *testing.T) {
	t.Parallel()
	const life = time.Minute
	methods := map[string]func(ctx context.Context, s *memory.Store, r store.Record) (live bool, err error){
		"Load": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			_, err := s.Load(ctx, key(1))
			return err == nil, err
		},
		"Insert": func(ctx context.Context, s *memory.Store, r store.Record) (bool, error) {
			err := s.Insert(ctx, key(1), r)
			return err != nil, err
		},
		"Swap": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			_, err := s.Swap(ctx, key(1), 1, record(2, time.Hour))
			return err == nil, err
		},
		"Touch": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			if err := s.Touch(ctx, key(1), 1, time.Now().Add(time.Hour)); err != nil {
				return false, err
			}
			_, err := s.Load(ctx, key(1))
			return err == nil, err
		},
		"ListOwner": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			list, err := s.ListOwner(ctx, "ada", store.Key{}, 10)
			return len(list) == 1, err
		},
		"DeleteOwner": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			n, err := s.DeleteOwner(ctx, "ada")
			return n == 1, err
		},
		"DeleteExpired": func(ctx context.Context, s *memory.Store, _ store.Record) (bool, error) {
			n, err := s.DeleteExpired(ctx, 10)
			return n == 0, err
		},
	}
	for name, method := range methods {
		for _, c := range []struct {
			at   time.Duration
			live bool
		}{
			{life - time.Millisecond, true},
			{life - time.Nanosecond, true}, // the clock still shows the millisecond before
			{life, false},
			{life + time.Millisecond, false},
		} {
			t.Run(name+" at "+c.at.String(), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s := memory.New()
					r := record(1, life)
					r.Owner = "ada"
					insert(t, s, key(1), r)
					time.Sleep(c.at)
					live, err := method(t.Context(), s, r)
					require.Equal(t, c.live, live, "error: %v", err)
				})
			})
		}
	}
}

func TestExpiryIsFlooredToTheMillisecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		insert(t, s, key(1), record(1, time.Second+999*time.Microsecond))
		time.Sleep(time.Second - time.Nanosecond)
		_, err := s.Load(t.Context(), key(1))
		require.NoError(t, err)
		time.Sleep(time.Nanosecond)
		_, err = s.Load(t.Context(), key(1))
		require.ErrorIs(t, err, store.ErrNotFound)
	})
}

// Whoever comes after the flood makes it leave, without any call to sweep.
func TestExpiredLeaveByThemselves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const flood = 5000
		s := memory.New()
		for i := range flood {
			insert(t, s, key(i), record(1, time.Minute))
		}
		require.Equal(t, flood, s.Len())
		time.Sleep(time.Minute)
		require.Equal(t, flood, s.Len(), "nothing runs in the background")

		// Each Insert removes at least twice as many as it adds, here in a shard
		// of its own and in one of all others in turn.
		var one store.Key
		for i := range flood / 7 {
			one[1], one[2] = byte(i), byte(i>>8)
			insert(t, s, one, record(1, time.Minute))
		}
		require.Equal(t, flood/7, s.Len())
		require.NoError(t, s.Check())
	})
}

// Every write, not only Insert, helps in its own shard.
func TestEveryWriteRemovesExpired(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(ctx context.Context, s *memory.Store, k store.Key) error{
		"Swap": func(ctx context.Context, s *memory.Store, k store.Key) error {
			_, err := s.Swap(ctx, k, 1, record(2, time.Hour))
			return err
		},
		"Touch": func(ctx context.Context, s *memory.Store, k store.Key) error {
			return s.Touch(ctx, k, 1, time.Now().Add(2*time.Hour))
		},
		"Delete": func(ctx context.Context, s *memory.Store, k store.Key) error {
			return s.Delete(ctx, store.Key{0, 0xff})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				kept := store.Key{0, 1}
				insert(t, s, kept, record(1, time.Hour))
				for i := range 10 {
					insert(t, s, store.Key{0, 2, byte(i)}, record(1, time.Second))
				}
				time.Sleep(time.Second)
				require.NoError(t, write(t.Context(), s, kept))
				require.Equal(t, 3, s.Len(), "a write removes a few, not all")
				require.NoError(t, write(t.Context(), s, kept))
			})
		})
	}
}

func TestSweepIsExact(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const total, limit = 10_000, 300
		s := memory.New()
		for i := range total {
			life := time.Hour
			if i/64%2 == 0 { // so that every shard has both
				life = time.Minute
			}
			insert(t, s, key(i), record(1, life))
		}
		expired := 0
		for i := range total {
			if i/64%2 == 0 {
				expired++
			}
		}
		time.Sleep(time.Minute)
		removed := 0
		for {
			n, err := s.DeleteExpired(t.Context(), limit)
			require.NoError(t, err)
			removed += int(n)
			require.Equal(t, total-removed, s.Len())
			if n < limit {
				break
			}
			require.EqualValues(t, limit, n)
		}
		require.Equal(t, expired, removed)
		for i := range total {
			_, err := s.Load(t.Context(), key(i))
			require.Equal(t, i/64%2 == 0, err != nil)
		}
		require.NoError(t, s.Check())
		n, err := s.DeleteExpired(t.Context(), 0)
		require.NoError(t, err)
		require.Zero(t, n)
	})
}

// A touched or swapped record has moved in the order in which records leave.
func TestOrderFollowsChanges(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ctx := t.Context()
		for i := range 300 {
			insert(t, s, store.Key{0, byte(i), byte(i >> 8)}, record(1, time.Duration(1+i)*time.Second))
		}
		for i := range 300 {
			k := store.Key{0, byte(i), byte(i >> 8)}
			switch i % 3 {
			case 0:
				require.NoError(t, s.Touch(ctx, k, 1, time.Now().Add(time.Hour)))
			case 1:
				_, err := s.Swap(ctx, k, 1, record(2, time.Second))
				require.NoError(t, err)
			}
			require.NoError(t, s.Check())
		}
		time.Sleep(time.Second)
		n, err := s.DeleteExpired(ctx, 1000)
		require.NoError(t, err)
		require.EqualValues(t, 100, n)
		time.Sleep(5 * time.Minute)
		n, err = s.DeleteExpired(ctx, 1000)
		require.NoError(t, err)
		require.EqualValues(t, 100, n)
		require.Equal(t, 100, s.Len())
	})
}
