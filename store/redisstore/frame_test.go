package redisstore

// Inside the package: the form of a record is not to be seen from outside.

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/store"
)

func TestFrame(t *testing.T) {
	t.Parallel()
	r := store.Record{Data: []byte("data"), Version: 0x0102030405060708, Expires: time.UnixMilli(0x112233445566), Owner: "ada"}
	f, err := newFrame(&r)
	require.NoError(t, err)
	f.hinted = 0x112233445577
	want := "\x01" + "\x01\x02\x03\x04\x05\x06\x07\x08" + "\x00\x00\x11\x22\x33\x44\x55\x66" + "\x00\x00\x11\x22\x33\x44\x55\x77" + "\x00\x03ada" + "data"
	require.Equal(t, want, string(f.encode()), "it is what older and newer programs read")
	require.Equal(t, want, string(f.appendHeader(nil))+"data", "and what the script puts together")
	got, err := parseFrame([]byte(want))
	require.NoError(t, err)
	require.Equal(t, r, got)
}

func TestTimesOfAFrame(t *testing.T) {
	t.Parallel()
	for at, want := range map[time.Time]uint64{
		{}:                        1,
		time.UnixMilli(-1):        1,
		time.UnixMilli(0):         1,
		time.Unix(1, 999_999):     1000,
		time.UnixMilli(1<<53 - 1): 1<<53 - 1,
		time.UnixMilli(1 << 53):   1<<53 - 1,
		time.UnixMilli(1<<63 - 1): 1<<53 - 1,
	} {
		require.Equal(t, want, milli(at), "%v", at)
		require.LessOrEqual(t, want, hintTime(1<<53-1, want))
		require.LessOrEqual(t, hintTime(1, want), uint64(maxMilli))
		require.Positive(t, redisExpiry(want))
	}
}

func FuzzParseFrame(f *testing.F) {
	for _, owner := range []string{"", "ada", string(bytes.Repeat([]byte{'x'}, maxOwner))} {
		r, err := newFrame(&store.Record{Data: []byte("data"), Version: 7, Expires: time.UnixMilli(1700000000000), Owner: owner})
		if err != nil {
			f.Fatal(err)
		}
		whole := r.encode()
		f.Add(whole)
		f.Add(whole[:len(whole)-5])
		f.Add(whole[:headerSize])
	}
	f.Add([]byte{})
	f.Add([]byte("\x02 something later"))
	f.Add(bytes.Repeat([]byte{1}, 40))
	f.Add(bytes.Repeat([]byte{0xff}, 600))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseFrame(b)
		if err != nil {
			for _, answer := range []error{store.ErrNotFound, store.ErrExists, store.ErrConflict, store.ErrRefused} {
				if errors.Is(err, answer) {
					t.Fatalf("garbage passes for %v", answer)
				}
			}
			return
		}
		if len(r.Owner) > maxOwner || r.Version < 0 || headerSize+len(r.Owner)+len(r.Data) != len(b) {
			t.Fatalf("what does not fit was accepted: %+v", r)
		}
		again, err := newFrame(&r)
		if err != nil {
			t.Fatal(err)
		}
		got := again.encode()
		// hinted is not part of the record, and 0 is no time that is stored.
		const hintedAt = 17
		copy(got[hintedAt:], b[hintedAt:ownerAt])
		if r.Expires.UnixMilli() > 0 && !bytes.Equal(got, b) {
			t.Fatalf("%x was read, and written as %x", b, got)
		}
	})
}
