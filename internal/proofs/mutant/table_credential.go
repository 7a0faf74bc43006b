package mutant

// The bugs of libraries in what becomes of credentials.

var ofCredentials = []Mutant{
	{
		Name:      "save that rewrites the secret",
		Bug:       "a commit stores the secret that its request has loaded",
		Published: "spring-projects/spring-session JDBC: a save begun before the login writes the old id back and drops the row from the owner's index",
		Suffered:  "The login's cookie opens nothing, and the one from before the login opens the session again",
		Edits: []Edit{{buildFile, `	meta := env.Meta
	meta.Seq++
`, `	meta := env.Meta
	if cur.Version != 0 {
		meta.Secret = s.base.Secret
	}
	meta.Seq++
`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "login keeps the credential",
		Bug:       "Login does not rotate",
		Published: "gorilla/sessions #11 and iris #768 (there is no way to), and every library that leaves it to the user",
		Suffered:  "Session fixation: who has planted a cookie is logged in with its victim",
		Edits:     []Edit{{"verbs.go", `s.rotate, s.loginMark = rotateLogin, noted`, `s.loginMark = noted`}},
		Killers:   []Killer{histories(), schedules()},
	},
	{
		Name:      "id from the client",
		Bug:       "a new session takes the id that an unknown cookie names",
		Published: "CVE-2024-38513 (fiber before 2.52.5); rbcervilla/redisstore, flamego, zerodha/simplesessions, lstoll/session; Laravel",
		Suffered:  "Session fixation, and sessions that are shared on purpose",
		Edits: []Edit{
			{"open.go", `s.candidates, s.more, s.cred = 0, nil, credential{}`, `s.candidates, s.more = 0, nil`},
			{commitFile, `		cred := newCredential()
		env := record.View`, `		cred := s.cred
		if cred == (credential{}) {
			cred = newCredential()
		}
		env := record.View`},
		},
		Killers: []Killer{schedules(), scenario("TestUnknownCookie")},
	},
	{
		Name:      "no grace",
		Bug:       "a rotation forgets the secret before it",
		Published: "scs, express-session, tower-sessions (cycle_id): the old id is deleted; nightscout/nocturne #391",
		Suffered:  "Requests that were under way come back as logged out",
		Edits: []Edit{{buildFile, `			meta.Prev = record.Prev{Mode: record.ModeAlias, Hash: env.Secret, Until: now + s.m.cfg.Grace.Milliseconds()}
`, `			meta.Prev = record.Prev{}
`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "every rotation counts",
		Bug:       "of several rotations at once each one rotates",
		Published: "nightscout/nocturne #391",
		Suffered:  "The losers of a rotation are logged out",
		Edits:     []Edit{{buildFile, `s.rotate == rotateNone, !equalHash(&env.Secret, &s.presented):`, `s.rotate == rotateNone:`}, {buildFile, `s.rotate == rotateKeep && s.m.now()-env.Rotated`, `false && s.m.now()-env.Rotated`}},
		Killers:   []Killer{histories(), schedules()},
	},
	{
		Name:      "requests of before the login",
		Bug:       "a request that was opened before a login is replayed onto the session after it",
		Published: "express-session #923, #425; spring-projects/spring-session JDBC",
		Suffered:  "What somebody did who was not logged in happens in the name of who is",
		Edits: []Edit{{buildFile, `	if env.Epoch != s.base.Epoch {
		return outcome{}, ErrSuperseded
	}
`, ``}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "old credential reads on",
		Bug:       "the credential from before a login is as good as the new one for a while",
		Published: "scs; express-session #923, #425: a request in flight revives the id from before the login",
		Suffered:  "Who has planted a cookie has half a minute in the victim's account",
		Edits: []Edit{{"open.go", `		if v.Prev.Mode == record.ModeAlias {
			return matchCurrent
		}
		return matchFrozen
`, `		return matchCurrent
`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "cookie with every response",
		Bug:       "each response of a stored session sets the cookie again",
		Published: "auth0/nextjs-auth0 #2335, #544; scs with an idle timeout",
		Suffered:  "A slow answer undoes the logout, or the login, in the browser",
		Edits:     []Edit{{"transport.go", `	case s.issue && !over:`, `	case (s.issue || s.loaded && !s.isNew && !s.frozen) && !over:`}},
		Killers:   []Killer{histories(), schedules(), scenario("TestNoCookieWithoutNeed")},
	},
}
