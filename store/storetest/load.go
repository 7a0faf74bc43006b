package storetest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/typedsession/session/store"
)

var loadLaws = []law{
	{
		name:  "load of nothing",
		text:  "Load returns ErrNotFound for a key under which nothing was ever stored.",
		check: loadAbsent,
	},
	{
		name:  "data byte for byte",
		text:  "Data is opaque and comes back byte for byte, whatever is in it and however long it is.",
		check: loadData,
	},
	{
		name:  "versions are kept",
		text:  "A record comes back with the Version it was given: any positive 63-bit number, up to the largest.",
		check: loadVersion,
	},
	{
		name:  "expiry is kept",
		text:  "A record comes back with the Expires it was given, to the millisecond at least.",
		check: loadExpires,
	},
	{
		name:  "owners are kept",
		text:  "A record comes back with the Owner it was given: none, or any valid UTF-8 without NUL of at most 512 bytes.",
		check: loadOwner,
	},
	{
		name:  "data given is not written to",
		text:  "Data is immutable from the moment it is passed: the store does not write to the slice it was given.",
		check: dataGivenUnchanged,
	},
	{
		name:  "data taken is not written to",
		text:  "Data is immutable from the moment it is passed: what Load has returned does not change when the record is replaced or deleted.",
		check: dataTakenUnchanged,
	},
}

func loadAbsent(ctx context.Context, s subject) error {
	_, err := s.Load(ctx, newKey())
	return expect("Load", err, store.ErrNotFound)
}

// roundTrip inserts one record and reaches another by a swap, and wants both back.
func roundTrip(ctx context.Context, s subject, r store.Record) error {
	key, err := s.put(ctx, r)
	if err != nil {
		return err
	}
	got, err := s.Load(ctx, key) // even a cache has nothing else to return
	if err != nil {
		return fmt.Errorf("Load after Insert: %w", err)
	}
	if err := same(got, r); err != nil {
		return fmt.Errorf("Load after Insert: %w", err)
	}
	first := newRecord()
	if key, err = s.put(ctx, first); err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, first.Version, r); err != nil {
		return fmt.Errorf("Swap: %w", err)
	}
	if err := s.holds(ctx, key, r); err != nil {
		return fmt.Errorf("after Swap: %w", err)
	}
	return nil
}

func loadData(ctx context.Context, s subject) error {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	big := make([]byte, 1<<20)
	for i := range big {
		big[i] = byte(i * i >> 8)
	}
	for _, c := range []struct {
		what string
		data []byte
	}{
		{"nil", nil},
		{"empty", []byte{}},
		{"one NUL", []byte{0}},
		{"NULs at both ends", []byte("\x00a\x00b\x00\x00")},
		{"0xff", bytes.Repeat([]byte{0xff}, 9)},
		{"every byte", all[:]},
		{"invalid UTF-8", []byte("a\xc3\x28\xa0\xa1\xed\xa0\x80")},
		{"white space at both ends", []byte(" \t\r\nx\r\n\t ")},
		{"quotes", []byte(`'";\"%_$1?:x` + "`")},
		{"JSON", []byte(`{"a": [1.0, 1e2,  "\u00e9"]}`)},
		{"hexadecimal", []byte(`\x00ff`)},
		{"one MiB", big},
	} {
		r := newRecord()
		r.Data = c.data
		if err := roundTrip(ctx, s, r); err != nil {
			return fmt.Errorf("data with %s: %w", c.what, err)
		}
	}
	return nil
}

func loadVersion(ctx context.Context, s subject) error {
	for _, v := range []int64{1, 255, 1<<31 + 1, 1<<32 + 1, 1<<53 + 1, 1<<62 + 1, math.MaxInt64 - 1, math.MaxInt64} {
		r := newRecord()
		r.Version = v
		if err := roundTrip(ctx, s, r); err != nil {
			return fmt.Errorf("version %d: %w", v, err)
		}
	}
	return nil
}

func loadExpires(ctx context.Context, s subject) error {
	hour := time.Now().Truncate(time.Second).Add(time.Hour)
	for _, exp := range []time.Time{
		hour,
		hour.Add(1 * time.Millisecond),
		hour.Add(499 * time.Millisecond),
		hour.Add(501 * time.Millisecond),
		hour.Add(999 * time.Millisecond),
		hour.In(time.FixedZone("elsewhere", -(3*3600 + 1800))).Add(7 * time.Millisecond),
		hour.AddDate(50, 0, 0).Add(123 * time.Millisecond),
	} {
		r := newRecord()
		r.Expires = exp
		if err := roundTrip(ctx, s, r); err != nil {
			return err
		}
	}
	return nil
}

func loadOwner(ctx context.Context, s subject) error {
	for _, owner := range []string{
		"",
		"u",
		"User@Example.org",
		"trailing space ",
		" leading space",
		"line\r\nbreak\ttab",
		`'";\"%_*?[a-z]{tag}:$1`,
		"\x01\x1f\x7f",
		"\u00e9 and e\u0301",
		"\ufeff\ufffd\uffff",
		"İıſß漢字🦊",
		strings.Repeat("x", 512),
		strings.Repeat("🦊", 128),
	} {
		r := newRecord()
		r.Owner = owner
		if err := roundTrip(ctx, s, r); err != nil {
			return fmt.Errorf("owner %q: %w", owner, err)
		}
	}
	return nil
}

func dataGivenUnchanged(ctx context.Context, s subject) error {
	first, second, third := newRecord(), newRecord(), newRecord()
	given := [][]byte{first.Data, second.Data, third.Data}
	var before [][]byte
	for _, data := range given {
		before = append(before, bytes.Clone(data))
	}
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	if _, err := s.Swap(ctx, key, first.Version, second); err != nil {
		return fmt.Errorf("Swap: %w", err)
	}
	if _, err := s.Swap(ctx, key, first.Version, third); err == nil {
		return fmt.Errorf("a Swap with a stale version succeeded")
	}
	if err := s.Delete(ctx, key); err != nil {
		return fmt.Errorf("Delete: %w", err)
	}
	for i, data := range given {
		if !bytes.Equal(data, before[i]) {
			return fmt.Errorf("the slice given to %s was %s and is now %s",
				[]string{"Insert", "Swap", "a refused Swap"}[i], brief(before[i]), brief(data))
		}
	}
	return nil
}

func dataTakenUnchanged(ctx context.Context, s subject) error {
	first, second := newRecord(), newRecord()
	second.Data = bytes.Repeat([]byte{'x'}, len(first.Data)) // it would fit over the first
	want := bytes.Clone(first.Data)
	key, err := s.put(ctx, first)
	if err != nil {
		return err
	}
	taken, err := s.read(ctx, key)
	if err != nil {
		return fmt.Errorf("Load: %w", err)
	}
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"Swap", func() error { _, err := s.Swap(ctx, key, first.Version, second); return err }},
		{"another Load", func() error { _, err := s.read(ctx, key); return err }},
		{"Delete", func() error { return s.Delete(ctx, key) }},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
		if !bytes.Equal(taken.Data, want) {
			return fmt.Errorf("data loaded before a %s was %s and is now %s", step.what, brief(want), brief(taken.Data))
		}
	}
	return nil
}
