package mutant

// The bugs of libraries in what a commit does.

const commitFile = "commit.go"

var ofCommits = []Mutant{
	{
		Name:      "whole session written back",
		Bug:       "after a conflict the session is stored as this request knows it, on top of the newer version",
		Published: "scs #45; Django, Rails, Laravel, express-session, tower-sessions; aspnet/Session #60, #72 (by design)",
		Suffered:  "51 increments, 50 of them at once, ended at 2",
		Edits: []Edit{{commitFile, `		stale = got.Version != cur.Version
`, ``}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "save that creates",
		Bug:       "a commit that finds no record inserts one under the same key",
		Published: "scs with an idle timeout; fiber and lstoll/session by default; express-session; vert-x3/vertx-web #2771",
		Suffered:  "A request in flight during a logout brings the session back, logged in",
		Edits: []Edit{{commitFile, `			return outcome{}, l.gone()
		case errors.Is(err, store.ErrRefused):`, `			if err := s.m.store.Insert(ctx, s.key, out.rec); err != nil {
				return outcome{}, l.gone()
			}
			return out, nil
		case errors.Is(err, store.ErrRefused):`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "new id for a missing record",
		Bug:       "a commit that finds no record makes a new session of what it has",
		Published: "rails/activerecord-session_store",
		Suffered:  "After a logout the browser holds a fresh id for stale data",
		Edits: []Edit{{commitFile, `			return outcome{}, l.gone()
		case errors.Is(err, store.ErrRefused):`, `			s.isNew, s.base = true, record.Meta{}
			return s.insert(ctx, b)
		case errors.Is(err, store.ErrRefused):`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "missing record is success",
		Bug:       "a commit that finds no record passes for one that was done",
		Published: "spring-projects/spring-session #1031; tower-sessions on Redis",
		Suffered:  "What was changed is gone, and nobody is told",
		Edits: []Edit{{commitFile, `			return outcome{}, l.gone()
		case errors.Is(err, store.ErrRefused):`, `			return out, nil
		case errors.Is(err, store.ErrRefused):`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "versions that count",
		Bug:       "a commit's version is the one before it and one more",
		Published: "The prototype of this library: counters repeat after a failover that lost the last write",
		Suffered:  "A swap that was stale succeeded and wiped out an update",
		Edits: []Edit{{commitFile, `		s.commitID = newVersion()
	}
	out, err := s.send(ctx, b)`, `		s.commitID = s.rec.Version + 1
	}
	out, err := s.send(ctx, b)`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "applied twice",
		Bug:       "a commit whose answer was lost does not find out that it was done, and is done again",
		Published: "redis/go-redis with MaxRetries 3 and versions that count",
		Suffered:  "800 acknowledged increments became 821 to 831",
		Edits: []Edit{{commitFile, `	before := 0 // where the version it replaced is in view.Recent
	if got.Version`, `	before := 0 // where the version it replaced is in view.Recent
	if true {
		return outcome{}, false
	}
	if got.Version`}},
		Killers: []Killer{scenario("TestLostAnswer"), faultyHistories()},
	},
	{
		Name:      "torn rotation",
		Bug:       "a rotation deletes the record and creates another one",
		Published: "scs; express-session #923, #425; spring-projects/spring-session #1270, #2281; tower-sessions (cycle_id)",
		Suffered:  "A request in flight is logged out, or revives the id from before the login",
		Edits: []Edit{{commitFile, `		got, err := s.m.store.Swap(ctx, s.key, cur.Version, out.rec)
`, `		if out.cred != nil {
			moved := credential{key: newCredential().key, secret: out.cred.secret}
			if err := s.m.store.Delete(ctx, s.key); err != nil {
				return outcome{}, storeError("delete", err)
			}
			out.cred, s.key = &moved, moved.storeKey(&s.m.scopeHash)
			if err := s.m.store.Insert(ctx, s.key, out.rec); err != nil {
				return outcome{}, storeError("insert", err)
			}
			return out, nil
		}
		got, err := s.m.store.Swap(ctx, s.key, cur.Version, out.rec)
`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "rotation in two writes",
		Bug:       "a rotation first stores the new secret, then the grace of the old one and the rest",
		Published: "questdb #7235: fields that were written apart broke the grace window",
		Suffered:  "A request between the two writes is answered as logged out",
		Edits: []Edit{{commitFile, `		got, err := s.m.store.Swap(ctx, s.key, cur.Version, out.rec)
`, `		if view, err := record.Parse(out.rec.Data); err == nil && out.cred != nil {
			meta, half := view.Meta, out.rec
			meta.Prev, half.Version = record.Prev{}, newVersion()
			half.Data = record.Encode(&meta, cur.Version, env.Values, &record.Edits{})
			if _, err := s.m.store.Swap(ctx, s.key, cur.Version, half); err == nil {
				cur.Version = half.Version
			}
		}
		got, err := s.m.store.Swap(ctx, s.key, cur.Version, out.rec)
`}},
		Killers: []Killer{histories(), schedules()},
	},
}

// The bugs of libraries in what they make of answers that are lost.
var ofAnswers = []Mutant{
	{
		Name:      "newest state after a lost answer",
		Bug:       "a commit that finds out that it was done shows what is stored by then",
		Published: "The prototype of this library, by a linearizability checker",
		Suffered:  "Two requests report one and the same committed value, such as a ticket's number",
		Edits: []Edit{{commitFile, `			return was, l.knows(was)
`, `			was.rec = got
			return was, nil
`}},
		Killers: []Killer{scenario("TestLostAnswer")},
	},
	{
		Name:      "destroyed for certain",
		Bug:       "a commit without an answer whose record is gone by then says that it had no effect",
		Published: "The prototype of this library, by a linearizability checker",
		Suffered:  "A change that others have seen is reported as one that never was",
		Edits: []Edit{{commitFile, `	if l.ambiguous { // it may have been seen before it went
`, `	if false {
`}},
		Killers: []Killer{scenario("TestLostAnswerOfASessionThatIsGone"), faultyHistories()},
	},
	{
		Name:      "same id after an unknown outcome",
		Bug:       "a request goes on after an unknown outcome, and commits more under the same version",
		Published: "The prototype of this library, by a linearizability checker",
		Suffered:  "What was added is lost: it passes for applied already",
		Edits:     []Edit{{"verbs.go", ` || isOurs(err, ErrUnknown)`, ``}},
		Killers:   []Killer{scenario("TestUnknownOutcomeIsTheEnd")},
	},
	{
		Name:      "ignored read failure",
		Bug:       "a load that fails opens an empty session",
		Published: "express-session, ASP.NET Core, gin-contrib/sessions (load errors are logged only)",
		Suffered:  "Users look logged out while the store has trouble, and then overwrite their sessions",
		Edits: []Edit{{"open.go", `	if err != nil {
		return found{}, storeError("load", err)
	}
	if f.view, err`, `	if err != nil {
		return found{}, nil
	}
	if f.view, err`}},
		Killers: []Killer{scenario("TestLoadFails"), faultyHistories()},
	},
	{
		Name:      "commit under the request's context",
		Bug:       "the commit ends when the client goes away",
		Published: "Every middleware that saves with the request's context",
		Suffered:  "Who leaves the page early loses what was done",
		Edits: []Edit{{"transport.go", `	err := s.flush(work)
`, `	err := s.flush(ctx)
`}},
		Killers: []Killer{scenario("TestClientGoesAway")},
	},
}
