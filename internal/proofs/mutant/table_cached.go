package mutant

// The bugs of near caches, put into store/cached.

// ofCache is a test of the cache.
func ofCache(name string) Killer { return test("store/cached", name) }

var ofCaches = []Mutant{
	{
		Name:      "age counts from the answer",
		Bug:       "a copy is as old as the answer, not as the question",
		Published: "the usual meaning of a time to live: otter, ristretto, Moka",
		Suffered:  "With a limit of 20 ms and answers that took 15 ms, what was read was up to 45 ms old",
		Edits: []Edit{{
			"store/cached/flight.go", "e := newEntry(rec, o.sent) //", "e := newEntry(rec, s.now()) //",
		}},
		Killers: []Killer{ofCache("TestAgeCountsFromSending"), ofCache("TestStaleness")},
	},
	{
		Name:      "blind fill",
		Bug:       "the answer of a load is kept although the session was written or deleted meanwhile",
		Published: "better-auth #11230 (a cache is filled after all sessions were revoked)",
		Suffered:  "In a measurement a deleted session was served after 110 of 200 deletions",
		Edits: []Edit{{
			"store/cached/flight.go", "changed := f.changes != o.changes", "changed := false",
		}},
		Killers: []Killer{ofCache("TestOvertakenLoad"), ofCache("TestStaleness")},
	},
	{
		Name:      "deletion that the cache swallows",
		Bug:       "Delete drops the copy and does not tell that the store has failed",
		Published: "Django's cached_db, the other way round: a deletion from the cache that fails is no error",
		Suffered:  "The page says logged out, and the next node lets the visitor in",
		Edits: []Edit{{
			"store/cached/store.go", "return s.back.Delete(ctx, key)", "_ = s.back.Delete(ctx, key)\n\treturn nil",
		}},
		Killers: []Killer{ofCache("TestWhatWritesLeave")},
	},
	{
		Name:      "deletion past the cache",
		Bug:       "Delete leaves the copy where it is",
		Published: "tower-sessions' CachingSessionStore, on every node but the one that deletes",
		Suffered:  "A session is read after the logout for as long as it is in the cache",
		Edits: []Edit{{
			"store/cached/store.go", "w := s.beginWrite(key, unknown, absent, true)\n\tdefer s.endWrite(key, w, store.Record{})\n", "",
		}},
		Killers: []Killer{ofCache("TestWhatWritesLeave")},
	},
	{
		Name:      "change from an old copy",
		Bug:       "a request that changes the session starts from what the cache has",
		Published: "measured on a prototype: a Get and a Set, one after the other, on two nodes",
		Suffered:  "Requests that never met are refused as conflicts",
		Edits: []Edit{{
			"store/cached/load.go", "	l := s.beginLoad(sh, key)\n	sh.mu.Unlock()\n	return s.send(ctx, key, l, ask)",
			"	e := s.peek(key)\n	sh.mu.Unlock()\n	if e != nil && e.rec.Version != absent {\n		return s.hit(e)\n	}\n	sh.mu.Lock()\n	l := s.beginLoad(sh, key)\n	sh.mu.Unlock()\n	return s.send(ctx, key, l, ask)",
		}},
		Killers: []Killer{ofCache("TestLoadFresh"), cachedHistories()},
	},
}
