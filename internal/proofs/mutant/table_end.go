package mutant

// The bugs of libraries in how sessions end.

var ofEnds = []Mutant{
	{
		Name:      "failed logout is a logout",
		Bug:       "Destroy does not look at what the store has answered",
		Published: "Django's cached_db: a deletion from the cache that fails is no error",
		Suffered:  "The session lives on for whoever has the cookie",
		Edits: []Edit{{"verbs.go", `		err = storeError("delete", s.m.store.Delete(ctx, s.key))
	}
	remove`, `		_ = s.m.store.Delete(ctx, s.key)
	}
	remove`}},
		Killers: []Killer{scenario("TestLogoutFails")},
	},
	{
		Name:      "logout in the browser only",
		Bug:       "Destroy removes the cookie, and not the record",
		Published: "gorilla/sessions CookieStore and iron-session: a sealed cookie is good after the logout",
		Suffered:  "A cookie that was copied before the logout works after it",
		Edits: []Edit{{"verbs.go", `		err = storeError("delete", s.m.store.Delete(ctx, s.key))
	}
	remove`, `	}
	remove`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "revocation misses a login",
		Bug:       "a login that is under way while its owner is revoked goes through",
		Published: "better-auth #11073",
		Suffered:  "Who knew the old password is logged in after it was changed and all sessions were revoked",
		Edits:     []Edit{{"revocation.go", `	if err == nil && (version == noted.version || version == 0) {`, `	if err == nil && version != -1 {`}},
		Killers:   []Killer{scenario("TestRevokedDuringALogin")},
	},
	{
		Name:      "rotation moves the end",
		Bug:       "a rotation starts the absolute lifetime anew",
		Published: "scs (RenewToken)",
		Suffered:  "A session that rotates now and then never ends",
		Edits: []Edit{{buildFile, `		out.cred = s.nextCred
`, `		out.cred = s.nextCred
		meta.Deadline = now + s.m.cfg.Lifetime.Milliseconds()
`}},
		Killers: []Killer{scenario("TestAbsoluteEnd")},
	},
	{
		Name:      "activity moves the end",
		Bug:       "activity lengthens a session beyond its absolute end",
		Published: "tower-sessions: there is one limit, and OnInactivity moves it",
		Suffered:  "A stolen cookie that is used often enough is good for ever",
		Edits:     []Edit{{buildFile, `	return min(max(now+meta.Idle, last), end(meta))`, `	return max(now+meta.Idle, last)`}},
		Killers:   []Killer{scenario("TestAbsoluteEnd")},
	},
}
