package middleware_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store"
)

const nameEq = middleware.HostName + "="

// otherLastChar returns a credential with the last character of one half
// changed to one that carries the same 128 bits and some stray ones.
func otherLastChar(cred string, at int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := []byte(cred)
	b[at] = alphabet[strings.IndexByte(alphabet, b[at])+1]
	return string(b)
}

// TestMalformedCookies: a credential has one spelling. Others open nothing,
// create nothing, and never reach the store.
func TestMalformedCookies(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	live := g.begin(1)
	n, _ := g.count(live)
	require.Equal(t, 1, n)
	g.spy.Calls()
	key, secret, _ := strings.Cut(live, ".")
	raw := func(s string) []byte { b, _ := base64.RawURLEncoding.DecodeString(s); return b }
	malformed := map[string][]string{ // Cookie header lines
		"no cookie":                    {},
		"another name":                 {"id=" + live},
		"empty line":                   {""},
		"empty value":                  {nameEq},
		"no value":                     {"__Host-id"},
		"no name":                      {"=" + live},
		"name in lower case":           {"__host-id=" + live},
		"name in upper case":           {"__HOST-ID=" + live},
		"longer name":                  {"__Host-id2=" + live},
		"name with a suffix":           {"x__Host-id=" + live},
		"encoded name":                 {"__Host%2Did=" + live},
		"U+2000 before the name":       {"\u2000__Host-id=" + live},
		"U+00A0 before the name":       {"\u00a0__Host-id=" + live},
		"form feed before the name":    {"\f__Host-id=" + live},
		"NUL before the name":          {"\x00__Host-id=" + live},
		"comma instead of semicolon":   {"a=b, __Host-id=" + live},
		"inside another value":         {"a=__Host-id=" + live},
		"$Version":                     {`$Version="1"; __Host-id="` + live + `"; $Path="/"`},
		"quotes":                       {nameEq + `"` + live + `"`},
		"quote before":                 {nameEq + `"` + live},
		"quote behind":                 {nameEq + live + `"`},
		"single quotes":                {nameEq + `'` + live + `'`},
		"equals sign before":           {nameEq + "=" + live},
		"equals sign behind":           {nameEq + live + "="},
		"a byte too many":              {nameEq + live + "A"},
		"a byte too few":               {nameEq + live[:44]},
		"one byte":                     {nameEq + "A"},
		"only the dot":                 {nameEq + "."},
		"only the key":                 {nameEq + key},
		"key and dot":                  {nameEq + key + "."},
		"only the secret":              {nameEq + "." + secret},
		"two dots":                     {nameEq + key + "." + secret[:21] + "."},
		"no dot":                       {nameEq + key + "A" + secret},
		"another separator":            {nameEq + key + ":" + secret},
		"dot elsewhere":                {nameEq + key[:21] + "." + key[21:] + secret},
		"padding":                      {nameEq + key + "==." + secret + "=="},
		"stray bits in the key":        {nameEq + otherLastChar(live, 21)},
		"stray bits in the secret":     {nameEq + otherLastChar(live, 44)},
		"stray bits in both":           {nameEq + otherLastChar(otherLastChar(live, 21), 44)},
		"standard base64":              {nameEq + base64.RawStdEncoding.EncodeToString([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")) + "." + secret},
		"hex":                          {nameEq + hex.EncodeToString(raw(key)) + "." + hex.EncodeToString(raw(secret))},
		"raw bytes":                    {nameEq + string(raw(key)) + "." + string(raw(secret))},
		"percent-encoding":             {nameEq + url.QueryEscape(live[:44]) + fmt.Sprintf("%%%02X", live[44])},
		"percent-encoded dot":          {nameEq + key + "%2E" + secret},
		"plus":                         {nameEq + "+" + live[1:]},
		"slash":                        {nameEq + "/" + live[1:]},
		"path":                         {nameEq + "../../../../../../../../../../../etc/passwd.."},
		"backslash":                    {nameEq + `\` + live[1:]},
		"CR behind":                    {nameEq + live + "\r"},
		"LF behind":                    {nameEq + live + "\n"},
		"CR inside":                    {nameEq + live[:10] + "\r" + live[11:]},
		"CR and LF added":              {nameEq + live[:10] + "\r\n" + live[10:]},
		"LF for a character":           {nameEq + live[:21] + "\n" + live[22:]},
		"two LF added, two cut":        {nameEq + live[:5] + "\n\n" + live[5:20] + live[22:]},
		"NUL inside":                   {nameEq + live[:10] + "\x00" + live[11:]},
		"NUL behind":                   {nameEq + live + "\x00"},
		"space inside":                 {nameEq + live[:10] + " " + live[11:]},
		"space before the value":       {nameEq + " " + live},
		"tab before the value":         {nameEq + "\t" + live},
		"unicode":                      {nameEq + strings.Repeat("é", 22) + "."},
		"unicode of the same length":   {nameEq + strings.Repeat("é", 11) + "." + strings.Repeat("é", 11)},
		"fullwidth dot":                {nameEq + key + "．" + secret},
		"invalid UTF-8":                {nameEq + strings.Repeat("\xff", 22) + "." + strings.Repeat("\xff", 22)},
		"long":                         {nameEq + strings.Repeat("A", 1<<16)},
		"long with the live one in it": {nameEq + live + strings.Repeat("A", 1<<16)},
		"many empty ones":              {strings.Repeat(nameEq+"; ", 1000)},
		"all wrong on many lines":      {nameEq + "x", nameEq + "y; " + nameEq + "z", "__host-id=" + live},
		"split over lines":             {nameEq + key + ".", secret},
		"the hash of the key":          {nameEq + hex.EncodeToString(make([]byte, 32))},
	}
	for name, lines := range malformed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGateOn(t, g.mem) // whose calls are its own
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				r := g.request("")
				r.Method = method
				r.Header["Cookie"] = lines
				res := g.serve(r, func(_ http.ResponseWriter, r *http.Request) {
					_, ok, err := gateCount.Lookup(r.Context())
					assert.NoError(t, err)
					assert.False(t, ok, "opens a session")
					info, err := session.FromContext(r.Context()).Info(r.Context())
					assert.NoError(t, err)
					assert.True(t, info.New)
				})
				require.Empty(t, g.spy.Calls(), "calls of the store")
				require.Empty(t, res.Header["Set-Cookie"])
				require.Equal(t, http.StatusOK, res.StatusCode)
			}
			require.Equal(t, 1, g.mem.Len())
		})
	}
}

// TestAcceptedSpellings are what is left around the one spelling of the value.
func TestAcceptedSpellings(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	live := g.begin(1)
	for name, lines := range map[string][]string{
		"alone":                    {nameEq + live},
		"among others":             {"a=1; " + nameEq + live + "; b=2"},
		"without spaces":           {"a=1;" + nameEq + live + ";b=2"},
		"spaces around the pair":   {"a=1;  \t" + nameEq + live + " \t; b=2"},
		"space before equals":      {"__Host-id =" + live},
		"on another line":          {"a=1", nameEq + live},
		"behind junk":              {";;; = ; a; =b; \x01=2; " + nameEq + live},
		"behind malformed ones":    {strings.Repeat(nameEq+"x; ", 100) + nameEq + live},
		"beside other letter case": {"__host-id=x; __HOST-ID=y; " + nameEq + live},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := g.request("")
			r.Header["Cookie"] = lines
			g.serve(r, func(_ http.ResponseWriter, r *http.Request) {
				n, _, err := gateCount.Lookup(r.Context())
				assert.NoError(t, err)
				assert.Equal(t, 1, n)
			})
		})
	}
}

// TestDuplicateCookies: a sibling can plant cookies of our name before and
// behind the visitor's. At most three credentials are looked up, in the order of
// the request; the first live one counts, and nothing comes of the others.
func TestDuplicateCookies(t *testing.T) {
	t.Parallel()
	const (
		live = "LIVE"
		bad  = "planted" // malformed
	)
	dead := func(n int) string { return wellFormed(n) }
	for _, c := range []struct {
		name   string
		values []string
		want   int // the count that is read; 0: no session
		loads  int
	}{
		{"alone", []string{live}, 1, 1},
		{"malformed first", []string{bad, live}, 1, 1},
		{"malformed last", []string{live, bad}, 1, 1},
		{"many malformed first", []string{bad, "", "x", bad, `"` + dead(1) + `"`, live}, 1, 1},
		{"dead first", []string{dead(1), live}, 1, 2},
		{"dead last", []string{live, dead(1)}, 1, 1},
		{"two dead first", []string{dead(1), dead(2), live}, 1, 3},
		{"dead and malformed first", []string{dead(1), bad, dead(2), bad, live}, 1, 3},
		{"dead around", []string{dead(1), live, dead(2), dead(3)}, 1, 2},
		{"three dead first", []string{dead(1), dead(2), dead(3), live}, 0, 3},
		{"many dead", []string{dead(1), dead(2), dead(3), dead(4), dead(5), dead(6)}, 0, 3},
		{"the key with another secret first", []string{"KEY." + dead(1)[23:], live}, 1, 2},
		{"the secret with another key first", []string{dead(1)[:23] + "SECRET", live}, 1, 2},
		{"an attacker's live one first", []string{"OTHER", live}, 2, 1},
		{"an attacker's live one last", []string{live, "OTHER"}, 1, 1},
		{"only dead", []string{dead(1)}, 0, 1},
	} {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/lines=%t", c.name, split), func(t *testing.T) {
				t.Parallel()
				g := newGate(t)
				one, two := g.begin(1), g.begin(2)
				real := strings.NewReplacer("LIVE", one, "OTHER", two, "KEY", one[:22], "SECRET", one[23:])
				var pairs []string
				for _, v := range c.values {
					pairs = append(pairs, nameEq+real.Replace(v))
				}
				r := g.request("")
				r.Header["Cookie"] = []string{"theme=dark; " + strings.Join(pairs, "; ") + "; lang=en"}
				if split {
					r.Header["Cookie"] = pairs
				}
				var keys []store.Key
				g.spy.Hook(func(_ context.Context, c *spy.Call) {
					keys = append(keys, c.Key)
					c.Next()
				})
				res := g.serve(r, func(_ http.ResponseWriter, r *http.Request) {
					n, _, err := gateCount.Lookup(r.Context())
					assert.NoError(t, err)
					assert.Equal(t, c.want, n)
					info, err := session.FromContext(r.Context()).Info(r.Context())
					assert.NoError(t, err)
					assert.Equal(t, c.want == 0, info.New)
				})
				require.Empty(t, res.Header["Set-Cookie"], "a dead cookie is left alone")
				require.Len(t, keys, c.loads)
				for _, op := range g.spy.Calls() {
					require.Equal(t, spy.Load, op)
				}
				require.Equal(t, 2, g.mem.Len(), "nothing is created")

				// Nor is the credential of a planted cookie ever adopted.
				g.spy.Hook(nil)
				if c.want == 0 {
					res = g.serve(r, func(_ http.ResponseWriter, r *http.Request) { gateSet(t, r, 9) })
					issued := issuedCookie(t, res)
					require.NotContains(t, real.Replace(strings.Join(c.values, " ")), issued[:22])
					require.NotContains(t, real.Replace(strings.Join(c.values, " ")), issued[23:])
				}
			})
		}
	}
}
