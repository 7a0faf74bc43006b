package session_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store"
	"github.com/typedsession/session/store/memory"
)

func TestConfigThatIsRefused(t *testing.T) {
	t.Parallel()
	past, far := time.Now().Add(-time.Hour), time.Now().Add(48*time.Hour)
	for name, test := range map[string]struct {
		change func(cfg *session.Config)
		says   string
	}{
		"no store":             {func(cfg *session.Config) { cfg.Store = nil }, "no Store: for a first try, memory.New()"},
		"nil memory store":     {func(cfg *session.Config) { cfg.Store = (*memory.Store)(nil) }, "Store is a nil *memory.Store"},
		"nil spy":              {func(cfg *session.Config) { cfg.Store = (*spy.Store)(nil) }, "Store is a nil *spy.Store"},
		"negative lifetime":    {func(cfg *session.Config) { cfg.Lifetime = -time.Hour }, "Lifetime of -1h0m0s"},
		"tiny lifetime":        {func(cfg *session.Config) { cfg.Lifetime = time.Millisecond - 1 }, "Lifetime of 999.999µs"},
		"negative grace":       {func(cfg *session.Config) { cfg.Grace = -1 }, "Grace of -1ns"},
		"tiny grace":           {func(cfg *session.Config) { cfg.Grace = time.Microsecond }, "Grace of 1µs"},
		"negative rotation":    {func(cfg *session.Config) { cfg.MinRotate = -1 }, "MinRotate of -1ns"},
		"rotation below grace": {func(cfg *session.Config) { cfg.MinRotate = 29 * time.Second }, "MinRotate of 29s is shorter than Grace of 30s"},
		"negative timeout":     {func(cfg *session.Config) { cfg.Timeout = -1 }, "Timeout of -1ns"},
		"negative bytes":       {func(cfg *session.Config) { cfg.MaxBytes = -1 }, "MaxBytes of -1"},
		"too many bytes":       {func(cfg *session.Config) { cfg.MaxBytes = 1<<30 + 1 }, "MaxBytes of 1073741825: it must lie between 1 and 1073741824"},
		"negative keys":        {func(cfg *session.Config) { cfg.MaxKeys = -1 }, "MaxKeys of -1"},
		"too many keys":        {func(cfg *session.Config) { cfg.MaxKeys = 1<<20 + 1 }, "MaxKeys of 1048577"},
		"negative depth":       {func(cfg *session.Config) { cfg.MaxDepth = -1 }, "MaxDepth of -1"},
		"too much depth":       {func(cfg *session.Config) { cfg.MaxDepth = 1001 }, "MaxDepth of 1001"},
		"past end":             {func(cfg *session.Config) { cfg.Expiry = session.AtTime(past) }, "Expiry: the end " + past.UTC().Format(time.RFC3339) + " is not in the future"},
		"end beyond lifetime":  {func(cfg *session.Config) { cfg.Expiry = session.AtTime(far) }, "Expiry: the end " + far.UTC().Format(time.RFC3339) + " is beyond the lifetime"},
		"zero end":             {func(cfg *session.Config) { cfg.Expiry = session.AtTime(time.Time{}) }, "is not in the future"},
		"1970":                 {func(cfg *session.Config) { cfg.Expiry = session.AtTime(time.UnixMilli(0)) }, "is not in the future"},
		"no idle":              {func(cfg *session.Config) { cfg.Expiry = session.OnInactivity(0) }, "Expiry: the inactivity limit must be at least a millisecond"},
		"negative idle":        {func(cfg *session.Config) { cfg.Expiry = session.OnInactivity(-time.Hour) }, "Expiry: the inactivity limit must be at least a millisecond"},
		"tiny idle":            {func(cfg *session.Config) { cfg.Expiry = session.OnInactivity(time.Microsecond) }, "Expiry: the inactivity limit must be at least a millisecond"},
		"zero WithIdle":        {func(cfg *session.Config) { cfg.Expiry = session.OnSessionEnd().WithIdle(0) }, "Expiry: the inactivity limit must be at least a millisecond"},
		"zero of the zero":     {func(cfg *session.Config) { cfg.Expiry = session.Expiry{}.WithIdle(-1) }, "Expiry: the inactivity limit must be at least a millisecond"},
		"idle beyond lifetime": {func(cfg *session.Config) { cfg.Expiry = session.OnInactivity(25 * time.Hour) }, "Expiry: the inactivity limit of 25h0m0s is beyond the lifetime of 24h0m0s"},
		"two of an Expiry":     {func(cfg *session.Config) { cfg.Expiry = session.AtTime(past).WithIdle(0) }, "Expiry: the inactivity limit must be at least a millisecond\nthe end"},
		"scope name":           {func(cfg *session.Config) { cfg.Scope = session.NewScope("a b") }, `scope name "a b"`},
		"codec":                {func(cfg *session.Config) { cfg.Codec = codec{marshal: cutOff} }, "codec does not encode to JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := session.Config{Store: memory.New()}
			test.change(&cfg)
			m, err := session.NewManager(cfg)
			require.Nil(t, m)
			var config *session.ConfigError
			require.ErrorAs(t, err, &config)
			require.Len(t, config.Problems, 1, "%v", err)
			require.ErrorContains(t, config.Problems[0], test.says)
			require.True(t, strings.HasPrefix(err.Error(), "session: invalid configuration: "), err.Error())
			require.ErrorContains(t, err, test.says)
		})
	}
}

func TestEveryProblemAtOnce(t *testing.T) {
	t.Parallel()
	m, err := session.NewManager(session.Config{
		Codec:  codec{marshal: func(any) ([]byte, error) { return nil, errTest }},
		Expiry: session.AtTime(time.Now().Add(-time.Hour)).WithIdle(-1),
		Scope:  session.NewScope("ü"), Grace: -1, MinRotate: -2, Timeout: -1,
		MaxBytes: -1, MaxKeys: -1, MaxDepth: -1,
	})
	require.Nil(t, m)
	var config *session.ConfigError
	require.ErrorAs(t, err, &config)
	for _, says := range []string{
		"Store", "Grace of", "MinRotate of", "Timeout of", "MaxBytes of", "MaxKeys of", "MaxDepth of",
		"Expiry: the inactivity limit", "is not in the future", "scope name", "codec cannot encode",
	} {
		require.ErrorContains(t, err, says)
	}
	require.ErrorIs(t, err, errTest, "what the codec said is in there")
	for _, p := range config.Problems {
		require.ErrorIs(t, err, p)
	}
	require.Equal(t, config.Problems, config.Unwrap())
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	require.Equal(t, 24*time.Hour, session.DefaultLifetime)
	m := newManager(t)
	require.Equal(t, session.Scope{}, m.Scope())
	vis := newVisitor(t, m)
	before := time.Now()
	vis.request(func(ctx context.Context) { require.NoError(t, session.Key[int]("k").Set(ctx, 1)) })
	info := vis.info()
	require.Equal(t, session.OnSessionEnd(), info.Expiry)
	require.WithinDuration(t, before.Add(time.Hour), info.Expires, time.Minute)
}

func TestConfigThatIsAccepted(t *testing.T) {
	t.Parallel()
	soon := time.Now().Add(time.Hour)
	for name, change := range map[string]func(cfg *session.Config){
		"short lifetime":   func(cfg *session.Config) { cfg.Lifetime = time.Minute }, // shorter than the default idle
		"tiny":             func(cfg *session.Config) { cfg.Lifetime, cfg.Timeout = time.Millisecond, time.Millisecond },
		"long grace":       func(cfg *session.Config) { cfg.Grace = time.Hour }, // longer than the default MinRotate
		"grace = rotation": func(cfg *session.Config) { cfg.Grace, cfg.MinRotate = time.Second, time.Second },
		"least":            func(cfg *session.Config) { cfg.MaxBytes, cfg.MaxKeys, cfg.MaxDepth = 1, 1, 1 },
		"most":             func(cfg *session.Config) { cfg.MaxBytes, cfg.MaxKeys, cfg.MaxDepth = 1<<30, 1<<20, 1000 },
		"idle = lifetime":  func(cfg *session.Config) { cfg.Expiry = session.OnInactivity(24 * time.Hour) },
		"end":              func(cfg *session.Config) { cfg.Expiry = session.AtTime(soon) },
		"end and idle":     func(cfg *session.Config) { cfg.Expiry = session.AtTime(soon).WithIdle(time.Minute) },
		"zero with idle":   func(cfg *session.Config) { cfg.Expiry = session.Expiry{}.WithIdle(time.Minute) },
		"JSON":             func(cfg *session.Config) { cfg.Codec = session.JSON{} },
		"encoding/json":    func(cfg *session.Config) { cfg.Codec = codec{} },
		"scope":            func(cfg *session.Config) { cfg.Scope = session.NewScope("Admin-2_x") },
		"long scope":       func(cfg *session.Config) { cfg.Scope = session.NewScope(strings.Repeat("x", 64)) },
		"store value":      func(cfg *session.Config) { cfg.Store = valueStore{memory.New()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := session.Config{Store: memory.New()}
			change(&cfg)
			m, err := session.NewManager(cfg)
			require.NoError(t, err)
			require.Equal(t, cfg.Scope, m.Scope())
		})
	}
}

// valueStore is a store that is no pointer.
type valueStore struct{ store.Store }

func TestScopeNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"": true, "a": true, "A-z_09": true, strings.Repeat("s", 64): true,
		strings.Repeat("s", 65): false, " ": false, "a.b": false, "a:b": false, "a/b": false, "é": false, "a\x00": false, "\xff": false,
	} {
		_, err := session.NewManager(session.Config{Store: memory.New(), Scope: session.NewScope(name)})
		require.Equal(t, ok, err == nil, "%q: %v", name, err)
		require.Equal(t, name, session.NewScope(name).Name())
	}
	require.Equal(t, session.NewScope("a"), session.NewScope("a"))
	require.NotEqual(t, session.NewScope("a"), session.NewScope("b"))
	require.Equal(t, session.Scope{}, session.NewScope(""))
}

func TestExpiryIsAValue(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 5, 6, 7, 8, 9, 10_999_999, time.FixedZone("", 3600))
	for _, same := range [][2]session.Expiry{
		{session.Expiry{}, session.Expiry{}},
		{session.OnSessionEnd(), session.OnSessionEnd().WithIdle(time.Hour)},
		{session.OnSessionEnd().WithIdle(time.Minute), session.Expiry{}.WithIdle(time.Minute)},
		{session.OnInactivity(time.Minute), session.OnInactivity(time.Hour).WithIdle(time.Minute)},
		{session.AtTime(at), session.AtTime(at.UTC())},
		{session.AtTime(at), session.AtTime(at.Truncate(time.Millisecond))},
	} {
		require.True(t, same[0] == same[1], "%v and %v", same[0], same[1])
	}
	different := []session.Expiry{
		{},
		session.OnSessionEnd(), session.OnSessionEnd().WithIdle(time.Minute), session.OnInactivity(time.Hour),
		session.OnInactivity(time.Minute), session.AtTime(at), session.AtTime(at.Add(time.Millisecond)), session.AtTime(at).WithIdle(time.Hour),
	}
	texts := map[string]bool{}
	for i, a := range different {
		for j, b := range different {
			require.Equal(t, i == j, a == b, "%v and %v", a, b)
		}
		texts[a.String()] = true
	}
	require.GreaterOrEqual(t, len(texts), len(different)-1, "the texts tell them apart, but for a millisecond")
}

func TestExpiryString(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 5, 6, 7, 8, 9, 0, time.FixedZone("", 3600))
	for want, e := range map[string]session.Expiry{
		"default": {},
		"on session end or after 1h0m0s of inactivity":        session.OnSessionEnd(),
		"on session end or after 5m0s of inactivity":          session.OnSessionEnd().WithIdle(5 * time.Minute),
		"after 20m0s of inactivity":                           session.OnInactivity(20 * time.Minute),
		"at 2030-05-06T06:08:09Z":                             session.AtTime(at),
		"at 2030-05-06T06:08:09Z or after 1s of inactivity":   session.AtTime(at).WithIdle(time.Second),
		"on session end":                                      session.OnSessionEnd().WithIdle(-1),
		"at 2030-05-06T06:08:09Z or after 1.5s of inactivity": session.AtTime(at).WithIdle(1500 * time.Millisecond),
		"on session end or after 1000h0m0.001s of inactivity": session.Expiry{}.WithIdle(1000*time.Hour + time.Millisecond),
	} {
		require.Equal(t, want, e.String())
	}
}

// TestConfigErrorIsAnError: one problem reads as one sentence.
func TestConfigErrorIsAnError(t *testing.T) {
	t.Parallel()
	_, err := session.NewManager(session.Config{})
	require.Error(t, err)
	require.False(t, errors.Is(err, errTest))
	require.Equal(t, "session: invalid configuration: no Store: for a first try, memory.New()", err.Error())
}
