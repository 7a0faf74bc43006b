package schedule_test

import (
	"context"
	"errors"
	"time"

	"github.com/typedsession/session/store"
)

// Stores that are broken as real ones were.

// blind writes whatever the version: the last write wins. Version 0 is for guarded.
type blind struct {
	store.Store
	always bool
}

func (b blind) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	if b.always || old == 0 {
		cur, err := b.Load(ctx, key)
		if err != nil {
			return store.Record{}, err
		}
		old = cur.Version
	}
	return b.Store.Swap(ctx, key, old, r)
}

// guarded looks at the version first, and writes then.
type guarded struct{ store.Store }

func (g guarded) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := g.Load(ctx, key)
	if err != nil || cur.Version != old {
		return cur, errors.Join(err, conflict(err))
	}
	return g.Store.Swap(ctx, key, 0, r)
}

func conflict(err error) error {
	if err == nil {
		return store.ErrConflict
	}
	return nil
}

// creating makes the record that it should replace.
type creating struct{ store.Store }

func (c creating) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := c.Store.Swap(ctx, key, old, r)
	if errors.Is(err, store.ErrNotFound) {
		return store.Record{}, c.Insert(ctx, key, r)
	}
	return cur, err
}

// careless takes what it did not write for written.
type careless struct {
	store.Store
	of error
}

func (c careless) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := c.Store.Swap(ctx, key, old, r)
	if errors.Is(err, c.of) {
		return store.Record{}, nil
	}
	return cur, err
}

// touching writes with Touch what was loaded: the record again, where it is gone, or
// over what is there.
type touching struct {
	store.Store
	revives bool
	loaded  map[int64]store.Record
}

func newTouching(revives bool) func(store.Store) store.Store {
	return func(s store.Store) store.Store {
		return &touching{Store: s, revives: revives, loaded: map[int64]store.Record{}}
	}
}

func (t *touching) Load(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := t.Store.Load(ctx, key)
	t.loaded[r.Version] = r
	return r, err
}

func (t *touching) Touch(ctx context.Context, key store.Key, old int64, exp time.Time) error {
	r := t.loaded[old]
	r.Expires = exp
	cur, err := t.Store.Load(ctx, key)
	switch {
	case t.revives && errors.Is(err, store.ErrNotFound):
		return t.Insert(ctx, key, r)
	case !t.revives && err == nil && cur.Version != old:
		_, err = t.Swap(ctx, key, cur.Version, r)
		return err
	}
	return t.Store.Touch(ctx, key, old, exp)
}

// forgetful lengthens nothing.
type forgetful struct{ store.Store }

func (forgetful) Touch(context.Context, store.Key, int64, time.Time) error { return nil }

// swallowing says that it has deleted: always, or when the record is not what was
// loaded last.
type swallowing struct {
	store.Store
	always bool
	loaded int64
}

func (s *swallowing) Load(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := s.Store.Load(ctx, key)
	s.loaded = r.Version
	return r, err
}

func (s *swallowing) Delete(ctx context.Context, key store.Key) error {
	if r, err := s.Store.Load(ctx, key); s.always || err == nil && r.Version != s.loaded {
		return nil
	}
	return s.Store.Delete(ctx, key)
}

// torn replaces by Delete and Insert.
type torn struct{ store.Store }

func (t torn) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	cur, err := t.Load(ctx, key)
	if err != nil || cur.Version != old {
		return cur, errors.Join(err, conflict(err))
	}
	if err := t.Delete(ctx, key); err != nil {
		return store.Record{}, err
	}
	return store.Record{}, t.Insert(ctx, key, r)
}

// late answers a Load with what it had before the record was changed the last time.
type late struct {
	store.Store
	before store.Record
}

func (l *late) Swap(ctx context.Context, key store.Key, old int64, r store.Record) (store.Record, error) {
	before, _ := l.Store.Load(ctx, key)
	cur, err := l.Store.Swap(ctx, key, old, r)
	if err == nil {
		l.before = before
	}
	return cur, err
}

func (l *late) Load(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := l.Store.Load(ctx, key)
	if err == nil && l.before.Version != 0 {
		r, l.before = l.before, store.Record{}
	}
	return r, err
}
