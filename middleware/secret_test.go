package middleware_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
)

// secrets knows the forms in which a credential could show.
type secrets struct {
	mu    sync.Mutex
	forms map[string]string // what it looks like: what it is
}

func (s *secrets) add(credential string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.forms == nil {
		s.forms = map[string]string{}
	}
	s.forms[credential] = "credential"
	s.forms[hex.EncodeToString([]byte(credential))] = "hex of the credential's text"
	s.forms[decimals([]byte(credential), " ")] = "bytes of the credential's text"
	key, secret, _ := strings.Cut(credential, ".")
	for part, text := range map[string]string{"key": key, "secret": secret} {
		raw, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || len(raw) != 16 {
			panic("not a credential: " + credential)
		}
		dump := fmt.Sprintf("%#v", raw) // []byte{0x1, ...}
		for form, is := range map[string]string{
			text: "base64",
			base64.RawStdEncoding.EncodeToString(raw): "standard base64",
			hex.EncodeToString(raw):                   "hex",
			strings.ToUpper(hex.EncodeToString(raw)):  "upper-case hex",
			fmt.Sprintf("% x", raw):                   "spaced hex",
			hex.EncodeToString([]byte(text)):          "hex of the text",
			decimals([]byte(text), " "):               "bytes of the text",
			decimals(raw, " "):                        "decimal bytes",
			decimals(raw, ","):                        "decimal bytes with commas",
			decimals(raw, ", "):                       "decimal bytes with commas and spaces",
			dump[len("[]byte{") : len(dump)-1]:        "Go bytes",
			string(raw):                               "raw bytes",
			strings.Trim(fmt.Sprintf("%q", raw), `"`): "quoted bytes",
		} {
			s.forms[form] = is + " of the " + part
		}
	}
}

func decimals(b []byte, sep string) string {
	var parts []string
	for _, c := range b {
		parts = append(parts, fmt.Sprint(c))
	}
	return strings.Join(parts, sep)
}

// in returns which form of which part text contains, or nothing.
func (s *secrets) in(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for form, is := range s.forms {
		if strings.Contains(text, form) {
			return is
		}
	}
	return ""
}

// renderings of a value by whatever puts it into a log.
func renderings(v any) map[string]string {
	all := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%t", "%c"} {
		all[verb] = fmt.Sprintf(verb, v)
	}
	for name, handler := range map[string]func(w io.Writer) slog.Handler{
		"slog text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"slog JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var b bytes.Buffer
		slog.New(handler(&b)).Info("x", "v", v, slog.Group("g", "v", []any{v}))
		all[name] = b.String()
	}
	if b, err := json.Marshal(v); err == nil {
		all["JSON"] = string(b)
	}
	var b bytes.Buffer
	log.New(&b, "", 0).Println(v)
	all["log"] = b.String()
	return all
}

// Holders, as programs have them: exported, unexported, embedded.
type (
	holder[T any]  struct{ V T }
	private[T any] struct{ v T }
)

func held[T any](name string, v T) map[string]any {
	return map[string]any{
		name: v, "pointer to " + name: &v, "interface of " + name: any(&v),
		"struct with " + name: holder[T]{v}, "pointer to a struct with " + name: &holder[T]{v},
		"struct with a private " + name: private[T]{v}, "pointer to a struct with a private " + name: &private[T]{v},
		"slice of " + name: []T{v}, "map of " + name: map[string]T{"v": v}, "nested " + name: holder[*holder[T]]{&holder[T]{v}},
	}
}

// TestSecretsAreRecognized is the test of the tests below.
func TestSecretsAreRecognized(t *testing.T) {
	t.Parallel()
	var s secrets
	credential := credentialOf(7)
	s.add(credential)
	raw, err := base64.RawURLEncoding.DecodeString(credential[:22])
	require.NoError(t, err)
	for name, v := range map[string]any{
		"text": credential, "bytes": raw, "array": [16]byte(raw), "half": credential[23:],
		"struct": private[[16]byte]{[16]byte(raw)}, "string": string(raw),
	} {
		found := 0
		for _, text := range renderings(v) {
			if s.in(text) != "" {
				found++
			}
		}
		require.Greater(t, found, 7, name)
	}
	require.Empty(t, s.in(credentialOf(8)))
}

// requireNoSecret renders values in every way.
func requireNoSecret(t *testing.T, s *secrets, values map[string]any) {
	t.Helper()
	for name, v := range values {
		for how, text := range renderings(v) {
			assert.Empty(t, s.in(text), "%s by %s: %.300s", name, how, text)
		}
	}
}

// TestPromise9_NoCredentialAnywhere: no way of printing what the library hands
// out shows a credential.
func TestPromise9_NoCredentialAnywhere(t *testing.T) {
	t.Parallel()
	var s secrets
	g := newGate(t)
	cookie := g.begin(1)
	s.add(cookie)

	m := g.manager
	opening := session.Opening{Credentials: []string{cookie, cookie}}
	requireNoSecret(t, &s, map[string]any{
		"Opening": opening, "pointer to Opening": &opening, "struct with Opening": holder[session.Opening]{opening},
		"slice of Opening": []session.Opening{opening}, "map of Opening": map[string]*session.Opening{"o": &opening},
	})

	res := g.visit(cookie, func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		sess := session.FromContext(ctx)
		look := func() {
			child, cancel := context.WithTimeout(context.WithValue(ctx, holder[int]{}, sess), time.Hour)
			defer cancel()
			requireNoSecret(t, &s, map[string]any{
				"context": ctx, "derived context": child, "context in a struct": holder[context.Context]{ctx},
				"writer": w, "writer in a struct": holder[http.ResponseWriter]{w}, "controller": http.NewResponseController(w),
				"handler": g.mw.Handler(nil),
			})
			requireNoSecret(t, &s, held("Session", sess))
			requireNoSecret(t, &s, held("Manager", m))
			requireNoSecret(t, &s, held("Middleware", g.mw))
			requireNoSecretInMemory(t, &s, map[string]any{"Session": sess, "Manager": m, "Middleware": g.mw, "context": ctx})
		}
		look()
		assert.Equal(t, 1, gateCount.Value(ctx))
		look()
		gateIncrement(t, r)
		assert.NoError(t, sess.Login(ctx, "ada"))
		look()
		assert.NoError(t, sess.Save(ctx))
		look()
		info, err := sess.Info(ctx)
		assert.NoError(t, err)
		requireNoSecret(t, &s, held("Info", info))
	})
	rotated := issuedCookie(t, res)
	s.add(rotated)

	sess := m.Open(session.Opening{Credentials: []string{rotated}, Fresh: true})
	ctx := session.NewContext(t.Context(), sess)
	require.NoError(t, sess.SetExpiry(ctx, session.OnInactivity(time.Hour)))
	ticket, err := m.Commit(ctx, sess)
	require.NoError(t, err)
	require.Equal(t, session.ActionSet, ticket.Action())
	s.add(ticket.Credential())
	requireNoSecret(t, &s, held("Ticket", ticket))
	requireNoSecret(t, &s, held("Session", sess))
	requireNoSecret(t, &s, map[string]any{"context": ctx})
	requireNoSecretInMemory(t, &s, map[string]any{"Session": sess, "context": ctx})
	requireNoSecret(t, &s, held("Action", ticket.Action()))
	requireNoSecret(t, &s, held("Typed", gateCount))
	requireNoSecret(t, &s, held("Expiry", session.OnInactivity(time.Hour)))
	for info, err := range m.Sessions(t.Context(), "ada") {
		requireNoSecret(t, &s, map[string]any{"Info": info, "error": err})
	}
}

// requireNoSecretInMemory prints what pointers point to, which no method hides.
func requireNoSecretInMemory(t *testing.T, s *secrets, pointers map[string]any) {
	t.Helper()
	for name, p := range pointers {
		memory := reflect.ValueOf(p).Elem()
		for _, verb := range []string{"%v", "%+v", "%#v", "%d", "%x", "%s", "%q"} {
			text := fmt.Sprintf(verb, memory)
			assert.NotEqual(t, fmt.Sprintf(verb, p), text, "%s: the memory itself", name)
			assert.Empty(t, s.in(text), "memory of %s by %s: %.300s", name, verb, text)
		}
	}
}
