package middleware

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/typedsession/session"
)

// cookie reads and writes the one cookie of a middleware.
type cookie struct {
	name       string
	attributes string // Path and what follows, the same when setting and removing
}

// maxAge is what browsers keep a cookie at most (RFC 6265bis, section 5.5).
const maxAge = 400 * 24 * time.Hour

func newCookie(c *Config) cookie {
	var b strings.Builder
	b.WriteString("; Path=" + c.Path)
	if c.Domain != "" {
		b.WriteString("; Domain=" + strings.TrimPrefix(c.Domain, "."))
	}
	b.WriteString("; HttpOnly")
	if !c.Insecure {
		b.WriteString("; Secure")
	}
	switch c.SameSite {
	case http.SameSiteStrictMode:
		b.WriteString("; SameSite=Strict")
	case http.SameSiteNoneMode:
		b.WriteString("; SameSite=None")
	default:
		b.WriteString("; SameSite=Lax")
	}
	if c.Partitioned {
		b.WriteString("; Partitioned")
	}
	return cookie{name: c.Name, attributes: b.String()}
}

// values appends the values of all cookies of this name, in the order of the
// request (browsers: longer paths first). Names are compared literally and values
// are not decoded: a credential has one spelling.
func (c *cookie) values(header http.Header, dst []string) []string {
	for _, line := range header["Cookie"] {
		for len(line) > 0 {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, ok := strings.Cut(trim(pair), "=")
			if ok && trim(name) == c.name {
				dst = append(dst, value)
			}
		}
	}
	return dst
}

func trim(s string) string {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}

// write puts a ticket into the headers, in place of an earlier cookie of this
// name.
func (c *cookie) write(header http.Header, t session.Ticket) {
	var value string
	switch t.Action() {
	case session.ActionSet:
		value = c.name + "=" + t.Credential() + c.attributes
		if t.Persistent() {
			left := min(time.Until(t.Expires()), maxAge)
			value += "; Max-Age=" + strconv.FormatInt(max(1, int64(left/time.Second)), 10)
		}
	case session.ActionRemove:
		value = c.name + "=" + c.attributes + "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
	default:
		return
	}
	var others []string
	for _, line := range header["Set-Cookie"] {
		if name, _, _ := strings.Cut(line, "="); trim(name) != c.name {
			others = append(others, line)
		}
	}
	header["Set-Cookie"] = append(others, value)
	header["Cache-Control"] = []string{"no-store"}
}

// addVary says to caches that the response depends on the cookie.
func (x *writer) addVary(header http.Header) {
	have := header["Vary"]
	if len(have) == 0 {
		x.vary[0] = "Cookie" // whose memory costs no allocation, and is nobody else's
		header["Vary"] = x.vary[:1:1]
		return
	}
	for _, line := range have {
		for field := range strings.SplitSeq(line, ",") {
			if f := trim(field); f == "*" || strings.EqualFold(f, "Cookie") {
				return
			}
		}
	}
	header["Vary"] = append(slices.Clip(have), "Cookie")
}

// makePrivate takes back what lets shared caches keep a response, and reports
// whether there was anything.
func makePrivate(header http.Header) bool {
	found := false
	lines := header["Cache-Control"]
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			found = found || isPublic(directive)
		}
	}
	if !found {
		return false
	}
	kept := []string{"private"}
	for _, line := range lines {
		for directive := range strings.SplitSeq(line, ",") {
			if d := trim(directive); d != "" && !isPublic(d) && !strings.EqualFold(d, "private") {
				kept = append(kept, d)
			}
		}
	}
	header["Cache-Control"] = []string{strings.Join(kept, ", ")}
	return true
}

func isPublic(directive string) bool {
	name, _, _ := strings.Cut(trim(directive), "=")
	name = trim(name)
	return strings.EqualFold(name, "public") || strings.EqualFold(name, "s-maxage")
}
