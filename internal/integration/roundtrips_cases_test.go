package integration_test

import (
	"context"
	"net/http"
	"time"

	"github.com/typedsession/session"
)

// tripCase is a request and what it costs: in calls of the store, and in SQL
// statements. A swap is one of these, and three where an index changes, with the
// owner or a shorter life. redis and mongo are given where they differ from calls:
// Redis asks for a hint before a record gets an owner.
type tripCase struct {
	name              string
	calls, statements int
	redis, mongo      int
	marks             bool // more around midnight
	soon              bool // a touch is due after a tenth of tripSoonLife
	status            int  // 0: 200
	// setup brings about what the request finds. It is not counted.
	setup func(r *tripRig) page
}

// known makes the visitor one with a session.
func (r *tripRig) known(pages ...page) {
	r.t.Helper()
	r.visitor.must(r.node, writeNote("old"))
	for _, p := range pages {
		r.visitor.must(r.node, p)
	}
}

// in is a setup for a visitor with a session in which pages have run.
func in(request page, before ...page) func(r *tripRig) page {
	return func(r *tripRig) page {
		r.known(before...)
		return request
	}
}

// of is a setup for a visitor without a session.
func of(request page) func(r *tripRig) page { return func(*tripRig) page { return request } }

func doing(f func(s *session.Session, ctx context.Context) error) page {
	return func(ctx context.Context) (string, error) { return "", f(session.FromContext(ctx), ctx) }
}

func expiring(e session.Expiry) page {
	return doing(func(s *session.Session, ctx context.Context) error { return s.SetExpiry(ctx, e) })
}

func takeNote(ctx context.Context) (string, error) {
	text, _, err := note.Take(ctx)
	return text, err
}

func orNote(ctx context.Context) (string, error) {
	return note.GetOrSet(ctx, func() (string, error) { return "new", nil })
}

func orCart(ctx context.Context) (string, error) {
	_, err := cart.GetOrSet(ctx, func() ([]string, error) { return nil, nil })
	return "", err
}

func deleteNote(ctx context.Context) (string, error) { return "", note.Delete(ctx) }

func addNothing(ctx context.Context) (string, error) {
	return note.Update(ctx, func(*string) error { return nil })
}

func refuse(context.Context) (string, error) { return "", errHandler }

// disturbed lets the other node write between the read and the write of a request.
func (r *tripRig) disturbed(write page) page {
	return both(readNote, func(ctx context.Context) (string, error) {
		if a, err := r.visitor.do(r.other, writeNote("theirs")); err != nil || a.status != http.StatusOK {
			return "", errHandler
		}
		return write(ctx)
	})
}

var tripCases = []tripCase{
	{name: "untouched, no cookie", setup: of(untouched)},
	{name: "untouched", setup: in(untouched)},
	{name: "a session that is not used", setup: in(func(ctx context.Context) (string, error) {
		return session.FromContext(ctx).String(), nil
	})},
	{name: "a malformed cookie", setup: func(r *tripRig) page {
		r.visitor.present(r.node, "malformed")
		return readNote
	}},

	{name: "read, no cookie", setup: of(readNote)},
	{name: "read", calls: 1, statements: 1, setup: in(readNote)},
	{name: "read again and more", calls: 1, statements: 1, setup: in(both(both(readNote, readNote), both(readCount, readOwner)))},
	{name: "read what has ended", calls: 1, statements: 1, setup: func(r *tripRig) page {
		r.known()
		credential := r.visitor.credential(r.node)
		r.visitor.must(r.other, logOut)
		r.visitor.present(r.node, credential)
		return readNote
	}},
	{name: "read a value that is absent", calls: 1, statements: 1, setup: in(readCount)},
	{name: "read, touch not due", calls: 1, statements: 1, setup: in(readNote, readNote)},
	{name: "read, touch due", soon: true, calls: 2, statements: 2, setup: func(r *tripRig) page {
		r.known()
		<-time.After(tripSoonLife/10 + 20*time.Millisecond)
		return readNote
	}},
	{name: "read, touch was due", soon: true, calls: 1, statements: 1, setup: func(r *tripRig) page {
		r.known()
		<-time.After(tripSoonLife/10 + 20*time.Millisecond)
		r.visitor.must(r.other, readNote)
		return readNote
	}},

	{name: "the first write", calls: 1, statements: 1, setup: of(countUp)},
	{name: "the first write, of two keys", calls: 1, statements: 1, setup: of(both(countUp, writeNote("new")))},
	{name: "write", calls: 2, statements: 2, setup: in(countUp)},
	{name: "write again", calls: 2, statements: 2, setup: in(countUp, countUp)},
	{name: "write twice", calls: 2, statements: 2, setup: in(both(countUp, countUp))},
	{name: "write two keys", calls: 2, statements: 2, setup: in(both(countUp, writeNote("new")))},
	{name: "write what is there", calls: 1, statements: 1, setup: in(writeNote("old"))},
	{name: "Update to the same", calls: 1, statements: 1, setup: in(addNothing)},
	{name: "Save, and no more", calls: 2, statements: 2, setup: in(both(countUp, doing((*session.Session).Save)))},
	{name: "Save, and more", calls: 3, statements: 3, setup: in(both(both(countUp, doing((*session.Session).Save)), countUp))},
	{name: "Reload", calls: 2, statements: 2, setup: in(both(readNote, doing((*session.Session).Reload)))},
	{name: "Delete", calls: 2, statements: 2, setup: in(deleteNote)},
	{name: "Delete what is absent", calls: 1, statements: 1, setup: in(deleteNote, deleteNote)},
	{name: "Clear", calls: 2, statements: 2, setup: in(doing((*session.Session).Clear))},
	{name: "Take", calls: 2, statements: 2, setup: in(takeNote)},
	{name: "Take what is absent", calls: 1, statements: 1, setup: in(takeNote, takeNote)},
	{name: "GetOrSet", calls: 1, statements: 1, setup: in(orNote)},
	{name: "GetOrSet of what is absent", calls: 2, statements: 2, setup: in(orCart)},
	{name: "write, and fail", calls: 1, statements: 1, status: http.StatusInternalServerError, setup: in(both(countUp, refuse))},

	{name: "Rotate", calls: 2, statements: 2, setup: func(r *tripRig) page {
		r.known()
		<-time.After(5 * time.Millisecond) // MinRotate
		return rotate
	}},
	{name: "Elevate", calls: 2, statements: 2, setup: in(doing((*session.Session).Elevate))},
	{name: "a longer life", calls: 2, statements: 2, setup: in(expiring(session.OnInactivity(2 * tripLife)))},
	{name: "a shorter life", calls: 2, statements: 4, setup: in(expiring(session.OnInactivity(tripLife / 2)))},

	// A login looks for RevokeOwner before and after it is stored.
	{name: "login of a new visitor", calls: 3, statements: 3, redis: 4, setup: of(logIn("ada"))},
	{name: "login", calls: 4, statements: 6, redis: 6, setup: in(logIn("ada"))},
	{name: "login and write", calls: 4, statements: 6, redis: 6, setup: in(both(logIn("ada"), countUp))},
	{name: "login again", calls: 4, statements: 4, setup: in(logIn("ada"), logIn("ada"))},
	{name: "login of another owner", calls: 4, statements: 6, redis: 6, setup: in(logIn("bob"), logIn("ada"))},
	{name: "write after login", calls: 2, statements: 2, setup: in(countUp, logIn("ada"))},
	{name: "logout", calls: 2, statements: 2, setup: in(logOut, logIn("ada"))},
	{name: "logout, no cookie", setup: of(logOut)},
	{name: "logout with a farewell", calls: 3, statements: 3, setup: in(both(logOut, writeNote("bye")))},
	{name: "list an owner", calls: 1, statements: 1, redis: 2, setup: func(r *tripRig) page {
		r.known(logIn("list"))
		return func(ctx context.Context) (string, error) {
			for _, err := range r.node.manager.Sessions(ctx, "list") {
				if err != nil {
					return "", err
				}
			}
			return "", nil
		}
	}},
	{name: "revoke an owner", calls: 3, statements: 4, redis: 4, mongo: 4, marks: true, setup: func(r *tripRig) page {
		r.known(logIn("revoke"))
		return func(ctx context.Context) (string, error) { return "", r.node.manager.RevokeOwner(ctx, "revoke") }
	}},
	{name: "revoke an owner of nothing", calls: 3, statements: 3, marks: true, setup: func(r *tripRig) page {
		return func(ctx context.Context) (string, error) { return "", r.node.manager.RevokeOwner(ctx, "nobody") }
	}},

	// Another node was faster. What a store returns with a conflict need not be
	// loaded again.
	{name: "write again after a conflict", calls: 3, statements: 4, mongo: 4, setup: func(r *tripRig) page {
		r.known()
		return r.disturbed(countUp)
	}},
	{name: "a conflict", calls: 2, statements: 3, mongo: 3, status: http.StatusConflict, setup: func(r *tripRig) page {
		r.known()
		return r.disturbed(writeNote("mine"))
	}},
	{name: "Take after a conflict", calls: 3, statements: 4, mongo: 4, setup: func(r *tripRig) page {
		r.known()
		return r.disturbed(takeNote)
	}},
	{name: "write to what has ended", calls: 2, statements: 3, mongo: 3, status: http.StatusConflict, setup: func(r *tripRig) page {
		r.known()
		return both(readNote, func(ctx context.Context) (string, error) {
			b := newBrowser(r.t)
			b.present(r.other, r.visitor.credential(r.other))
			if a, err := b.do(r.other, logOut); err != nil || a.status != http.StatusOK {
				return "", errHandler
			}
			return countUp(ctx)
		})
	}},
}
