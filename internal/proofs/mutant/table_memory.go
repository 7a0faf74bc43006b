package mutant

// The bugs of stores, put into store/memory.

const (
	memoryFile = "store/memory/memory.go"
	ownerFile  = "store/memory/owner.go"
)

var ofMemory = []Mutant{
	{
		Name:      "upsert",
		Bug:       "Swap replaces whatever is there, and creates what is not",
		Published: "scs #45; gorilla/sessions, fiber, express-session, tower-sessions; aspnet/Session #60, #72",
		Suffered:  "Of two requests at once, one loses what it has changed; a logout is undone by a slow request",
		Edits: []Edit{{memoryFile, `	case e == nil:
		return store.Record{}, store.ErrNotFound
	case e.version == r.Version:
		return store.Record{}, nil // this very swap has been here before
	case e.version != old:
		return e.record(), store.ErrConflict
	}
`, `	case e == nil:
		if gone := sh.entries[*key]; gone != nil {
			s.remove(sh, gone)
		}
		e = &entry{key: *key}
		e.set(r)
		s.used.Add(size(r))
		sh.add(e)
		s.owners.add(e)
		return store.Record{}, nil
	}
`}},
		Killers: []Killer{law("swap refuses a stale version"), histories(), schedules()},
	},
	{
		Name:      "last write wins",
		Bug:       "Swap does not look at the version",
		Published: "Django, Rails, Laravel (their stores save whole sessions); express-session",
		Suffered:  "Of 50 increments at once, 49 are lost",
		Edits: []Edit{{memoryFile, `	case e.version != old:
		return e.record(), store.ErrConflict
	}
	if !s.reserve`, `	}
	if !s.reserve`}},
		Killers: []Killer{law("no increment is lost"), histories(), schedules()},
	},
	{
		Name:      "get then set",
		Bug:       "Swap looks at the version in one step and writes in another",
		Published: "Django's cache backend; auth0/nextjs-auth0 #2530, repaired in #2616",
		Suffered:  "The guard against a resurrected session let it through under load",
		Edits: []Edit{{memoryFile, `	if !s.reserve(size(r) - e.size()) {
`, `	sh.mu.Unlock()
	time.Sleep(50 * time.Microsecond)
	sh.mu.Lock()
	if e = sh.live(key, now); e == nil {
		return store.Record{}, store.ErrNotFound
	}
	if !s.reserve(size(r) - e.size()) {
`}},
		Killers: []Killer{law("one swap wins"), histories()},
	},
	{
		Name:      "swap that creates",
		Bug:       "Swap creates what is absent",
		Published: "rack/rack-session #24; vert-x3/vertx-web #2771; petergoldstein/dalli #1040; scs with an idle timeout",
		Suffered:  "A request in flight during a logout brings the session back, logged in",
		Edits: []Edit{{memoryFile, `	case e == nil:
		return store.Record{}, store.ErrNotFound
	case e.version == r.Version:
`, `	case e == nil:
		if gone := sh.entries[*key]; gone != nil {
			s.remove(sh, gone)
		}
		e = &entry{key: *key}
		e.set(r)
		s.used.Add(size(r))
		sh.add(e)
		s.owners.add(e)
		return store.Record{}, nil
	case e.version == r.Version:
`}},
		Killers: []Killer{law("swap creates nothing"), histories(), schedules()},
	},
	{
		Name:      "insert that replaces",
		Bug:       "Insert is a save: it replaces what is there",
		Published: "tower-sessions: create calls save by default; its stores for PostgreSQL and MySQL look, then upsert, that for MongoDB does neither (tower-sessions-stores #36)",
		Suffered:  "Two visitors whose ids collide share a session",
		Edits: []Edit{{memoryFile, `		if e.expires > now {
			return store.ErrExists
		}
`, ``}},
		Killers: []Killer{law("insert never replaces"), law("one insert wins")},
	},
	{
		Name:      "swallowed delete",
		Bug:       "Delete says that it has deleted, and does not",
		Published: "Django's cached_db backend: a failed deletion from the cache is no error",
		Suffered:  "A session that was logged out is still there",
		Edits: []Edit{{memoryFile, `	if e := sh.entries[key]; e != nil {
		s.remove(sh, e)
		if e.expires > now {`, `	if e := sh.entries[key]; e != nil {
		if e.expires > now {`}},
		Killers: []Killer{law("delete wins"), histories(), schedules()},
	},
	{
		Name:      "touch that writes data",
		Bug:       "Touch reads the record and writes all of it back",
		Published: "scs with an idle timeout: each GET rewrites the session",
		Suffered:  "A page that only reads undoes what another one has written meanwhile",
		Edits: []Edit{{memoryFile, `e.version == old && e.expires < ms {
		e.expires = ms
		sh.moved(e)
	}
`, `e.version == old && e.expires < ms {
		whole := e.record()
		whole.Expires = exp
		sh.mu.Unlock()
		time.Sleep(50 * time.Microsecond)
		sh.mu.Lock()
		if e := sh.live(&key, now); e != nil {
			s.owners.remove(e)
			s.used.Add(size(&whole) - e.size())
			e.set(&whole)
			s.owners.add(e)
			sh.moved(e)
		}
	}
`}},
		Killers: []Killer{law("touch does not undo a swap"), histories()},
	},
	{
		Name:      "touch that revives",
		Bug:       "Touch lengthens the life of a record that has expired",
		Published: "Stores that judge by the clock of the node that touches (popcornweb has a guard against it)",
		Suffered:  "A session that one node has called expired is alive again on the next one",
		Edits: []Edit{{memoryFile, `	now := nowMilli()
	s.dropExpired(sh, now, dropPerWrite)
	ms := exp.UnixMilli()
	if e := sh.live(&key, now); e != nil && e.version == old`, `	ms := exp.UnixMilli()
	if e := sh.entries[key]; e != nil && e.version == old`}},
		Killers: []Killer{law("touch revives nothing")},
	},
	{
		Name:      "expiry not checked on load",
		Bug:       "Load returns records that have expired and were not swept yet",
		Published: "antonlindstrom/pgstore; tower-sessions #74 (its store in memory)",
		Suffered:  "A stolen cookie works until a sweep comes along",
		Edits: []Edit{{memoryFile, `	e := sh.live(&key, nowMilli())
	if e == nil {
		return store.Record{}, store.ErrNotFound`, `	e := sh.entries[key]
	if e == nil {
		return store.Record{}, store.ErrNotFound`}},
		Killers: []Killer{law("records end in time")},
	},
	{
		Name:      "shared buffers",
		Bug:       "Swap writes over the bytes that Load has handed out",
		Published: "fiber #3049 to #3051 (pooled objects); zerodha/simplesessions (its store in memory shares live values); gorilla/sessions #287, #285, #295",
		Suffered:  "A request sees half of another one's write, or crashes",
		Edits: []Edit{{memoryFile, `	if e.owner == r.Owner {
		e.set(r)
	} else {
		s.owners.remove(e)
		e.set(r)
		s.owners.add(e)
	}
`, `	buffer := append(e.data[:0], r.Data...)
	s.owners.remove(e)
	e.set(r)
	s.owners.add(e)
	e.data = buffer
`}},
		Killers: []Killer{law("data taken is not written to"), schedules()},
	},
	{
		Name:      "stale owner index",
		Bug:       "DeleteOwner deletes what it has listed without looking again whose it is",
		Published: "better-auth #11073, #11230: revocation races with a refresh of the index",
		Suffered:  "To revoke one owner's sessions ends one that is somebody else's by then",
		Edits: []Edit{
			{ownerFile, `	"slices"
`, `	"slices"
	"time"
`},
			{ownerFile, `	if e == nil || e.owner != owner {
		return false
	}`, `	if e == nil {
		return false
	}`},
			{ownerFile, `	var deleted int64
	for _, key := range s.owners.all(owner) {
`, `	var deleted int64
	listed := s.owners.all(owner)
	time.Sleep(50 * time.Microsecond)
	for _, key := range listed {
`},
		},
		Killers: []Killer{law("delete by owner looks again")},
	},
}
