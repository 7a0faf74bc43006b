package middleware_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

func gateManager(t testing.TB) *session.Manager {
	m, err := session.NewManager(session.Config{Store: memory.New()})
	require.NoError(t, err)
	return m
}

// TestRefusedConfigs: browsers drop cookies of these kinds without a word, or
// net/http would; New refuses them.
func TestRefusedConfigs(t *testing.T) {
	t.Parallel()
	m := gateManager(t)
	type refused struct {
		name     string
		cfg      middleware.Config
		problems []string // what each problem must mention, in order
	}
	cases := []refused{
		{"Host with Domain", middleware.Config{Name: "__Host-x", Domain: "shop.test"}, []string{"Domain"}},
		{"Host with Path", middleware.Config{Name: "__Host-x", Path: "/a"}, []string{"Path"}},
		{"Host without Secure", middleware.Config{Name: "__Host-x", Insecure: true}, []string{"Insecure"}},
		{"Host with all three", middleware.Config{Name: "__Host-x", Domain: "shop.test", Path: "/a", Insecure: true}, []string{"Domain", "Path", "Insecure"}},
		{"host in lower case", middleware.Config{Name: "__host-x"}, []string{"__Host-"}},
		{"host in upper case with Domain", middleware.Config{Name: "__HOST-x", Domain: "shop.test"}, []string{"Domain", "__Host-"}},
		{"host in mixed case with Path", middleware.Config{Name: "__hOsT-x", Path: "/a"}, []string{"Path", "__Host-"}},
		{"host in lower case without Secure", middleware.Config{Name: "__host-x", Insecure: true}, []string{"Insecure", "__Host-"}},
		{"Secure without Secure", middleware.Config{Name: "__Secure-x", Insecure: true}, []string{"Insecure"}},
		{"secure in lower case", middleware.Config{Name: "__secure-x"}, []string{"__Secure-"}},
		{"secure in lower case without Secure", middleware.Config{Name: "__SECURE-x", Insecure: true}, []string{"Insecure", "__Secure-"}},
		{"Http without Secure", middleware.Config{Name: "__Http-x", Insecure: true}, []string{"Insecure"}},
		{"http in lower case", middleware.Config{Name: "__http-x"}, []string{"__Http-"}},
		{"Host-Http without Secure", middleware.Config{Name: "__Host-Http-x", Insecure: true}, []string{"Insecure"}},
		{"Host-Http with Domain", middleware.Config{Name: "__Host-Http-x", Domain: "shop.test"}, []string{"Domain"}},
		{"Host-Http with Path", middleware.Config{Name: "__Host-Http-x", Path: "/a"}, []string{"Path"}},
		{"host-http in lower case", middleware.Config{Name: "__host-http-x"}, []string{"__Host-Http-"}},
		{"SameSite None without Secure", middleware.Config{SameSite: http.SameSiteNoneMode, Insecure: true}, []string{"SameSite"}},
		{"SameSite unset on purpose", middleware.Config{SameSite: http.SameSiteDefaultMode}, []string{"SameSite"}},
		{"SameSite unknown", middleware.Config{SameSite: 99}, []string{"SameSite"}},
		{"SameSite negative", middleware.Config{SameSite: -1}, []string{"SameSite"}},
		{"Partitioned without Secure", middleware.Config{Partitioned: true, Insecure: true}, []string{"Partitioned"}},
		{"Path relative", middleware.Config{Path: "shop"}, []string{"Path"}},
		{"Path with a semicolon", middleware.Config{Path: "/a; Domain=evil.test"}, []string{"Path"}},
		{"Path with a line break", middleware.Config{Path: "/a\r\nX: y"}, []string{"Path"}},
		{"Path with a tab", middleware.Config{Path: "/a\tb"}, []string{"Path"}},
		{"Path with NUL", middleware.Config{Path: "/a\x00"}, []string{"Path"}},
		{"Path with DEL", middleware.Config{Path: "/a\x7f"}, []string{"Path"}},
		{"Path beyond ASCII", middleware.Config{Path: "/ä"}, []string{"Path"}},
		{"Domain with a port", middleware.Config{Domain: "shop.test:8080"}, []string{"Domain"}},
		{"Domain with a scheme", middleware.Config{Domain: "https://shop.test"}, []string{"Domain"}},
		{"Domain with a path", middleware.Config{Domain: "shop.test/a"}, []string{"Domain"}},
		{"Domain with a semicolon", middleware.Config{Domain: "shop.test; Secure"}, []string{"Domain"}},
		{"Domain with a line break", middleware.Config{Domain: "shop.test\r\nX: y"}, []string{"Domain"}},
		{"Domain with a space", middleware.Config{Domain: " shop.test"}, []string{"Domain"}},
		{"Domain beyond ASCII", middleware.Config{Domain: "shöp.test"}, []string{"Domain"}},
		{"Domain with an empty label", middleware.Config{Domain: "shop..test"}, []string{"Domain"}},
		{"Domain of a dot", middleware.Config{Domain: "."}, []string{"Domain"}},
		{"Domain with two dots first", middleware.Config{Domain: "..shop.test"}, []string{"Domain"}},
		{"Domain of IPv6", middleware.Config{Domain: "::1"}, []string{"Domain"}},
		{"Name that leaves no room for the value", middleware.Config{Name: strings.Repeat("n", 4096-45+1)}, []string{"Name"}},
		{"everything", middleware.Config{
			Name: "__host-x y", Domain: "a b", Path: "x;", SameSite: http.SameSiteNoneMode, Partitioned: true, Insecure: true,
		}, []string{"Name", "Domain", "Path", "Insecure", "__Host-", "SameSite", "Partitioned", "Path", "Domain"}},
	}
	for name, bad := range map[string]string{
		"space": "a b", "equals sign": "a=b", "semicolon": "a;b", "comma": "a,b", "quote": `a"b`, "line break": "a\r\nb", "tab": "a\tb",
		"NUL": "a\x00b", "DEL": "a\x7f", "beyond ASCII": "ä", "brackets": "a[b]", "braces": "a{b}", "parentheses": "a(b)", "angles": "a<b>",
		"slash": "a/b", "backslash": `a\b`, "colon": "a:b", "at": "a@b", "question mark": "a?b", "space alone": " ", "space behind": "a ",
	} {
		cases = append(cases, refused{"Name with " + name, middleware.Config{Name: bad}, []string{"token"}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mw, err := middleware.New(m, c.cfg)
			require.True(t, mw == nil, "built")
			var config *session.ConfigError
			require.ErrorAs(t, err, &config)
			require.Len(t, config.Problems, len(c.problems), "%v", err)
			for i, want := range c.problems {
				require.ErrorContains(t, config.Problems[i], want)
				require.ErrorContains(t, err, config.Problems[i].Error(), "all problems are in the text")
			}

			mw, err = middleware.New(nil, c.cfg)
			require.Nil(t, mw)
			require.ErrorAs(t, err, &config)
			require.Len(t, config.Problems, len(c.problems)+1)
			require.ErrorContains(t, err, "manager")
		})
	}
	t.Run("no manager", func(t *testing.T) {
		t.Parallel()
		_, err := middleware.New(nil, middleware.Config{})
		var config *session.ConfigError
		require.True(t, errors.As(err, &config))
		require.Len(t, config.Problems, 1)
	})
}

// TestAllowedConfigs: what is sound is built.
func TestAllowedConfigs(t *testing.T) {
	t.Parallel()
	m := gateManager(t)
	for name, cfg := range map[string]middleware.Config{
		"zero":                    {},
		"Host":                    {Name: "__Host-x"},
		"Host with Path /":        {Name: "__Host-x", Path: "/"},
		"Secure with Domain":      {Name: "__Secure-x", Domain: "shop.test", Path: "/a"},
		"Http with Domain":        {Name: "__Http-x", Domain: "shop.test"},
		"Host-Http":               {Name: "__Host-Http-x"},
		"None and Partitioned":    {SameSite: http.SameSiteNoneMode, Partitioned: true},
		"Partitioned with Domain": {Domain: "shop.test", Partitioned: true},
		"Strict, insecure":        {SameSite: http.SameSiteStrictMode, Insecure: true},
		"insecure with Domain":    {Insecure: true, Domain: "shop.test", Path: "/a"},
		"no prefix":               {Name: "id", Domain: "shop.test", Path: "/a"},
		"prefix elsewhere":        {Name: "x__host-", Insecure: true},
		"almost a prefix":         {Name: "__host", Insecure: true, Domain: "shop.test"},
		"Domain of IPv4":          {Domain: "192.0.2.1"},
		"Domain of one label":     {Domain: "intranet"},
		"longest name":            {Name: strings.Repeat("n", 4096-45)},
		"all of a token":          {Name: "!#$%&'*+-.^_`|~09azAZ"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mw, err := middleware.New(m, cfg)
			require.NoError(t, err)
			require.NotNil(t, mw)
		})
	}
}
