package cached_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/cached"
)

// What a write is known to have left behind is cached, and nothing else.
func TestWhatWritesLeave(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		prep func(t *testing.T, st *stage)
		do   func(ctx context.Context, s *cached.Store) error
		err  error
		kept int64 // 0: nothing
	}{
		{name: "Insert", kept: 2, do: func(ctx context.Context, s *cached.Store) error {
			if err := s.Beneath().Delete(ctx, aKey); err != nil {
				return err
			}
			return s.Insert(ctx, aKey, record(2))
		}},
		{name: "Insert over a record", err: store.ErrExists, do: func(ctx context.Context, s *cached.Store) error {
			return s.Insert(ctx, aKey, record(2))
		}},
		{
			name: "Insert fails", err: errBroken, prep: func(_ *testing.T, st *stage) { st.before = failing("Insert") },
			do: func(ctx context.Context, s *cached.Store) error { return s.Insert(ctx, aKey, record(2)) },
		},
		{name: "Swap", kept: 2, do: func(ctx context.Context, s *cached.Store) error {
			_, err := s.Swap(ctx, aKey, 1, record(2))
			return err
		}},
		{
			name: "Swap that has happened before", kept: 2, prep: func(t *testing.T, st *stage) { st.swap(t, 1, 2) },
			do: func(ctx context.Context, s *cached.Store) error {
				_, err := s.Swap(ctx, aKey, 1, record(2))
				return err
			},
		},
		{
			name: "Swap with a conflict", err: store.ErrConflict, kept: 3, prep: func(t *testing.T, st *stage) { st.swap(t, 1, 3) },
			do: func(ctx context.Context, s *cached.Store) error {
				cur, err := s.Swap(ctx, aKey, 1, record(2))
				require.Equal(t, int64(3), cur.Version)
				return err
			},
		},
		{name: "Swap of nothing", err: store.ErrNotFound, prep: func(t *testing.T, st *stage) {
			require.NoError(t, st.Store.Delete(t.Context(), aKey))
		}, do: func(ctx context.Context, s *cached.Store) error {
			_, err := s.Swap(ctx, aKey, 1, record(2))
			return err
		}},
		{
			name: "Swap fails", err: errBroken, prep: func(_ *testing.T, st *stage) { st.after = failing("Swap") },
			do: func(ctx context.Context, s *cached.Store) error {
				_, err := s.Swap(ctx, aKey, 1, record(2))
				return err
			},
		},
		{name: "Delete", do: func(ctx context.Context, s *cached.Store) error { return s.Delete(ctx, aKey) }},
		{
			name: "Delete fails", err: errBroken, prep: func(_ *testing.T, st *stage) { st.before = failing("Delete") },
			do: func(ctx context.Context, s *cached.Store) error { return s.Delete(ctx, aKey) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, st := newPair(t, cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
			loads(t, s, 1)
			if c.prep != nil {
				c.prep(t, st)
			}
			require.Equal(t, c.err, c.do(t.Context(), s), "the error of the store, unchanged")
			version, _, ok := s.Copy(aKey)
			require.Equal(t, c.kept != 0, ok)
			require.Equal(t, c.kept, version)
			require.Zero(t, s.Flights())
		})
	}
}

// A conflict of a store that cannot return the record leaves no copy.
func TestConflictWithoutRecord(t *testing.T) {
	t.Parallel()
	s, st := newPair(t, cached.WithTTL(time.Hour))
	loads(t, s, 1)
	st.before = func(_ context.Context, op string, _ int) error {
		if op == "Swap" {
			return store.ErrConflict
		}
		return nil
	}
	cur, err := s.Swap(t.Context(), aKey, 7, record(8))
	require.ErrorIs(t, err, store.ErrConflict)
	require.Zero(t, cur.Version)
	_, _, ok := s.Copy(aKey)
	require.False(t, ok)
}

// overtakers are what makes an answer old that is on its way. Each leaves one version.
var overtakers = map[string]struct {
	want int64
	do   func(t *testing.T, s *cached.Store, st *stage)
}{
	"Swap": {2, func(t *testing.T, s *cached.Store, _ *stage) {
		_, err := s.Swap(t.Context(), aKey, 1, record(2))
		require.NoError(t, err)
	}},
	"Swap whose answer is lost": {2, func(t *testing.T, s *cached.Store, st *stage) {
		st.after = failing("Swap")
		_, err := s.Swap(t.Context(), aKey, 1, record(2))
		require.Equal(t, errBroken, err)
	}},
	"Delete": {0, func(t *testing.T, s *cached.Store, _ *stage) {
		require.NoError(t, s.Delete(t.Context(), aKey))
	}},
	"Delete whose answer is lost": {0, func(t *testing.T, s *cached.Store, st *stage) {
		st.after = failing("Delete")
		require.Equal(t, errBroken, s.Delete(t.Context(), aKey))
	}},
	"DeleteOwner": {0, func(t *testing.T, s *cached.Store, _ *stage) {
		_, err := s.DeleteOwner(t.Context(), "ada")
		require.NoError(t, err)
	}},
	"DeleteOwner whose answer is lost": {0, func(t *testing.T, s *cached.Store, st *stage) {
		st.after = failing("DeleteOwner")
		_, err := s.DeleteOwner(t.Context(), "ada")
		require.Equal(t, errBroken, err)
	}},
	"change heard of": {2, func(t *testing.T, s *cached.Store, st *stage) {
		st.swap(t, 1, 2)
		hear(t, s, st, store.Change{Key: aKey, Version: 2})
	}},
	"end heard of": {0, func(t *testing.T, s *cached.Store, st *stage) {
		require.NoError(t, st.Store.Delete(t.Context(), aKey))
		hear(t, s, st, store.Change{Key: aKey})
	}},
}

// hear lets s hear of a change.
func hear(t *testing.T, s *cached.Store, st *stage, c store.Change) {
	t.Helper()
	st.watch = func(_ context.Context, ready func(), changed func(store.Change)) error {
		ready()
		changed(c)
		return errBroken
	}
	require.Equal(t, errBroken, s.Watch(t.Context(), func() {}, func(store.Change) {}))
}

// An answer that is on its way while its key changes is given to its caller, and not
// kept; who asks afterwards does not wait for it.
func TestOvertakenLoad(t *testing.T) {
	t.Parallel()
	for _, question := range []string{"Load", "LoadFresh"} {
		for name, c := range overtakers {
			t.Run(name+" overtakes "+question, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, st := newPair(t, cached.WithTTL(time.Hour), cached.WithNegative(time.Hour))
					st.after = nth("Load", 1, time.Minute) // it has read version 1
					var wg sync.WaitGroup
					defer wg.Wait()
					wg.Go(func() {
						if question == "Load" {
							loads(t, s, 1)
						} else {
							fresh(t, s, 1)
						}
					})
					synctest.Wait()
					c.do(t, s, st)
					st.after = nil
					loads(t, s, c.want, "while the answer is on its way")
					wg.Wait()
					loads(t, s, c.want, "after it has come")
					require.EqualValues(t, 1, s.Stats().DroppedFills)
					require.Zero(t, s.Flights())
				})
			})
		}
	}
}

// So is what a write has left behind.
func TestOvertakenWrite(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		want int64
		do   func(t *testing.T, s *cached.Store, st *stage)
	}{
		"Swap": {9, func(t *testing.T, s *cached.Store, _ *stage) {
			_, err := s.Swap(t.Context(), aKey, 5, record(9))
			require.NoError(t, err)
		}},
		"Delete": {0, func(t *testing.T, s *cached.Store, _ *stage) {
			require.NoError(t, s.Delete(t.Context(), aKey))
		}},
		"DeleteOwner": {0, func(t *testing.T, s *cached.Store, _ *stage) {
			_, err := s.DeleteOwner(t.Context(), "ada")
			require.NoError(t, err)
		}},
		"change heard of": {9, func(t *testing.T, s *cached.Store, st *stage) {
			st.swap(t, 5, 9)
			hear(t, s, st, store.Change{Key: aKey, Version: 9})
		}},
		"change heard of before the own one": {9, func(t *testing.T, s *cached.Store, st *stage) {
			st.swap(t, 5, 9)
			hear(t, s, st, store.Change{Key: aKey, Version: 9})
			hear(t, s, st, store.Change{Key: aKey, Version: 5})
		}},
		"end heard of": {0, func(t *testing.T, s *cached.Store, st *stage) {
			require.NoError(t, st.Store.Delete(t.Context(), aKey))
			hear(t, s, st, store.Change{Key: aKey})
		}},
		"load of what came next": {9, func(t *testing.T, s *cached.Store, st *stage) {
			st.swap(t, 5, 9)
			loads(t, s, 9)
		}},
		"load of nothing": {0, func(t *testing.T, s *cached.Store, st *stage) {
			require.NoError(t, st.Store.Delete(t.Context(), aKey))
			loads(t, s, 0)
		}},
	} {
		for _, op := range []string{"Swap", "Insert"} {
			t.Run(name+" overtakes "+op, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, st := newPair(t, cached.WithTTL(time.Hour))
					st.after = nth(op, 1, time.Minute) // it is done
					var wg sync.WaitGroup
					defer wg.Wait()
					wg.Go(func() {
						var err error
						if op == "Swap" {
							_, err = s.Swap(t.Context(), aKey, 1, record(5))
						} else {
							require.NoError(t, st.Store.Delete(t.Context(), aKey))
							err = s.Insert(t.Context(), aKey, record(5))
						}
						require.NoError(t, err)
					})
					synctest.Wait()
					c.do(t, s, st)
					wg.Wait()
					loads(t, s, c.want)
					require.Zero(t, s.Flights())
				})
			})
		}
	}
}

// What comes before a write in any case does not keep it from being cached.
func TestWriteIsKept(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(t *testing.T, s *cached.Store, st *stage){
		"the record that it replaces was loaded": func(t *testing.T, s *cached.Store, st *stage) {
			st.mu.Lock()
			st.calls["Load"] = 0
			st.mu.Unlock()
			loads(t, s, 1)
		},
		"its own change is heard of": func(t *testing.T, s *cached.Store, st *stage) {
			hear(t, s, st, store.Change{Key: aKey, Version: 5})
			hear(t, s, st, store.Change{Key: aKey, Version: 5})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st := newPair(t, cached.WithTTL(time.Hour))
				st.before = nth("Swap", 1, time.Minute)
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() {
					_, err := s.Swap(t.Context(), aKey, 1, record(5))
					require.NoError(t, err)
				})
				synctest.Wait()
				do(t, s, st)
				wg.Wait()
				version, _, ok := s.Copy(aKey)
				require.True(t, ok)
				require.EqualValues(t, 5, version)
			})
		})
	}
}

// From when a deletion begins, nothing of before is kept.
func TestDeletionUnderWay(t *testing.T) {
	t.Parallel()
	for deletion, do := range map[string]func(ctx context.Context, s *cached.Store) error{
		"Delete":      func(ctx context.Context, s *cached.Store) error { return s.Delete(ctx, aKey) },
		"DeleteOwner": func(ctx context.Context, s *cached.Store) error { _, err := s.DeleteOwner(ctx, "ada"); return err },
	} {
		t.Run(deletion, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, st := newPair(t, cached.WithTTL(time.Hour))
				loads(t, s, 1)
				st.after = func(ctx context.Context, op string, n int) error {
					switch {
					case op == deletion:
						return pause(ctx, time.Minute)
					case op == "Load" && n == 2:
						return pause(ctx, time.Second)
					}
					return nil
				}
				var wg sync.WaitGroup
				defer wg.Wait()
				wg.Go(func() { fresh(t, s, 1) })
				synctest.Wait()
				wg.Go(func() { require.NoError(t, do(t.Context(), s)) })
				synctest.Wait()
				_, _, ok := s.Copy(aKey)
				require.False(t, ok)
				time.Sleep(2 * time.Second)
				loads(t, s, 0, "an answer of before came meanwhile")
			})
		})
	}
}
