package storetest

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"time"

	"github.com/typedsession/session/store"
)

func newKey() store.Key {
	var k store.Key
	rand.Read(k[:]) // never fails
	return k
}

func newOwner() string {
	k := newKey()
	return "storetest-" + hex.EncodeToString(k[:8])
}

func newVersion() int64 { return 1 + mathrand.Int64N(math.MaxInt64) }

// newRecord returns a record that is live for longer than any law takes.
func newRecord() store.Record { return recordOf(newVersion()) }

// recordOf returns a record all of which follows from its version, so that one
// put together from two can be told.
func recordOf(version int64) store.Record {
	rng := mathrand.New(mathrand.NewPCG(uint64(version), 0))
	data := make([]byte, 64+rng.IntN(64))
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	return store.Record{
		Data:    data,
		Version: version,
		Expires: testEpoch.Add(time.Duration(rng.IntN(600_000)) * time.Millisecond),
		Owner:   fmt.Sprintf("storetest-%x", version),
	}
}

var testEpoch = time.Now().Add(time.Hour).Truncate(time.Millisecond)

// soon returns the time d from now, in whole milliseconds.
func soon(d time.Duration) time.Time {
	return time.Now().Add(d).Truncate(time.Millisecond)
}

// same compares what a store has returned with what it was given, and says what
// differs.
func same(got, want store.Record) error {
	switch {
	case !bytes.Equal(got.Data, want.Data):
		return fmt.Errorf("Data is %s, want %s", brief(got.Data), brief(want.Data))
	case got.Version != want.Version:
		return fmt.Errorf("Version is %d, want %d", got.Version, want.Version)
	case got.Expires.UnixMilli() != want.Expires.UnixMilli():
		return fmt.Errorf("Expires is %s, want %s", clock(got.Expires), clock(want.Expires))
	case got.Owner != want.Owner:
		return fmt.Errorf("Owner is %q, want %q", got.Owner, want.Owner)
	}
	return nil
}

func isZero(r store.Record) bool {
	return len(r.Data) == 0 && r.Version == 0 && r.Expires.IsZero() && r.Owner == ""
}

func brief(data []byte) string {
	const most = 24
	if len(data) > most {
		return fmt.Sprintf("%d bytes, %x...", len(data), data[:most])
	}
	return fmt.Sprintf("%d bytes, %x", len(data), data)
}

func clock(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
