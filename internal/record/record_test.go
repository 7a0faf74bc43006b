package record_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session/internal/record"
)

// emptyToNil makes metas comparable: an empty slice of a frame is no nil slice.
func emptyToNil(m record.Meta) record.Meta {
	for _, b := range []*[]byte{&m.Owner, &m.Recent, &m.Prev.Owner} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	m.Prev.Values = record.Values{}
	return m
}

func requireFrame(t *testing.T, f *frame, v record.View) {
	t.Helper()
	require.Equal(t, emptyToNil(f.meta()), emptyToNil(v.Meta))
	require.Equal(t, f.values, valuesOf(v.Values))
	require.Equal(t, f.prevValues, valuesOf(v.Prev.Values))
	require.Equal(t, len(f.values), v.Values.Len())
	size := len(section(f.values)) - len(binary.AppendUvarint(nil, uint64(len(f.values))))
	require.Equal(t, record.Size{Keys: len(f.values), Bytes: size}, v.Values.Size())
	for _, want := range f.values {
		got, ok := v.Values.Find(want.name)
		require.True(t, ok, "%q", want.name)
		require.Equal(t, want, value{string(got.Name), string(got.Raw), got.Version, uint64(got.Expires)})
	}
	for _, name := range []string{"", "k", "k00", "k15", "k29", "k291", "\xff", "zzz"} {
		_, ok := v.Values.Find(name)
		there := slices.ContainsFunc(f.values, func(v value) bool { return v.name == name })
		require.Equal(t, there, ok, "%q", name)
	}
}

func TestParseReadsEveryFrame(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	frames := []*frame{plainFrame(), realFrame()}
	for range 3000 {
		frames = append(frames, randomFrame(r))
	}
	for _, f := range frames {
		data := f.encode()
		v, err := record.Parse(data)
		require.NoError(t, err, "%+v", f)
		requireFrame(t, f, v)
		require.Equal(t, data, record.Encode(&v.Meta, 0, v.Values, &record.Edits{}), "%+v", f)
	}
}

func TestParseDoesNotCopy(t *testing.T) {
	t.Parallel()
	data := realFrame().encode()
	v, err := record.Parse(data)
	require.NoError(t, err)
	got, ok := v.Values.Find("counter")
	require.True(t, ok)
	require.Equal(t, len(got.Raw), cap(got.Raw), "an append must not reach the frame")
	require.Equal(t, len(got.Name), cap(got.Name))
	require.Equal(t, len(v.Owner), cap(v.Owner))
	at := bytes.LastIndex(data, []byte("counter\x00\x017"))
	data[at+len("counter")+2] = '8'
	require.Equal(t, "8", string(got.Raw))
}

func TestAllStopsEarly(t *testing.T) {
	t.Parallel()
	v, err := record.Parse(realFrame().encode())
	require.NoError(t, err)
	seen := 0
	for range v.Values.All() {
		if seen++; seen == 2 {
			break
		}
	}
	require.Equal(t, 2, seen)
}

func TestZeroValues(t *testing.T) {
	t.Parallel()
	var none record.Values
	require.Zero(t, none.Len())
	require.Zero(t, none.Size())
	require.Empty(t, valuesOf(none))
	_, ok := none.Find("")
	require.False(t, ok)
	v, err := record.Parse(record.Encode(&record.Meta{}, 0, none, &record.Edits{}))
	require.NoError(t, err)
	require.Zero(t, v.Values.Len())
}

func TestRecentVersions(t *testing.T) {
	t.Parallel()
	m := record.Meta{}
	for n := int64(1); n <= 3*record.MaxRecent; n++ {
		v, err := record.Parse(record.Encode(&m, 1000+n, record.Values{}, &record.Edits{}))
		require.NoError(t, err)
		m = v.Meta
		kept := min(n, record.MaxRecent)
		require.Len(t, m.Recent, int(8*kept))
		for i := range kept {
			require.Equal(t, int(i), m.IsRecent(1000+n-i))
			require.Equal(t, 1000+n-i, m.RecentAt(int(i)))
		}
		require.Equal(t, -1, m.IsRecent(1000+n-kept))
		require.Equal(t, -1, m.IsRecent(0))
	}
	was := slices.Clone(m.Recent)
	v, err := record.Parse(record.Encode(&m, 0, record.Values{}, &record.Edits{}))
	require.NoError(t, err)
	require.Equal(t, was, v.Recent, "no previous version, nothing new")
}

func TestSpecialVersions(t *testing.T) {
	t.Parallel()
	v, err := record.Parse(record.Encode(&record.Meta{}, 1<<63-1, record.Values{}, &record.Edits{}))
	require.NoError(t, err)
	require.Equal(t, 0, v.IsRecent(1<<63-1))
	require.Equal(t, int64(1<<63-1), v.RecentAt(0))
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	change := func(f func(f *frame)) []byte {
		fr := realFrame()
		f(fr)
		return fr.encode()
	}
	head := plainFrame().encode()
	head = head[:len(head)-1] // without the count of values
	huge := binary.AppendUvarint(nil, 1<<63)
	cases := map[string][]byte{
		"nothing":             nil,
		"format 0":            change(func(f *frame) { f.format = 0 }),
		"format 2":            change(func(f *frame) { f.format = 2 }),
		"format 255":          change(func(f *frame) { f.format = 255 }),
		"mode 3":              append([]byte{1, 3}, plainFrame().encode()[2:]...),
		"17 recent versions":  change(func(f *frame) { f.recent = make([]uint64, record.MaxRecent+1) }),
		"a time before 1970":  change(func(f *frame) { f.times[4] = 1 << 63 }),
		"grace before 1970":   change(func(f *frame) { f.prevUntil = 1 << 63 }),
		"a byte too many":     append(realFrame().encode(), 0),
		"a value too many":    append(slices.Clone(head), "\x01\x01a\x00\x01A\x01b\x00\x01B"...),
		"a value too few":     append(slices.Clone(head), "\x02\x01a\x00\x01A"...),
		"one name twice":      plainFrame(value{name: "a"}, value{name: "a"}).encode(),
		"descending names":    plainFrame(value{name: "b"}, value{name: "a"}).encode(),
		"a longer name first": plainFrame(value{name: "aa"}, value{name: "a"}).encode(),
		"two empty names":     plainFrame(value{}, value{}).encode(),
		"padded count":        append(slices.Clone(head), "\x81\x00\x01a\x00\x01A"...),
		"padded name length":  append(slices.Clone(head), "\x01\x81\x00a\x00\x01A"...),
		"padded value length": append(slices.Clone(head), "\x01\x01a\x00\x81\x00A"...),
		"unknown flag 4":      append(slices.Clone(head), "\x01\x01a\x04\x01A"...),
		"unknown flag 128":    append(slices.Clone(head), "\x01\x01a\x80\x01A"...),
		"version 0":           append(slices.Clone(head), "\x01\x01a\x01\x00\x01A"...),
		"expiry 0":            append(slices.Clone(head), "\x01\x01a\x02\x00\x01A"...),
		"expiry before 1970": slices.Concat(head, []byte("\x01\x01a\x02"),
			binary.AppendUvarint(nil, 1<<63), []byte("\x01A")),
		"a huge count":        slices.Concat(head, huge),
		"a huge name":         slices.Concat(head, []byte("\x01"), huge),
		"a huge value":        slices.Concat(head, []byte("\x01\x01a\x00"), huge, []byte("A")),
		"an endless number":   append(slices.Clone(head), strings.Repeat("\xff", 20)...),
		"a number of 65 bits": append(slices.Clone(head), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"...),
		"a snapshot whose count is wrong": func() []byte {
			data := realFrame().encode()
			i := bytes.Index(data, []byte("user-41")) + len("user-41") + 1
			data[i]++
			return data
		}(),
	}
	for name, data := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := record.Parse(data)
			require.ErrorIs(t, err, record.ErrCorrupt)
			require.Equal(t, record.View{}, v)
		})
	}
}

func TestFormatErrorNamesBoth(t *testing.T) {
	t.Parallel()
	_, err := record.Parse([]byte{7})
	require.ErrorContains(t, err, "format 7 instead of 1")
}

func TestTruncatedFrames(t *testing.T) {
	t.Parallel()
	for _, f := range []*frame{plainFrame(), plainFrame(value{name: "a", raw: "1"}), realFrame()} {
		data := f.encode()
		for n := range data {
			_, err := record.Parse(data[:n:n])
			require.ErrorIs(t, err, record.ErrCorrupt, "the first %d of %d bytes", n, len(data))
		}
	}
}

// TestFlippedBits: a flip may give another frame that is valid, and then it has
// one spelling too; most are noticed.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	data := realFrame().encode()
	refused := 0
	for i := range 8 * len(data) {
		flipped := slices.Clone(data)
		flipped[i/8] ^= 1 << (i % 8)
		v, err := record.Parse(flipped)
		if err != nil {
			require.ErrorIs(t, err, record.ErrCorrupt)
			refused++
			continue
		}
		require.Equal(t, flipped, record.Encode(&v.Meta, 0, v.Values, &record.Edits{}), "bit %d", i)
	}
	require.Greater(t, refused, len(data), "lengths, flags, order and format are checked")
}

// TestBounded: what a frame claims costs nothing before it is checked, and
// Encode knows the size beforehand.
func TestBounded(t *testing.T) { // not parallel: it counts allocations
	head := plainFrame().encode()
	head = head[:len(head)-1]
	for i, claim := range []uint64{1 << 20, 1 << 40, 1<<64 - 1} {
		bomb := binary.AppendUvarint(slices.Clone(head), claim)
		bomb = append(bomb, "\x01a\x00\x01A"...)
		require.Zero(t, testing.AllocsPerRun(10, func() {
			if _, err := record.Parse(bomb); err == nil {
				panic("accepted")
			}
		}), "claim %d", i)
	}
	data := realFrame().encode()
	require.Zero(t, testing.AllocsPerRun(10, func() {
		v, _ := record.Parse(data)
		if _, ok := v.Values.Find("counter"); !ok {
			panic("not found")
		}
	}))
	v, err := record.Parse(data)
	require.NoError(t, err)
	edits := record.Edits{Set: []record.Edit{{Name: "counter", Raw: []byte("8")}, {Name: "new", Raw: []byte(repeated('x', 5000))}}}
	require.InDelta(t, 1, testing.AllocsPerRun(10, func() {
		if len(record.Encode(&v.Meta, 5, v.Values, &edits)) == 0 {
			panic("empty")
		}
	}), 0.1)
}

func TestManyValues(t *testing.T) {
	t.Parallel()
	var values []value
	for i := range 1000 {
		values = append(values, value{name: fmt.Sprintf("%05d", i), raw: fmt.Sprint(i)})
	}
	v, err := record.Parse(plainFrame(values...).encode())
	require.NoError(t, err)
	require.Equal(t, values, valuesOf(v.Values))
}
