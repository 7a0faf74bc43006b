package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/typedsession/session"
)

// Names of the cookie where [Config.Name] is empty. Browsers accept a cookie
// with a prefix only in the secure form that the prefix stands for (RFC 6265bis,
// section 4.1.3).
const (
	HostName     = "__Host-id"
	SecureName   = "__Secure-id"
	InsecureName = "id"
)

// Config is the configuration of a [Middleware]. The zero Config is the safest:
// a cookie named __Host-id, Secure, HttpOnly, SameSite=Lax, for this host alone.
type Config struct {
	// Name is the name of the cookie. Empty means HostName, SecureName where Domain
	// or Path rule the other out, InsecureName where Insecure is set.
	Name string

	// SameSite is sent with the cookie; zero means http.SameSiteLaxMode. Strict
	// keeps the session from the first request of every link from elsewhere.
	SameSite http.SameSite

	// Path and Domain widen or narrow where the cookie is sent. Empty means "/",
	// and this host alone.
	Path   string
	Domain string

	// Partitioned keeps a session per embedding site (CHIPS).
	Partitioned bool

	// Insecure sends the cookie without Secure, for development over plain HTTP
	// where the browser refuses secure cookies: anyone on the way can read it.
	// Chromium, Firefox and curl take secure cookies from http://localhost and do
	// not need this.
	Insecure bool

	// ErrorHandler answers instead of the handler when the session could not be
	// committed. It gets the headers as the middleware found them, and may use
	// [Status]; if it answers nothing, that status is sent. The default answers with
	// the status and its text alone.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)

	// Report receives what can no longer reach the visitor: failures after the
	// first byte of the response, and the errors of this package. r is the request
	// as the handler got it. The default logs to Logger.
	Report func(r *http.Request, err error)

	// Logger is used by the defaults above and for one warning about cookies
	// that do not come back over plain HTTP. The default is slog.Default.
	Logger *slog.Logger
}

var (
	// ErrPublic is reported when a handler declared a response public that
	// depends on the session; it was sent as private.
	ErrPublic = errors.New("middleware: a response that depends on the session was declared public")

	// ErrLateUse is reported when a handler first used the session after the
	// response had begun, too late for Vary: Cookie.
	ErrLateUse = errors.New("middleware: the session was first used after the response had begun: Vary: Cookie is missing")
)

// maxCookie is what browsers accept of name and value together.
const maxCookie = 4096

// complete fills in the defaults and returns everything that is wrong.
func (c *Config) complete() (errs []error) {
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Path == "" {
		c.Path = "/"
	}
	if c.Name == "" {
		switch {
		case c.Insecure:
			c.Name = InsecureName
		case c.Domain != "" || c.Path != "/":
			c.Name = SecureName
		default:
			c.Name = HostName
		}
	}
	if c.SameSite == 0 {
		c.SameSite = http.SameSiteLaxMode
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}

	if !isToken(c.Name) {
		add("Name %q is no token (RFC 6265)", c.Name)
	}
	if len(c.Name) > maxCookie-session.CredentialLen {
		add("Name of %d bytes: browsers drop a cookie of more than %d bytes without a word", len(c.Name), maxCookie)
	}
	switch name := strings.ToLower(c.Name); {
	case strings.HasPrefix(name, "__host-"):
		if c.Domain != "" {
			add("Name %q forbids a Domain", c.Name)
		}
		if c.Path != "/" {
			add("Name %q needs the Path /", c.Name)
		}
		fallthrough
	case strings.HasPrefix(name, "__secure-"), strings.HasPrefix(name, "__http-"):
		if c.Insecure {
			add("Name %q cannot be Insecure", c.Name)
		}
		if !hasExactPrefix(c.Name) {
			add("Name %q: browsers take the prefix in any letter case, others do not: write it as %s", c.Name, properPrefix(c.Name))
		}
	}
	switch c.SameSite {
	case http.SameSiteLaxMode, http.SameSiteStrictMode:
	case http.SameSiteNoneMode:
		if c.Insecure {
			add("SameSite None cannot be Insecure")
		}
	default:
		add("SameSite %d is none of Lax, Strict and None: browsers differ about a cookie without it", c.SameSite)
	}
	if c.Partitioned && c.Insecure {
		add("Partitioned cannot be Insecure")
	}
	if !strings.HasPrefix(c.Path, "/") || !isAttribute(c.Path) {
		add("Path %q: it must begin with / and hold only printable ASCII without ;", c.Path)
	}
	if c.Domain != "" {
		if err := (&http.Cookie{Name: "n", Domain: c.Domain}).Valid(); err != nil { //nolint:gosec // only to have its Domain checked
			add("Domain %q is no domain name", c.Domain)
		}
	}
	return errs
}

var prefixes = [...]string{"__Host-Http-", "__Host-", "__Secure-", "__Http-"}

func hasExactPrefix(name string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

func properPrefix(name string) string {
	for _, p := range prefixes {
		if strings.HasPrefix(strings.ToLower(name), strings.ToLower(p)) {
			return p
		}
	}
	return ""
}

func isToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func isAttribute(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == ';' {
			return false
		}
	}
	return true
}
