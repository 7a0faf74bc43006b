package mutant

// The bugs of stores, put into store/redisstore.

const scriptFile = "store/redisstore/script.go"

var ofRedis = []Mutant{
	{
		Name:      "swap that creates in Redis",
		Bug:       "the script writes the key also where there is none",
		Published: "spring-projects/spring-session #1111, #2021 (a part of a hash is created again), #1270",
		Suffered:  "A session that has been deleted comes back, whole or in part",
		Edits: []Edit{{
			scriptFile, "if cur == '' then return 0 end\nif #cur < 27 or string.byte(cur) ~= 1 then return 3 end\nlocal version",
			"if cur == '' then cur = string.sub(new, 1, 1) .. string.sub(ARGV[1], 1, 8) .. string.sub(new, 10) end\nlocal version",
		}},
		Killers: []Killer{lawOfRedis("swap creates nothing")},
	},
	{
		Name:      "last write wins in Redis",
		Bug:       "the script does not look at the version",
		Published: "fiber, express-session and others on Redis: a SET of the whole session",
		Suffered:  "In a measurement 89 % of the writes to one busy session were lost",
		Edits: []Edit{{
			scriptFile, "if version ~= string.sub(ARGV[1], 1, 8) then return redis.call('GET', KEYS[1]) end\n", "",
		}},
		Killers: []Killer{lawOfRedis("no increment is lost")},
	},
	{
		Name:      "get then set in Redis",
		Bug:       "Swap is a GET, a look at the version, and a SET",
		Published: "auth0/nextjs-auth0 #2530",
		Suffered:  "The guard is a race: both requests pass it",
		Edits: []Edit{{"store/redisstore/store.go", `	name := s.recordKey(key)
	for {
		control`, `	name := s.recordKey(key)
	switch cur, err := s.Load(ctx, key); {
	case err != nil:
		return cur, err
	case cur.Version == r.Version:
		return cur, nil
	case cur.Version != old:
		return cur, store.ErrConflict
	default:
		_, err = s.do(ctx, once, "set", name, f.encode(), "pxat", redisExpiry(f.expires))
		return cur, err
	}
	for {
		control`}},
		Killers: []Killer{lawOfRedis("one swap wins")},
	},
	{
		Name:      "driver that repeats",
		Bug:       "the driver may send a write again when its answer is lost",
		Published: "redis/go-redis: MaxRetries is 3 unless a command says otherwise",
		Suffered:  "With versions that count, 800 acknowledged increments became 821 to 831; with random ones see below",
		Edits:     []Edit{{scriptFile, `NoRetry() bool { return true }`, `NoRetry() bool { return false }`}},
		Killers:   []Killer{test("store/redisstore", "TestLostReplyOfAWrite")},
	},
}
