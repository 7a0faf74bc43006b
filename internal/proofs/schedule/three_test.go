package schedule_test

import "github.com/typedsession/session/internal/proofs/schedule"

// threeRequests are combinations of three, and what was published about them.
var threeRequests = []struct {
	name     string
	programs []schedule.Program
	owned    bool
	reason   string
}{
	{"three updates", three("U", "U", "U"), false, "alexedwards/scs#45: of 51 increments 2 were left"},
	{"three get and set", three("W", "W", "W"), false, "three read 3, wrote 4, and all were told that they had"},
	{"updates and a logout", three("U", "U", "D"), false, "rack/rack-session#24, vert-x3/vertx-web#2771: a slow request brings the session back"},
	{"a replacement, an update and a logout", three("W", "U", "D"), false, "petergoldstein/dalli#1040: a conflict must not bring it back"},
	{"a rotation between updates", three("U", "R", "U"), false, "expressjs/session#923: what is under way revives the old id or is lost"},
	{"two rotations and an update", three("R", "R", "U"), false, "spring-projects/spring-session#1270: the second finds no old id"},
	{"three rotations", three("R", "R", "R"), false, "nightscout/nocturne#391: the losers are logged out"},
	{"a rotation, an update and a logout", three("R", "U", "D"), false, "spring-projects/spring-session#2281: renamed after it was gone"},
	{"a login, an update and a logout", three("I", "U", "D"), false, "auth0/nextjs-auth0#2335: a session from before the logout"},
	{"two logins and a logout", three("I", "I", "D"), false, "the second login must not end in the first one's session"},
	{"two owners and a logout", three("I", "J", "D"), false, "the same, of two people"},
	{"two owners and an update", three("I", "J", "U"), false, "Django clears what is another owner's"},
	{"three logins", three("I", "J", "I"), false, "one of three credentials is that of the session"},
	{"a login, a rotation and an update", three("I", "R", "U"), false, "spring-session-jdbc: a save writes the id from before the login back"},
	{"a login behind a rotation", three("RVI", "U", "L"), false, "the visitor has the credential of neither"},
	{"a change behind a saved login", three("IVS", "U", "D"), false, "who has logged in is not superseded by that"},
	{"two elevations and an update", three("E", "E", "U"), false, "expressjs/session#425: an id fixed before the privileges"},
	{"a login, an elevation and a read", three("I", "E", "L"), false, "the credential from before reads what it could read, no more"},
	{"two takes and a new code", three("T", "T", "P"), false, "a one-time code that was used twice"},
	{"three takes", three("T", "T", "T"), false, "the same"},
	{"a new code in place of the one taken", three("TP", "T", "P"), false, "what a request has taken itself is no conflict, what another one has put there is"},
	{"takes and a logout", three("T", "T", "D"), false, "a code is gone with its session"},
	{"three get or set", three("G", "G", "G"), false, "spring-projects/spring-session#1213: two that add a key"},
	{"get or set and a logout", three("G", "G", "D"), false, "nothing comes into being in a session that is gone"},
	{"get or set and a login", three("G", "G", "I"), false, "a value for nobody does not get into an owner's session"},
	{"a touch, an update and a logout", three("L", "U", "D"), false, "alexedwards/scs: a reader with an idle limit writes its copy back"},
	{"touches and a logout", three("L", "L", "D"), false, "a touch revives"},
	{"a touch, a login and a logout", three("L", "I", "D"), false, "better-auth/better-auth#11073: refreshed after it was revoked"},
	{"blind writes and an update", three("S", "S", "U"), false, "any order of the writes, and the update on top or gone"},
	{"two keys and a logout", three("U", "T", "D"), false, "spring-projects/spring-session#2021: half a session is written again"},
	{"saved twice", three("UVU", "U", "D"), false, "activerecord-session_store: saved under a new id when the row is gone"},
	{"a value from before the save", three("UVS", "U", "D"), false, "what Save has shown is not overwritten, where it was not what the request knew"},
	{"another owner", three("J", "U", "D"), true, "Django clears what is another owner's"},
	{"another owner and readers", three("J", "L", "T"), true, "ada's values are not bob's, nor of those who have her cookie"},
	{"two other owners", three("J", "J", "U"), true, "the later one has its own session, with nothing of ada's"},
	{"ada and another owner", three("I", "J", "G"), true, "of both, one keeps the session"},
	{"a code for another owner", three("JT", "T", "J"), true, "it is not to be had behind the login"},
	{"another owner too late", three("SJ", "J", "D"), true, "what was set before the login was ada's, in the new session as well"},
	{"a value for another owner", three("JG", "G", "J"), true, "it does not get into ada's session, nor from there to bob"},
	{"a farewell", three("DS", "U", "D"), false, "a message for who has logged out gets a session of its own"},
}

func three(a, b, c schedule.Program) []schedule.Program { return []schedule.Program{a, b, c} }
