package session_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"

	"github.com/typedsession/session"
	"github.com/typedsession/session/middleware"
	"github.com/typedsession/session/store/memory"
)

// visit serves handler behind the middleware and lets one visitor, with one
// cookie jar, get each path.
func visit(handler http.HandlerFunc, paths ...string) {
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		panic(err)
	}
	sessions, err := middleware.New(manager, middleware.Config{Insecure: true})
	if err != nil {
		panic(err)
	}
	server := httptest.NewServer(sessions.Handler(handler))
	defer server.Close()
	jar, _ := cookiejar.New(nil)
	client := &http.Client{Jar: jar}
	for _, path := range paths {
		resp, err := client.Get(server.URL + path)
		if err != nil {
			panic(err)
		}
		_ = resp.Body.Close()
	}
}

func ExampleKey() {
	Theme := session.Key[string]("theme").WithDefault("light")

	visit(func(_ http.ResponseWriter, r *http.Request) {
		theme, err := Theme.Get(r.Context())
		fmt.Println(r.URL.Path, theme, err)
		if err := Theme.Set(r.Context(), "dark"); err != nil {
			fmt.Println(err)
		}
	}, "/first", "/second")
	// Output:
	// /first light <nil>
	// /second dark <nil>
}

func ExampleTyped_Update() {
	Cart := session.Key[map[string]int]("cart")

	visit(func(_ http.ResponseWriter, r *http.Request) {
		cart, err := Cart.Update(r.Context(), func(cart *map[string]int) error {
			if (*cart)["tea"] == 2 {
				return errors.New("two at most")
			}
			(*cart)["tea"]++ // an absent map is empty, not nil
			return nil
		})
		fmt.Println(cart, err)
	}, "/add", "/add", "/add")
	// Output:
	// map[tea:1] <nil>
	// map[tea:2] <nil>
	// map[] two at most
}

func ExampleTyped_GetOrSet() {
	Group := session.Key[string]("test group")
	drawn := 0

	visit(func(_ http.ResponseWriter, r *http.Request) {
		group, err := Group.GetOrSet(r.Context(), func() (string, error) {
			drawn++
			return fmt.Sprintf("group %d", drawn), nil
		})
		fmt.Println(group, err)
	}, "/", "/", "/")
	// Output:
	// group 1 <nil>
	// group 1 <nil>
	// group 1 <nil>
}

func ExampleTyped_Take() {
	Flash := session.Key[string]("flash")

	visit(func(_ http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/save":
			_ = Flash.Set(r.Context(), "Saved.")
		default:
			message, ok, err := Flash.Take(r.Context())
			fmt.Printf("%q %t %v\n", message, ok, err)
		}
	}, "/save", "/", "/")
	// Output:
	// "Saved." true <nil>
	// "" false <nil>
}

func ExampleSession_Login() {
	visit(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		s := session.FromContext(ctx)
		switch r.URL.Path {
		case "/login": // after the password has been checked
			if err := s.Login(ctx, "user-42"); err != nil {
				fmt.Println(err)
			}
		case "/logout":
			if err := s.Destroy(ctx); err != nil {
				fmt.Println(err)
			}
		}
		info, err := s.Info(ctx)
		fmt.Printf("%s %q %v\n", r.URL.Path, info.Owner, err)
	}, "/", "/login", "/", "/logout", "/")
	// Output:
	// / "" <nil>
	// /login "user-42" <nil>
	// / "user-42" <nil>
	// /logout "" <nil>
	// / "" <nil>
}

func ExampleNewScope() {
	var (
		Admin   = session.NewScope("admin")
		Visits  = session.Key[int]("visits")
		Reviews = session.Key[int]("visits").In(Admin)
	)
	store := memory.New() // one store is enough

	visitors, err := session.NewManager(session.Config{Store: store})
	if err != nil {
		panic(err)
	}
	admins, err := session.NewManager(session.Config{Store: store, Scope: Admin})
	if err != nil {
		panic(err)
	}
	// Each manager has a middleware with a cookie of its own; here they are left out.
	ctx := session.NewContext(context.Background(), visitors.Open(session.Opening{}))
	ctx = session.NewContext(ctx, admins.Open(session.Opening{}))

	_ = Visits.Set(ctx, 1)
	_ = Reviews.Set(ctx, 2)
	fmt.Println(Visits.Value(ctx), Reviews.Value(ctx))
	// Output:
	// 1 2
}

// A handler that lives long saves its work as it goes, and looks again at what
// other requests have changed.
func ExampleSession_Reload() {
	Progress := session.Key[int]("progress")
	manager, err := session.NewManager(session.Config{Store: memory.New()})
	if err != nil {
		panic(err)
	}
	request := func(cookie ...string) (context.Context, *session.Session) {
		s := manager.Open(session.Opening{Credentials: cookie})
		return session.NewContext(context.Background(), s), s
	}
	ctx, s := request()
	_ = Progress.Set(ctx, 10)
	fmt.Println("reload:", s.Reload(ctx))
	fmt.Println("save:", s.Save(ctx))
	ticket, err := manager.Commit(ctx, s) // the response begins
	fmt.Println("commit:", err)

	other, t := request(ticket.Credential())
	_, _ = Progress.Update(other, func(n *int) error { *n += 5; return nil })
	_, _ = manager.Commit(other, t)

	fmt.Println("before:", Progress.Value(ctx))
	fmt.Println("reload:", s.Reload(ctx))
	fmt.Println("after:", Progress.Value(ctx))
	// Output:
	// reload: session: there are unsaved changes: call Save first
	// save: <nil>
	// commit: <nil>
	// before: 10
	// reload: <nil>
	// after: 15
}

func ExampleSession_Save() {
	Credits := session.Key[int]("credits").WithDefault(10)

	visit(func(_ http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if _, err := Credits.Update(ctx, func(n *int) error { *n -= 4; return nil }); err != nil {
			fmt.Println(err)
		}
		// The result of Update is provisional: another request may be spending too.
		if err := session.FromContext(ctx).Save(ctx); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("committed:", Credits.Value(ctx))
	}, "/spend", "/spend")
	// Output:
	// committed: 6
	// committed: 2
}
