package record_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/typedsession/session/internal/record"
)

// FuzzRecord parses anything. What is accepted has exactly one spelling, and all
// ways to look at it agree.
func FuzzRecord(f *testing.F) {
	real := realFrame().encode()
	f.Add(real)
	f.Add(real[:len(real)/2])
	f.Add([]byte{})
	f.Add(plainFrame().encode())
	f.Add(plainFrame(value{name: "a", raw: "1"}, value{name: "b", raw: `"x"`, version: 1, expires: 2}).encode())
	early := plainFrame() // before 1970
	early.times[4] = 1 << 63
	f.Add(early.encode())
	early.mode, early.times[4], early.prevUntil = 1, 0, 1<<63
	f.Add(early.encode())
	frozen := plainFrame(value{name: "a", raw: "1"})
	frozen.mode, frozen.prevValues = 2, []value{{name: "a", raw: "0"}}
	f.Add(frozen.encode())
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		f.Add(randomFrame(r).encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := record.Parse(data)
		if err != nil {
			if !errors.Is(err, record.ErrCorrupt) {
				t.Fatalf("an error that is not ErrCorrupt: %v", err)
			}
			return
		}
		if again := record.Encode(&v.Meta, 0, v.Values, &record.Edits{}); !bytes.Equal(data, again) {
			t.Fatalf("two spellings:\n%q\n%q", data, again)
		}
		if again, err := record.Reparse(data); err != nil || !reflect.DeepEqual(again, v) {
			t.Fatalf("parsed again: %+v, %v", again, err)
		}
		if again := frameOf(&v).encode(); !bytes.Equal(data, again) {
			t.Fatalf("misread, or two spellings:\n%q\n%q", data, again)
		}
		for _, ms := range []int64{v.Idle, v.At, v.Created, v.LoggedIn, v.Deadline, v.Rotated, v.Prev.Until, v.Prev.LoggedIn} {
			if ms < 0 {
				t.Fatalf("a time before 1970: %d", ms)
			}
		}
		if v.Prev.Mode > record.ModeFrozen {
			t.Fatalf("a mode that does not exist: %d", v.Prev.Mode)
		}
		for i := range len(v.Recent) / 8 {
			if at := v.IsRecent(v.RecentAt(i)); at < 0 || at > i {
				t.Fatalf("recent version %d is found at %d", i, at)
			}
		}
		checkValues(t, v.Values)
		checkValues(t, v.Prev.Values)
		checkEdits(t, &v)
	})
}

func checkValues(t *testing.T, s record.Values) {
	n, size, last := 0, 0, ""
	for _, v := range valuesOf(s) {
		if n > 0 && v.name <= last {
			t.Fatalf("%q comes after %q", v.name, last)
		}
		got, ok := s.Find(v.name)
		if !ok || string(got.Raw) != v.raw || got.Version != v.version || uint64(got.Expires) != v.expires {
			t.Fatalf("Find(%q) does not agree with All", v.name)
		}
		if _, ok := s.Find(v.name + "\x00"); ok {
			// A name may well follow itself with a zero; All has to say so too.
			if _, ok := namesOf(s)[v.name+"\x00"]; !ok {
				t.Fatalf("Find finds what All does not yield: %q", v.name+"\x00")
			}
		}
		size += len(v.append(nil))
		last = v.name
		n++
	}
	if want := (record.Size{Keys: n, Bytes: size}); s.Len() != n || s.Size() != want {
		t.Fatalf("Len %d and Size %+v, but All yields %+v", s.Len(), s.Size(), want)
	}
}

func namesOf(s record.Values) map[string]struct{} {
	names := map[string]struct{}{}
	for v := range s.All() {
		names[string(v.Name)] = struct{}{}
	}
	return names
}

// checkEdits deletes the first value and adds one behind the last.
func checkEdits(t *testing.T, v *record.View) {
	var e record.Edits
	last := ""
	for val := range v.Values.All() {
		if last = string(val.Name); len(e.Set) == 0 {
			e.Set = append(e.Set, del(last))
		}
	}
	e.Set = append(e.Set, set(last+"\x01", "new"))
	before := valuesOf(v.Values)
	size := e.Size(v.Values)
	after, err := record.Parse(record.Encode(&v.Meta, 1, v.Values, &e))
	if err != nil {
		t.Fatalf("what Encode wrote is refused: %v", err)
	}
	if after.Values.Size() != size {
		t.Fatalf("Size announced %+v, it is %+v", size, after.Values.Size())
	}
	left := valuesOf(after.Values)
	if len(before) > 0 {
		before = before[1:]
	}
	if len(left) != len(before)+1 || left[len(left)-1].raw != "new" {
		t.Fatalf("edited to %+v", left)
	}
	for i := range before {
		if left[i] != before[i] {
			t.Fatalf("value %d was not touched and changed from %+v to %+v", i, before[i], left[i])
		}
	}
	if v.Seq != after.Seq || v.Secret != after.Secret || after.IsRecent(1) != 0 {
		t.Fatal("the frame around the values changed")
	}
}
