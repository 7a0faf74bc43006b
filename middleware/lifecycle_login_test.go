package middleware_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/typedsession/session"
	"github.com/typedsession/session/internal/spy"
	"github.com/typedsession/session/store/memory"
)

func TestLogin(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(setTo(vCount, 1))
		began := v.info()
		require.Empty(t, began.Owner)
		require.True(t, began.LoggedIn.IsZero())
		time.Sleep(10 * time.Minute)

		anonymous := v.tab()
		sp.Calls()
		a := v.do(login("ada"), setTo(vName, "Ada"))
		a.requirePage(t)
		require.Equal(t, calls(spy.Load, spy.Swap), sp.Calls())
		require.Equal(t, 1, a.cookies)
		require.Equal(t, anonymous.key(), v.key())
		require.NotEqual(t, anonymous.credential(), v.credential())
		requireStored(v, vCount, 1)
		i := v.info()
		require.Equal(t, "ada", i.Owner)
		require.Equal(t, began.ID, i.ID)
		require.Equal(t, began.Created, i.Created)
		require.True(t, i.LoggedIn.Equal(time.Now()))

		// Again, however soon: another credential, the same values.
		first := v.tab()
		time.Sleep(time.Second)
		v.do(login("ada")).requirePage(t)
		require.NotEqual(t, first.credential(), v.credential())
		requireStored(v, vCount, 1)
		require.True(t, v.info().LoggedIn.Equal(time.Now()))

		// Another owner takes over nothing, not even of the same request.
		time.Sleep(time.Second)
		v.do(setTo(vOther, 1), login("eve"), setTo(vName, "Eve")).requirePage(t)
		require.Equal(t, []string{"name"}, keysOf(v))
		requireStored(v, vName, "Eve")
		require.Equal(t, "eve", v.info().Owner)
	})
}

// Two logins in one request: the later one counts, and there is one cookie.
func TestLoginTwice(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		a := v.do(login("ada"), setTo(vName, "Ada"), save, setTo(vOther, 1), login("eve"), increment(vOther))
		a.requirePage(t)
		require.Equal(t, 1, a.cookies)
		require.Equal(t, "eve", v.info().Owner)
		require.Equal(t, []string{"other"}, keysOf(v))
		requireStored(v, vOther, 1)
	})
}

// A login that the response drops changes nothing.
func TestLoginDropped(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(login("ada"), setTo(vCount, 1))
		a := v.doStatus(http.StatusInternalServerError, login("eve"))
		require.Zero(t, a.cookies)
		require.Equal(t, "ada", v.info().Owner)
		requireStored(v, vCount, 1)
	})
}

// After a change of privileges the old secret reads for a while what it could
// read before, and that is all.
func TestPromise3_OldSecretIsFrozen(t *testing.T) {
	for name, privilege := range map[string]visitStep{"login": login("ada"), "elevate": elevate} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
				v := site.known(login("ada"), setTo(vCount, 1))
				was := v.info()
				old := v.tab()
				time.Sleep(10 * time.Minute)
				v.do(privilege, setTo(vCount, 2), setTo(vName, "secret")).requirePage(t)
				v.do(setTo(vOther, 3)).requirePage(t) // a later one keeps the old view

				time.Sleep(session.DefaultGrace - time.Millisecond)
				requireStored(old, vCount, 1)
				require.Equal(t, []string{"count"}, keysOf(old))
				i := old.info()
				require.Equal(t, "ada", i.Owner)
				require.Equal(t, was.LoggedIn, i.LoggedIn)
				require.Equal(t, was.Created, i.Created)

				changes := changesOf()
				changes["Destroy"] = destroy
				delete(changes, "Login")
				delete(changes, "Reload")
				for verb, change := range changes {
					sp.Calls()
					a := old.do(change)
					require.ErrorIs(t, a.err, session.ErrSuperseded, verb)
					require.Zero(t, a.cookies, verb)
					require.Equal(t, calls(spy.Load), sp.Calls(), verb)
				}
				requireStored(v, vCount, 2)
				require.Equal(t, []string{"count", "name", "other"}, keysOf(v))

				time.Sleep(time.Millisecond)
				require.True(t, old.info().New)
				requireAbsent(old, vCount)
				old.do(setTo(vCount, 9)).requirePage(t)
				require.NotEqual(t, v.key(), old.key())
				requireStored(v, vCount, 2)
			})
		})
	}
}

// When a session becomes another owner's, the old secret reads nothing of the one
// before, nor does the store keep it: RevokeOwner could not take it away.
func TestPromise3_AnotherOwnerLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, sp *spy.Store) {
		v := site.known(login("ada"), setTo(vName, "confidential"))
		old := v.tab()
		var data []byte
		sp.Hook(func(_ context.Context, c *spy.Call) {
			if c.Next(); c.Op == spy.Swap {
				data = c.Arg.Data
			}
		})
		v.do(login("eve"), setTo(vCount, 2)).requirePage(t)
		require.NotContains(t, string(data), "confidential")
		require.NotContains(t, string(data), "ada")
		require.Empty(t, keysOf(old))
		require.Empty(t, old.info().Owner)
		require.True(t, old.info().LoggedIn.IsZero())
		a := old.do(setTo(vCount, 3))
		require.ErrorIs(t, a.err, session.ErrSuperseded, "it is no new visitor either")
		require.Zero(t, a.cookies)
		requireStored(v, vCount, 2)
	})
}

// What was begun before a login is refused, and its functions do not run again.
func TestWriteBeforeLogin(t *testing.T) {
	t.Parallel()
	for _, privilege := range []visitStep{login("ada"), elevate} {
		for name, change := range changesOf() {
			if name == "Login" || name == "Rotate" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
					v := site.known(setTo(vCount, 1))
					runs := 0
					slow := v.tab().hold(func(ctx context.Context) error {
						_, err := vName.Update(ctx, func(s *string) error { runs++; *s += "x"; return nil })
						return err
					}, change)
					v.do(privilege).requirePage(t)
					a := slow.finish()
					a.requireRefused(t, http.StatusConflict, session.ErrSuperseded)
					require.Equal(t, 1, runs)
					require.Equal(t, []string{"count"}, keysOf(v))
					requireStored(v, vCount, 1)
				})
			})
		}
	}
}

// A logout that began before a login still ends the session: it can only log
// out.
func TestDestroyBeforeLogin(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		slow := v.tab().hold(load(vCount), destroy)
		v.do(login("ada")).requirePage(t)
		slow.finish().requirePage(t)
		require.True(t, v.info().New)
	})
}

// A login never fails because another one was faster.
func TestParallelLogins(t *testing.T) {
	for name, owners := range map[string][2]string{"one owner": {"ada", "ada"}, "two owners": {"ada", "eve"}} {
		for _, prior := range []string{"", "ada", "bob"} {
			t.Run(name+" after "+prior, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					site := newVisitSite(t, memory.New())
					before := []visitStep{setTo(vCount, 1)}
					if prior != "" {
						before = append(before, login(prior), setTo(vCount, 1))
					}
					v := site.known(before...)
					late := v.tab() // with the old secret, after the first login
					slow := v.tab().hold(load(vCount), increment(vCount), login(owners[0]), setTo(vName, "slow"))
					v.do(login(owners[1]), setTo(vName, "quick")).requirePage(t)
					a := slow.finish()
					a.requirePage(t)
					require.Equal(t, 1, a.cookies)
					late.do(login(owners[0]), setTo(vName, "late")).requirePage(t)

					for who, w := range map[string]*visitor{"slow": slow.tab, "quick": v, "late": late} {
						requireStored(w, vName, who)
						owner := owners[0]
						if who == "quick" {
							owner = owners[1]
						}
						require.Equal(t, owner, w.info().Owner)
					}
					require.NotEqual(t, v.key(), slow.tab.key())
					require.NotEqual(t, v.key(), late.key())
					require.Equal(t, []string{"name"}, keysOf(late), "only its own values")
					own := []string{"count", "name"}
					if prior != "" && prior != owners[0] { // what was set before is the other owner's
						own = []string{"name"}
					}
					require.Equal(t, own, keysOf(slow.tab), "only its own values")
					if len(own) == 2 {
						requireStored(slow.tab, vCount, 1)
					}
				})
			})
		}
	}
}

// What another request stores for the owner before is not there for the next.
func TestLoginClearsConcurrentValues(t *testing.T) {
	t.Parallel()
	a, b := twoNodes(t)
	v := a.known(login("ada"), setTo(vCount, 1))
	slow := v.tab().hold(load(vCount), login("eve"), setTo(vName, "Eve"))
	v.at(b).do(setTo(vOther, 42), setTo(vName, "Ada")).requirePage(t)
	slow.finish().requirePage(t)
	require.Equal(t, []string{"name"}, keysOf(slow.tab))
	requireStored(slow.tab, vName, "Eve")
}

func TestElevate(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(login("ada"), setTo(vCount, 1), setExpiry(session.AtTime(time.Now().Add(3*time.Hour))))
		was := v.info()
		old := v.tab()
		time.Sleep(time.Hour)
		a := v.do(elevate, increment(vCount))
		a.requirePage(t)
		require.Equal(t, 1, a.cookies)
		require.Equal(t, 2*60*60, a.cookie.MaxAge, "the end stays")
		require.Equal(t, was, v.info())
		requireStored(v, vCount, 2)
		requireStored(old, vCount, 1)

		// Unlike a login, an elevation loses against another one.
		slow := v.tab().hold(elevate)
		v.do(elevate).requirePage(t)
		slow.finish().requireRefused(t, http.StatusConflict, session.ErrSuperseded)
		requireStored(v, vCount, 2)
	})
}

func TestOwnerRefused(t *testing.T) {
	bubble(t, func(t *testing.T, site *visitSite, _ *spy.Store) {
		v := site.known(setTo(vCount, 1))
		for _, owner := range []string{"", "a\x00b", "\xff", string(make([]byte, 256))} {
			a := v.do(login(owner))
			require.Error(t, a.err)
			require.Zero(t, a.cookies)
			require.Empty(t, v.info().Owner)
		}
	})
}
