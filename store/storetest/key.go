package storetest

import (
	"context"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/typedsession/session/store"
)

var keyLaws = []law{{
	name:  "keys are bytes",
	text:  "Two keys that differ in any bit name two records.",
	check: keysDistinct,
}}

func keysDistinct(ctx context.Context, s subject) error {
	for _, p := range keyPairs() {
		a, b := newRecord(), newRecord()
		if err := s.Insert(ctx, p.a, a); err != nil {
			return fmt.Errorf("Insert under a new key: %w", err)
		}
		if err := s.lacks(ctx, p.b); err != nil {
			return fmt.Errorf("only %v was inserted, and %v asked for, which differs in %s: %w", p.a, p.b, p.what, err)
		}
		if err := s.Insert(ctx, p.b, b); err != nil {
			return fmt.Errorf("%v was inserted, then %v, which differs in %s: Insert: %w", p.a, p.b, p.what, err)
		}
		if err := s.Delete(ctx, p.b); err != nil {
			return fmt.Errorf("Delete: %w", err)
		}
		if err := s.holds(ctx, p.a, a); err != nil {
			return fmt.Errorf("after Delete of a key that differs in %s: %w", p.what, err)
		}
	}
	return nil
}

type keyPair struct {
	what string
	a, b store.Key
}

// keyPairs returns keys that a store takes for equal when it folds their case,
// trims or cuts them, or reads them as text.
func keyPairs() []keyPair {
	letters := newKey()
	for i := range letters {
		letters[i] = 'a' + letters[i]%26
	}
	zeros := func() store.Key {
		k := newKey()
		clear(k[20:])
		return k
	}
	bytesAt := func(from store.Key, at int, x, y byte) (store.Key, store.Key) {
		a, b := from, from
		a[at], b[at] = x, y
		return a, b
	}
	var pairs []keyPair
	add := func(what string, a, b store.Key) { pairs = append(pairs, keyPair{what, a, b}) }

	for _, bit := range []int{0, 7, 8 + mathrand.IntN(240), 248, 255} {
		a := newKey()
		b := a
		b[bit/8] ^= 1 << (bit % 8)
		add(fmt.Sprintf("bit %d", bit), a, b)
	}
	a, b := bytesAt(letters, 17, 'q', 'Q')
	add("the case of a letter", a, b)
	a, b = bytesAt(zeros(), 31, 0, ' ')
	add("a space at the end instead of a zero", a, b)
	a, b = bytesAt(zeros(), 19, 1, 0)
	add("the number of zeros at the end", a, b)
	a, b = bytesAt(zeros(), 31, 0, 1)
	add("what follows a zero byte", a, b)
	a, b = bytesAt(newKey(), 9, 0xfe, 0xff)
	add("a byte that is no UTF-8", a, b)
	return pairs
}
