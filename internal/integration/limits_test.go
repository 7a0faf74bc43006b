package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// limitNote is the longest note that fits into a session: its name, its quotes,
// and six bytes around them count too.
const limitNote = session.DefaultMaxBytes - len("note") - len(`""`) - 5

// limitCase is a request at a limit. Its outcome does not depend on the store.
type limitCase struct {
	name   string
	before page // the session's only write until then; nil: writeNote("old")
	try    page
	want   string // of limitOutcome
	then   page   // on the other node
	reads  string
}

// limitOutcome tells errors apart by what they say to a program.
func limitOutcome(err error) string {
	if limit, ok := errors.AsType[*session.LimitError](err); ok {
		return fmt.Sprintf("%q: %d of %d %s", limit.Key, limit.Got, limit.Max, limit.Limit)
	}
	if value, ok := errors.AsType[*session.ValueError](err); ok {
		return fmt.Sprintf("%q: no value", value.Key)
	}
	if err != nil {
		return err.Error()
	}
	return "stored"
}

// outcome turns the error of a page into its text.
func outcome(p page) page {
	return func(ctx context.Context) (string, error) {
		_, err := p(ctx)
		return limitOutcome(err), nil
	}
}

func letters(n int) string { return strings.Repeat("x", n) }

func writeLetters(n int) page {
	return func(ctx context.Context) (string, error) { return "", note.Set(ctx, letters(n)) }
}

// readLetters is the note where it is short, otherwise how long it is.
func readLetters(ctx context.Context) (string, error) {
	text, err := note.Get(ctx)
	if text != "" && text == letters(len(text)) {
		text = strconv.Itoa(len(text))
	}
	return text, err
}

// writeKeys sets keys with the numbers from first to last.
func writeKeys(first, last int) page {
	return func(ctx context.Context) (string, error) {
		for n := first; n <= last; n++ {
			if err := session.Key[int]("number "+strconv.Itoa(n)).Set(ctx, n); err != nil {
				return "", err
			}
		}
		return "", nil
	}
}

// readKeys counts the keys with the right numbers.
func readKeys(ctx context.Context) (string, error) {
	names, err := session.FromContext(ctx).Keys(ctx)
	right := 0
	for _, name := range names {
		var n int
		if n, err = session.Key[int](name).Get(ctx); err != nil {
			return "", err
		}
		if name == "number "+strconv.Itoa(n) {
			right++
		}
	}
	return fmt.Sprintf("%d of %d", right, len(names)), err
}

var limitDeep = session.Key[any]("deep")

// nested returns a value of so many levels.
func nested(levels int) (v any) {
	v = "[[[[{{{{" // no levels
	for n := range levels {
		if n%2 == 0 {
			v = []any{v}
		} else {
			v = map[string]any{"k": v}
		}
	}
	return v
}

func writeNested(levels int) page {
	return func(ctx context.Context) (string, error) { return "", limitDeep.Set(ctx, nested(levels)) }
}

func readNested(ctx context.Context) (string, error) {
	v, err := limitDeep.Get(ctx)
	levels := 0
	for ; ; levels++ {
		if list, ok := v.([]any); ok {
			v = list[0]
		} else if m, ok := v.(map[string]any); ok {
			v = m["k"]
		} else {
			return strconv.Itoa(levels), err
		}
	}
}

func writeTimes(n int) page {
	return func(ctx context.Context) (string, error) {
		for i := range n {
			if err := session.Key[int]("number "+strconv.Itoa(i%2)).Set(ctx, i); err != nil {
				return "", err
			}
		}
		return "", nil
	}
}

func keyOf(name string) page {
	return func(ctx context.Context) (string, error) { return "", session.Key[string](name).Set(ctx, "new") }
}

var limitCases = []limitCase{
	{name: "a value that just fits", try: writeLetters(limitNote), want: "stored", then: readLetters, reads: "1048565"},
	{
		name: "a byte more", try: writeLetters(limitNote + 1),
		want: `"note": 1048577 of 1048576 bytes in a session`, then: readLetters, reads: "old",
	},
	{
		name: "a value of 1 MiB", try: writeLetters(1 << 20),
		want: `"note": 1048587 of 1048576 bytes in a session`, then: readLetters, reads: "old",
	},
	{
		name: "a value of 3 MiB", try: writeLetters(3 << 20),
		want: `"note": 3145740 of 1048576 bytes in a session`, then: readLetters, reads: "old",
	},
	{
		name: "another key in a full session", before: writeLetters(limitNote), try: countUp,
		want: `"counter": 1048587 of 1048576 bytes in a session`, then: readLetters, reads: "1048565",
	},
	{name: "a full session with less", before: writeLetters(limitNote), try: writeLetters(5), want: "stored", then: readLetters, reads: "5"},
	{name: "a full session logs in", before: writeLetters(limitNote), try: logIn("ada"), want: "stored", then: both(readOwner, readLetters), reads: "ada1048565"},
	{name: "1,000 keys", before: untouched, try: writeKeys(1, 1000), want: "stored", then: readKeys, reads: "1000 of 1000"},
	{
		name: "1,001 keys", before: writeKeys(1, 1000), try: writeKeys(1001, 1001),
		want: `"number 1001": 1001 of 1000 keys in a session`, then: readKeys, reads: "1000 of 1000",
	},
	{
		name: "another key for one of 1,000", before: writeKeys(1, 1000),
		try:  both(func(ctx context.Context) (string, error) { return "", session.Key[int]("number 7").Delete(ctx) }, writeKeys(1001, 1001)),
		want: "stored", then: readKeys, reads: "1000 of 1000",
	},
	{name: "10,000 changes", before: untouched, try: writeTimes(10_000), want: "stored", then: readKeys, reads: "0 of 2"},
	{
		name: "10,001 changes", try: writeTimes(10_001),
		want: `"": 10001 of 10000 changes in a request`, then: readLetters, reads: "old",
	},
	{name: "32 levels", try: writeNested(32), want: "stored", then: readNested, reads: "32"},
	{name: "33 levels", before: writeNested(3), try: writeNested(33), want: `"deep": 33 of 32 levels of nesting in a value`, then: readNested, reads: "3"},

	{name: "a key without a name", try: keyOf(""), want: `"": no value`, then: readNote, reads: "old"},
	{name: "a key that is no UTF-8", try: keyOf("a\xff"), want: `"a\xff": no value`, then: readNote, reads: "old"},
	{name: "a key with half a character", try: keyOf("\xf0\x9f\xa6"), want: `"\xf0\x9f\xa6": no value`, then: readNote, reads: "old"},
	{name: "a key with a surrogate", try: keyOf("\xed\xa0\x80"), want: `"\xed\xa0\x80": no value`, then: readNote, reads: "old"},
	{
		name: "a key of 1,025 bytes", try: keyOf(letters(1025)),
		want: `"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": 1025 of 1024 bytes in a key name`, then: readNote, reads: "old",
	},

	{name: "an owner of 256 bytes", try: logIn(letters(256)), want: `"": 256 of 255 bytes in an owner`, then: both(readOwner, readNote), reads: "old"},
	{name: "no owner", try: logIn(""), want: limitNoOwner, then: both(readOwner, readNote), reads: "old"},
	{name: "an owner with NUL", try: logIn("a\x00b"), want: limitNoOwner, then: both(readOwner, readNote), reads: "old"},
	{name: "an owner that is no UTF-8", try: logIn("a\xff"), want: limitNoOwner, then: both(readOwner, readNote), reads: "old"},
}

const limitNoOwner = "session: an owner must be non-empty, valid UTF-8 without NUL"

func TestLimits(t *testing.T) {
	t.Parallel()
	long(t)
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		for _, c := range limitCases {
			before := c.before
			if before == nil {
				before = writeNote("old")
			}
			visitor := newBrowser(t)
			visitor.must(nodes[0], before)
			require.Equal(t, c.want, visitor.must(nodes[0], outcome(c.try)), c.name)
			require.Equal(t, c.reads, visitor.must(nodes[1], c.then), c.name)
		}
	})
}

// What fits in each of two requests, and not together, is refused when it is
// committed: the one that came first stands.
func TestLimitsOfTwoRequests(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 2)
		for _, c := range []struct {
			first, second page
			want          string
			then          page
			reads         string
		}{
			{
				writeLetters(600_000), func(ctx context.Context) (string, error) { return "", cart.Set(ctx, []string{letters(600_000)}) },
				`"": 1200036 of 1048576 bytes in a session`, readLetters, "600000",
			},
			{writeKeys(2, 1000), writeKeys(1001, 1001), `"": 1001 of 1000 keys in a session`, readKeys, "1000 of 1000"},
		} {
			visitor := newBrowser(t)
			visitor.must(nodes[0], writeKeys(1, 1))
			held := hold(t, visitor, nodes[1], readNote, c.second)
			visitor.must(nodes[0], c.first)
			a := held.release()
			require.Equal(t, http.StatusInternalServerError, a.status, a.text)
			require.Equal(t, c.want, limitOutcome(a.failed))
			require.Equal(t, c.reads, visitor.must(nodes[1], c.then))
		}
	})
}

// limitTexts are valid names of keys and of owners. Nothing may take two of them
// for the same, or cut one.
var limitTexts = []string{
	"key", "Key", "KEY", "ke", "key ", "key  ", " key", "key\t", "key\n", "key\r\n", "\nkey", " ", "  ", "\u00a0", "\u200b", "\ufeff", "\ufeffkey",
	"é", "e\u0301", "É", "Å", "A\u030a", "\u212b", "ſ", "s", "S", "ß", "ss", "ẞ", "İ", "I", "ı", "i", "ﬁ", "fi", "ｆｉ",
	"שלום", "\u202eשלום", "مرحبا", "日本語", "한", "\u1112\u1161\u11ab", "🦊", "🦊🦊", "👩‍👩‍👧", "\U0010ffff", "\ufffd", "\u2028", "\x01", "\x7f", "\u0080",
	"a.b", "a", "$set", "$", "a$b", ".", "..", "_id", "__proto__", "%", "_", "a%", "\\", "\\\\", "'", `"`, "`", "a'--", "{}", "null", "0", "00", "*", "key:1", ":key",
	strings.Repeat("é", 127), strings.Repeat("é", 127) + "x", letters(254), letters(255), strings.Repeat("🦊", 63) + "abc", strings.Repeat("🦊", 63) + "abd",
}

// limitNames are valid names of keys only.
var limitNames = []string{
	"\x00", "\x00\x00", "a\x00b", "a\x00", "key\x00", letters(512), letters(511) + "y", letters(511) + " ", letters(1024), strings.Repeat("日", 341),
}

func TestLimitsOfNames(t *testing.T) {
	t.Parallel()
	names := append(slices.Clone(limitTexts), limitNames...)
	sorted := slices.Sorted(slices.Values(names))
	onStores(t, func(t *testing.T, b backend) {
		nodes := newNodes(t, b.site(t), 3)
		visitor := newBrowser(t)
		visitor.must(nodes[0], func(ctx context.Context) (string, error) {
			for i, name := range names {
				if err := session.Key[int](name).Set(ctx, i); err != nil {
					return "", err
				}
			}
			return "", nil
		})
		var got []string
		read := func(ctx context.Context) (text string, err error) {
			got, err = session.FromContext(ctx).Keys(ctx)
			for i, name := range names {
				n, ok, err := session.Key[int](name).Lookup(ctx)
				if err != nil || !ok || n != i {
					return "", fmt.Errorf("%.40q is %d, %t, not %d: %w", name, n, ok, i, err)
				}
			}
			return "", err
		}
		for _, n := range nodes {
			visitor.must(n, read)
			require.Equal(t, sorted, got)
		}
		// One less, and the others are as they were.
		last := len(names) - 1
		visitor.must(nodes[1], func(ctx context.Context) (string, error) { return "", session.Key[int](names[last]).Delete(ctx) })
		a := visitor.try(nodes[0], read)
		require.Equal(t, http.StatusInternalServerError, a.status)
		require.Len(t, got, last)
		require.NotContains(t, got, names[last])
	})
}
