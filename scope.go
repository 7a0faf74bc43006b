package session

import (
	"context"
	"crypto/sha256"
	"fmt"
)

// Scope names one kind of session in a program that has several, such as
// visitors and administrators: each has its own Manager ([Config.Scope]), its own
// cookie and its own keys ([Typed.In]). The zero Scope is the default one.
// Scopes are equal when their names are.
type Scope struct{ name string }

// NewScope returns the scope of a name: 1 to 64 letters, digits, '-' and '_'.
// NewManager reports a name that breaks this rule.
func NewScope(name string) Scope { return Scope{name: name} }

// Name returns the name, empty for the default scope.
func (s Scope) Name() string { return s.name }

// FromContext is [FromContext] for the session of s.
func (s Scope) FromContext(ctx context.Context) *Session {
	sess, ok := s.Lookup(ctx)
	if !ok {
		panic("session: no session" + s.suffix() + " in this context: the handler must run behind the middleware " +
			"(middleware.New(manager, middleware.Config{}) and its Handler), and ctx must be the request's")
	}
	return sess
}

// Lookup is [Lookup] for the session of s.
func (s Scope) Lookup(ctx context.Context) (*Session, bool) {
	key := defaultKey
	if s.name != "" {
		key = scopeKey(s.name)
	}
	return lookup(ctx, key)
}

func (s Scope) suffix() string {
	if s.name == "" {
		return ""
	}
	return fmt.Sprintf(" of scope %q", s.name)
}

func (s Scope) check() error {
	if len(s.name) > 64 {
		return fmt.Errorf("scope name of %d bytes, at most 64 are allowed", len(s.name))
	}
	for i := range len(s.name) {
		if c := s.name[i]; !isAlphanumeric(c) && c != '-' && c != '_' {
			return fmt.Errorf("scope name %q: only letters, digits, '-' and '_' are allowed", s.name)
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// hash goes into the hash of every record key of the scope.
func (s Scope) hash() [partSize]byte {
	sum := sha256.Sum256([]byte("typedsession scope " + s.name))
	return [partSize]byte(sum[:partSize])
}

// owner is the value of the store's owner index; the owners of two scopes
// differ even when their names are the same.
func (s Scope) owner(owner string) string {
	if owner == "" {
		return ""
	}
	return s.name + ":" + owner
}

// scopeKey is the context key of a scope with a name. Typed keeps one in an
// interface, so that looking up allocates nothing.
type scopeKey string

type defaultScopeKey struct{}

var defaultKey any = defaultScopeKey{}

// sessionContext carries one session.
type sessionContext struct {
	context.Context
	s *Session
}

func (c *sessionContext) Value(key any) any {
	if key == c.s.m.contextKey {
		return c.s
	}
	return c.Context.Value(key)
}

func (c *sessionContext) String() string { return "session.Context" }

func lookup(ctx context.Context, key any) (*Session, bool) {
	s, ok := ctx.Value(key).(*Session)
	return s, ok
}

// FromContext returns the session of the request that ctx belongs to. It does
// no I/O. It panics where no middleware ran, with a message that names the fix;
// a library that can do without a session uses [Lookup].
func FromContext(ctx context.Context) *Session { return Scope{}.FromContext(ctx) }

// Lookup is FromContext for code that may run without a middleware. ok says
// whether there is a session.
func Lookup(ctx context.Context) (s *Session, ok bool) { return lookup(ctx, defaultKey) }

// NewContext returns a context that carries s. A context that already carries
// s is returned as it is. When it carries a session of the same scope from
// another Manager, NewContext panics: their keys could not be told apart.
func NewContext(ctx context.Context, s *Session) context.Context {
	if prev, ok := lookup(ctx, s.m.contextKey); ok {
		if prev == s {
			return ctx
		}
		if prev.m != s.m {
			panic(twoManagers(s.m.cfg.Scope))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node.s == nil { // the first context costs no allocation
		s.node = sessionContext{Context: ctx, s: s}
		return &s.node
	}
	return &sessionContext{Context: ctx, s: s}
}

func twoManagers(s Scope) string {
	return "session: two managers" + s.suffix() + " on one request: give one of them a Config.Scope of its own"
}
