package session_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

// TestErrorTexts: each names its key, field or limit, and says what to do where
// there is something.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		`session: "a", "b\n" changed since this request read it: use Update or GetOrSet instead of Get and Set`: &session.ConflictError{Keys: []string{"a", "b\n"}},
		`session: change of "k" on fresh data: a failure made by the test`:                                      &session.ReplayError{Key: "k", Err: errTest},
		`session: value of "k": a failure made by the test`:                                                     &session.ValueError{Key: "k", Err: errTest},
		`session: 6 levels of nesting in a value, at most 5 are allowed (key "k")`:                              &session.LimitError{Limit: session.LimitDepth, Key: "k", Max: 5, Got: 6},
		`session: 1001 keys in a session, at most 1000 are allowed`:                                             &session.LimitError{Limit: session.LimitKeys, Max: 1000, Got: 1001},
		`session: store: swap: a failure made by the test`:                                                      &session.StoreError{Op: "swap", Err: errTest},
		`session: invalid configuration: a failure made by the test; b`:                                         &session.ConfigError{Problems: []error{errTest, errors.New("b")}},
	} {
		require.Equal(t, want, err.Error())
	}
	texts := map[string]bool{}
	for _, err := range []error{
		session.ErrClosed, session.ErrInUpdate, session.ErrPending, session.ErrDestroyed, session.ErrSuperseded,
		session.ErrContention, session.ErrUnknown, session.ErrHeadersSent,
	} {
		require.True(t, strings.HasPrefix(err.Error(), "session: "), err.Error())
		texts[err.Error()] = true
	}
	require.Len(t, texts, 8)
	for limit, text := range map[session.Limit]string{
		session.LimitBytes: "bytes in a session", session.LimitKeys: "keys in a session", session.LimitDepth: "levels of nesting in a value",
		session.LimitName: "bytes in a key name", session.LimitOwner: "bytes in an owner", session.LimitChanges: "changes in a request",
	} {
		require.Contains(t, (&session.LimitError{Limit: limit}).Error(), text)
	}
}

func TestErrorsUnwrap(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&session.ReplayError{Key: "k", Err: errTest}, &session.ValueError{Key: "k", Err: errTest},
		&session.StoreError{Op: "load", Err: errTest}, &session.ConfigError{Problems: []error{errors.New("a"), errTest}},
	} {
		require.ErrorIs(t, err, errTest, "%T", err)
		require.ErrorIs(t, fmt.Errorf("wrapped: %w", err), errTest, "%T", err)
	}
	var conflict *session.ConflictError
	require.ErrorAs(t, fmt.Errorf("wrapped: %w", &session.ConflictError{Keys: []string{"k"}}), &conflict)
	require.Equal(t, []string{"k"}, conflict.Keys)
	var limit *session.LimitError
	require.ErrorAs(t, fmt.Errorf("wrapped: %w", &session.LimitError{Max: 7}), &limit)
	require.Equal(t, 7, limit.Max)
}

// TestLimits: a limit met is a typed error that says which and for what key, and
// nothing is lost.
func TestLimits(t *testing.T) {
	t.Parallel()
	s := memory.New()
	vis := newVisitor(t, newManager(t, on(s), func(cfg *session.Config) { cfg.MaxKeys, cfg.MaxBytes = 3, 200 }))
	text := session.Key[string]("text")
	vis.request(func(ctx context.Context) {
		for _, name := range []string{"a", "b"} {
			require.NoError(t, session.Key[int](name).Set(ctx, 1))
		}
	})
	vis.request(func(ctx context.Context) {
		long := strings.Repeat("x", 200)
		var limit *session.LimitError
		for _, err := range []error{
			text.Set(ctx, long),
			func() error {
				_, err := text.Update(ctx, func(s *string) error { *s = long; return nil })
				return err
			}(),
			func() error {
				_, err := text.GetOrSet(ctx, func() (string, error) { return long, nil })
				return err
			}(),
		} {
			require.ErrorAs(t, err, &limit)
			require.Equal(t, session.LimitBytes, limit.Limit)
			require.Equal(t, 200, limit.Max)
			require.Greater(t, limit.Got, 200)
		}
		require.NoError(t, text.Set(ctx, "fits"))
		requireLimit(t, session.Key[int]("c").Set(ctx, 1), session.LimitError{Limit: session.LimitKeys, Key: "c", Max: 3, Got: 4})
		require.NoError(t, session.Key[int]("a").Delete(ctx))
		require.NoError(t, session.Key[int]("c").Set(ctx, 1), "there is room again")
		require.NoError(t, session.Key[int]("c").Set(ctx, 2), "replacing needs none")
	})
	require.Equal(t, map[string]string{"b": "1", "c": "2", "text": `"fits"`}, vis.stored(s))
}

func TestManyChanges(t *testing.T) {
	t.Parallel()
	vis := newVisitor(t, newManager(t))
	vis.request(func(ctx context.Context) {
		for i := range 10_000 {
			require.NoError(t, session.Key[int]([]string{"a", "b"}[i%2]).Set(ctx, i))
		}
		_, err := session.Key[int]("a").Update(ctx, func(*int) error { return nil })
		requireLimit(t, err, session.LimitError{Limit: session.LimitChanges, Max: 10_000, Got: 10_001})
	})
	vis.request(func(ctx context.Context) { require.Equal(t, 9998, session.Key[int]("a").Value(ctx)) })
}

// TestStoreFailures is promise 6: a store failure is an error that names the
// operation, never an empty session.
func TestStoreFailures(t *testing.T) {
	t.Parallel()
	s := spy.Wrap(memory.New())
	vis := started(t, on(s))
	failing := func(op spy.Op) spy.Hook {
		return func(_ context.Context, c *spy.Call) {
			if c.Op == op {
				c.Err = errTest
				return
			}
			c.Next()
		}
	}
	s.Hook(failing(spy.Load))
	_, err := vis.try(func(ctx context.Context) {
		_, err := counter.Get(ctx)
		requireStoreError(t, "load", err)
		requireStoreError(t, "load", counter.Set(ctx, 5))
		_, err = session.FromContext(ctx).Info(ctx)
		requireStoreError(t, "load", err)
		_, err = session.FromContext(ctx).Keys(ctx)
		requireStoreError(t, "load", err)
	})
	requireStoreError(t, "load", err)

	s.Hook(failing(spy.Delete))
	_, err = vis.try(func(ctx context.Context) {
		requireStoreError(t, "delete", session.FromContext(ctx).Destroy(ctx))
	})
	requireStoreError(t, "delete", err)

	s.Hook(failing(spy.Insert))
	fresh := newVisitor(t, vis.m)
	_, err = fresh.try(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 5)) })
	require.ErrorIs(t, err, errTest)
	require.Empty(t, fresh.cookie)

	s.Hook(nil)
	vis.request(func(ctx context.Context) { require.Equal(t, 1, counter.Value(ctx)) })
}

func TestFinishWithoutCommit(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	vis := newVisitor(t, m)
	ctx, s := vis.open()
	require.NoError(t, counter.Set(ctx, 1))
	require.EqualError(t, m.Finish(ctx, s), "session: Finish without Commit: the changes are lost")
	for name, err := range map[string]error{
		"Set": counter.Set(ctx, 1), "Delete": counter.Delete(ctx), "Save": s.Save(ctx), "Reload": s.Reload(ctx), "Clear": s.Clear(ctx),
		"Login": s.Login(ctx, "ann"), "Elevate": s.Elevate(ctx), "Rotate": s.Rotate(ctx), "Destroy": s.Destroy(ctx), "SetExpiry": s.SetExpiry(ctx, session.Expiry{}),
	} {
		require.ErrorIs(t, err, session.ErrClosed, name)
	}
	_, err := counter.Get(ctx)
	require.ErrorIs(t, err, session.ErrClosed)
	_, err = s.Info(ctx)
	require.ErrorIs(t, err, session.ErrClosed)
	require.NoError(t, m.Finish(ctx, s), "a second time is no error")
}

func TestActionString(t *testing.T) {
	t.Parallel()
	for action, want := range map[session.Action]string{
		session.ActionNone: "none", session.ActionSet: "set", session.ActionRemove: "remove", 99: "none",
	} {
		require.Equal(t, want, action.String())
		require.Equal(t, want, fmt.Sprint(action))
	}
	var zero session.Action
	require.Equal(t, session.ActionNone, zero)
}

func TestTicket(t *testing.T) {
	t.Parallel()
	var zero session.Ticket
	require.Equal(t, session.ActionNone, zero.Action())
	require.Empty(t, zero.Credential())
	require.Zero(t, zero.Expires())
	require.False(t, zero.Persistent())

	vis := newVisitor(t, newManager(t))
	set := vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 1)) })
	require.Equal(t, session.ActionSet, set.Action())
	require.Regexp(t, `^[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{22}$`, set.Credential())
	require.WithinDuration(t, time.Now().Add(24*time.Hour), set.Expires(), time.Minute)
	require.Equal(t, session.ActionNone, vis.request(func(ctx context.Context) { require.NoError(t, counter.Set(ctx, 2)) }).Action())
	require.Equal(t, session.ActionNone, vis.request(func(context.Context) {}).Action())
	remove := vis.request(func(ctx context.Context) { require.NoError(t, session.FromContext(ctx).Destroy(ctx)) })
	require.Equal(t, session.ActionRemove, remove.Action())
	require.Empty(t, remove.Credential())
	require.Zero(t, remove.Expires())
}

// TestNothingPrintsACredential is promise 9, for all that a program could log.
func TestNothingPrintsACredential(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	vis := newVisitor(t, m)
	ticket := vis.request(func(ctx context.Context) { require.NoError(t, session.Key[string]("k").Set(ctx, "private-value")) })
	opening := session.Opening{Credentials: []string{vis.cookie}, Fresh: true}
	ctx, s := vis.open()
	require.Equal(t, "private-value", session.Key[string]("k").Value(ctx))
	for want, v := range map[string]any{
		"session.Ticket(set)":                         ticket,
		"session.Opening(1 credentials, fresh=true)":  opening,
		"session.Session":                             s,
		"session.Ticket(none)":                        session.Ticket{},
		"session.Opening(0 credentials, fresh=false)": session.Opening{},
	} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%T"} {
			requireSilent(t, vis.cookie, fmt.Sprintf(format, v))
		}
		require.Equal(t, want, fmt.Sprintf("%+v", v))
		text, err := json.Marshal(v)
		require.NoError(t, err)
		requireSilent(t, vis.cookie, string(text))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v)
		requireSilent(t, vis.cookie, log.String())
		require.Contains(t, log.String(), want)
	}
	for _, format := range []string{"%v", "%+v", "%#v"} {
		requireSilent(t, vis.cookie, fmt.Sprintf(format, ctx))
		requireSilent(t, vis.cookie, fmt.Sprintf(format, m))
	}
	require.Equal(t, "session.Session of scope \"admin\"",
		newManager(t, func(cfg *session.Config) { cfg.Scope = session.NewScope("admin") }).Open(session.Opening{}).String())
}

func requireSilent(t *testing.T, cookie, text string) {
	t.Helper()
	for _, part := range append(strings.Split(cookie, "."), "private-value") {
		require.NotContains(t, text, part)
	}
}
