package storetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/typedsession/session/store"
)

const (
	// defaultPatience is how long an expiry or an answer may be overdue.
	defaultPatience = 5 * time.Second
	// shortLife is how long a record lives that is only to be an expired one.
	shortLife = 50 * time.Millisecond
	// pollEvery is the pause between two looks at something that is to happen.
	pollEvery = 4 * time.Millisecond
)

// subject is a store together with the questions that laws ask of one.
type subject struct {
	store.Store
	patience time.Duration
}

// read is Load, past the cache if there is one: a cache may answer Load with
// what was replaced or deleted. What Load itself promises has laws of its own.
func (s subject) read(ctx context.Context, key store.Key) (store.Record, error) {
	if f, ok := s.Store.(store.FreshLoader); ok {
		return f.LoadFresh(ctx, key)
	}
	return s.Load(ctx, key)
}

// put inserts r under a new key.
func (s subject) put(ctx context.Context, r store.Record) (store.Key, error) {
	key := newKey()
	if err := s.Insert(ctx, key, r); err != nil {
		return key, fmt.Errorf("Insert under a new key: %w", err)
	}
	return key, nil
}

// holds checks that want, and nothing else, is stored.
func (s subject) holds(ctx context.Context, key store.Key, want store.Record) error {
	got, err := s.read(ctx, key)
	if err != nil {
		return fmt.Errorf("Load returned the error %w, want the record", err)
	}
	if err := same(got, want); err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	return nil
}

// lacks checks that there is no live record.
func (s subject) lacks(ctx context.Context, key store.Key) error {
	got, err := s.read(ctx, key)
	if err == nil {
		return fmt.Errorf("Load returned a record (version %d, expires %s), want ErrNotFound", got.Version, clock(got.Expires))
	}
	return expect("Load", err, store.ErrNotFound)
}

// dead checks that there is no live record and that nothing brings one back.
// The last version that was stored is r's.
func (s subject) dead(ctx context.Context, key store.Key, r store.Record) error {
	if err := s.lacks(ctx, key); err != nil {
		return err
	}
	if err := s.Touch(ctx, key, r.Version, soon(time.Hour)); err != nil {
		return fmt.Errorf("Touch returned %w, want nil", err)
	}
	if err := s.lacks(ctx, key); err != nil {
		return fmt.Errorf("after a Touch: %w", err)
	}
	_, err := s.Swap(ctx, key, r.Version, newRecord())
	if err := expect("Swap", err, store.ErrNotFound); err != nil {
		return err
	}
	again := newRecord()
	again.Version = r.Version
	_, err = s.Swap(ctx, key, newVersion(), again)
	if err := expect("Swap to the version that was stored last", err, store.ErrNotFound); err != nil {
		return err
	}
	if err := s.lacks(ctx, key); err != nil {
		return fmt.Errorf("after a Swap: %w", err)
	}
	return nil
}

// expired inserts r with a short life and returns when it is over. The record
// may still take up room then.
func (s subject) expired(ctx context.Context, r store.Record) (store.Key, error) {
	r.Expires = soon(shortLife)
	key, err := s.put(ctx, r)
	if err != nil {
		return key, err
	}
	return key, s.awaitEnd(ctx, key, r.Expires)
}

// awaitEnd waits until the record that expires at exp is gone.
func (s subject) awaitEnd(ctx context.Context, key store.Key, exp time.Time) error {
	for {
		err := s.lacks(ctx, key)
		if err == nil {
			return nil
		}
		if over := time.Since(exp); over > s.patience {
			return fmt.Errorf("%v after its Expires: %w", over.Round(time.Millisecond), err)
		}
		if err := pause(ctx); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("the law took too long: %w", ctx.Err())
	case <-time.After(pollEvery):
		return nil
	}
}

// errTooSlow says that a law could not be judged because the record ended
// before the law had done what it had to.
var errTooSlow = errors.New("the record ended too early to judge")

// lives are the lives that a law tries one after the other when it has to do
// something with a record before that ends: on a slow machine, or with a store
// whose clock is ahead, a short one is over too soon.
func (s subject) lives() []time.Duration {
	return []time.Duration{s.patience / 25, s.patience / 5, s.patience * 4 / 5}
}

// withLife calls check with longer and longer lives until it can judge.
func (s subject) withLife(check func(life time.Duration) error) error {
	var err error
	for _, life := range s.lives() {
		if err = check(life); !errors.Is(err, errTooSlow) {
			return err
		}
	}
	return err
}

// expect checks the error of a call. A nil want asks for success.
func expect(call string, got, want error) error {
	if want == nil && got == nil || want != nil && errors.Is(got, want) {
		return nil
	}
	return fmt.Errorf("%s returned the error %q, want %q", call, fmt.Sprint(got), fmt.Sprint(want))
}
