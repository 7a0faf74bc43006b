package middleware_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/cryptotest"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

// credentialOf returns the credential that is issued under a seed of
// cryptotest.SetGlobalRandom: inputs that hold it mean the same in every run.
func credentialOf(seed uint64) string {
	var s, b [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	_, _ = rand.NewChaCha8(s).Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:16]) + "." + base64.RawURLEncoding.EncodeToString(b[16:])
}

// cookieSite reads sessions by Cookie headers. It holds two: of seed 1, with
// the count 1, and of seed 2 with the count 2.
type cookieSite struct {
	mem   *memory.Store
	spy   *spy.Store
	h     http.Handler
	set   int // what the handler stores, unless 0
	count int // what the handler read
	err   error
	loads []store.Key
	other []spy.Op
}

func newCookieSite(t *testing.T) *cookieSite {
	s := &cookieSite{mem: memory.New()}
	s.spy = spy.Wrap(s.mem)
	m, err := session.NewManager(session.Config{Store: s.spy})
	require.NoError(t, err)
	mw, err := middleware.New(m, middleware.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	s.h = mw.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if s.set != 0 {
			s.err = gateCount.Set(r.Context(), s.set)
			return
		}
		s.count, _, s.err = gateCount.Lookup(r.Context())
	}))
	for s.set = range 3 {
		if s.set == 0 {
			continue
		}
		cryptotest.SetGlobalRandom(t, uint64(s.set))
		res := s.read(nil)
		require.Contains(t, res.Get("Set-Cookie"), credentialOf(uint64(s.set)),
			"inputs must name the credentials that are issued")
	}
	s.set = 0
	s.spy.Hook(func(_ context.Context, c *spy.Call) {
		if c.Op == spy.Load {
			s.loads = append(s.loads, c.Key)
		} else {
			s.other = append(s.other, c.Op)
		}
		c.Next()
	})
	return s
}

// read serves a request with some lines of Cookie.
func (s *cookieSite) read(lines []string) http.Header {
	s.loads, s.other, s.count, s.err = nil, nil, 0, nil
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if lines != nil {
		r.Header["Cookie"] = lines
	}
	rec := httptest.NewRecorder()
	s.h.ServeHTTP(rec, r)
	s.spy.Calls() // or they would pile up
	return rec.Header()
}

// oneSpelling is that of a credential: 128 bits, a dot, 128 bits; the last
// character of each half holds two of them.
var oneSpelling = regexp.MustCompile(`^[A-Za-z0-9_-]{21}[AQgw]\.[A-Za-z0-9_-]{21}[AQgw]$`)

// edit changes a header in a few places that depend on seed: most of what
// matters happens at the ends of names and values, where the fuzzer's own
// changes are rare.
func edit(header string, seed []byte) string {
	const (
		delimiters = "=;.\n"
		inserted   = "\"'=;,.% \t\\+/-_ABQgw09\r\n\x00\x7f\xc2\xa0"
		base64url  = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	)
	sum := fnv.New64a()
	_, _ = sum.Write(seed)
	rng := rand.New(rand.NewPCG(sum.Sum64(), 0))
	b := []byte(header)
	for range 1 + rng.IntN(3) {
		at := rng.IntN(len(b) + 1)
		if rng.IntN(2) == 0 { // go on to the next end
			for at < len(b) && strings.IndexByte(delimiters, b[at]) < 0 {
				at++
			}
			at = min(max(0, at-1+rng.IntN(3)), len(b)) // before it, there or behind it
		}
		c := inserted[rng.IntN(len(inserted))]
		switch kind := rng.IntN(5); {
		case kind == 0 || at == len(b):
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		case kind == 1:
			b[at] = c
		case kind == 2:
			b = append(b[:at], b[at+1:]...)
		case kind == 3: // the other letter case
			b[at] ^= 0x20
		default: // nearby in the alphabet of credentials
			if i := strings.IndexByte(base64url, b[at]); i >= 0 {
				b[at] = base64url[(i+1+rng.IntN(15))%len(base64url)]
			}
		}
	}
	return string(b)
}

// FuzzCookieHeader reads any Cookie lines (one per line of the input, after
// some edits), and compares with what net/http makes of them.
func FuzzCookieHeader(f *testing.F) {
	live, other := credentialOf(1), credentialOf(2)
	dead, mixed := wellFormed(3), live[:23]+other[23:]
	for _, lines := range []string{
		"",
		nameEq,
		nameEq + live,
		nameEq + dead,
		nameEq + mixed,
		"theme=dark; " + nameEq + live + "; lang=en",
		nameEq + dead + "; " + nameEq + live,
		nameEq + dead + ";" + nameEq + mixed + ";" + nameEq + live + ";" + nameEq + other,
		nameEq + "x; " + nameEq + "; " + nameEq + other,
		nameEq + dead + "\n" + nameEq + live + "\n" + nameEq + other,
		nameEq + dead + "; " + nameEq + dead + "; " + nameEq + dead + "; " + nameEq + live,
		"__Host-id =" + live + " \t; a b=c; =d;; ; $Path=\"/\"",
		"a=\"b; c\"; e=%41; f=\\; g=\xff\u2000",
		nameEq + live[:44] + "\n" + nameEq + live + "A",
	} {
		f.Add(lines, []byte(nil))
		f.Add(lines, []byte("edited"))
	}
	var site *cookieSite // of a process that runs many inputs
	f.Fuzz(func(t *testing.T, input string, edits []byte) {
		if site == nil {
			site = newCookieSite(t)
		}
		if len(edits) > 0 {
			input = edit(input, edits)
		}
		lines := strings.Split(input, "\n")

		// What net/http reads, as far as it is a credential, in its order.
		var credentials []string
		for _, c := range (&http.Request{Header: http.Header{"Cookie": lines}}).CookiesNamed(middleware.HostName) {
			if !c.Quoted && oneSpelling.MatchString(c.Value) {
				credentials = append(credentials, c.Value)
			}
		}
		// What the library does with each of them alone.
		var keys []store.Key
		tried, count := 0, 0
		for i, c := range credentials {
			site.read([]string{nameEq + c})
			require.NoError(t, site.err)
			require.Len(t, site.loads, 1)
			keys = append(keys, site.loads[0])
			require.Equal(t, map[string]int{live: 1, other: 2}[c], site.count, "only what was issued opens a session: %q", c)
			if i < 3 && count == 0 {
				tried, count = i+1, site.count
			}
		}

		header := site.read(lines)
		require.NoError(t, site.err)
		require.LessOrEqual(t, len(site.loads), 3)
		require.Empty(t, header["Set-Cookie"])
		require.Equal(t, 2, site.mem.Len(), "sessions in the store")
		for _, op := range site.other {
			require.Equal(t, spy.Touch, op)
		}
		if !passesServer(lines) {
			require.Subset(t, keys, site.loads, "tried, but no credential to net/http")
			return
		}
		require.Equal(t, keys[:tried], site.loads, "tried, instead of the credentials that net/http reads")
		require.Equal(t, count, site.count)
	})
}

// passesServer reports whether net/http serves a request with these lines and
// reads its cookies: control characters are refused, and so are thousands of
// cookies.
func passesServer(lines []string) bool {
	cookies := 0
	for _, line := range lines {
		cookies += strings.Count(line, ";") + 1
		for i := range len(line) {
			if c := line[i]; c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
	}
	return cookies <= 3000
}
