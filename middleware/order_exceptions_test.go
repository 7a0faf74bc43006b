package middleware_test

// orderException is a known harm, with the shortest schedule that does it.
type orderException struct {
	starts   string // who it happens to
	requests string
	harm     string // a field of orderHarm
	by       string
	orders   int // how many orders do it
	schedule string
}

// orderExceptions is what no server can prevent: it chooses neither when a response
// arrives nor which cookie a request was sent with. None is a session risen.
var orderExceptions = []orderException{
	// The response of a rotation comes after that of a login which the server did
	// later: the browser is left with the credential that the login has replaced.
	{
		"guest member", "login rotate", "lost", "rotate", 10,
		"send login, send rotate, serve rotate, serve login, receive login, receive rotate",
	},

	// Two first requests make two sessions, also after a logout, and the browser
	// keeps that of the last response.
	{
		"stranger returned", "login write", "lost", "write", 20,
		"send login, serve login, send write, receive login, serve write, receive write",
	},
	{
		"guest member", "login logout write", "lost", "write", 8,
		"send login, send logout, serve logout, serve login, receive logout, send write, receive login, serve write, receive write",
	},

	// The response of a logout comes after that of a login which made a new session,
	// and removes its cookie.
	{
		"guest member", "login logout", "lost", "logout", 4,
		"send login, send logout, serve logout, serve login, receive login, receive logout",
	},
	{
		"stranger returned", "login login logout", "lost", "logout", 2,
		"send login, serve login, receive login, send login', send logout, serve logout, serve login', receive login', receive logout",
	},
	{
		"stranger returned", "login logout write", "lost", "logout", 2,
		"send login, send write, serve write, receive write, send logout, serve logout, serve login, receive login, receive logout",
	},

	// A logout is sent before the cookie of a login has arrived: it ends another
	// session, or none.
	{
		"stranger returned", "login logout", "kept", "login", 8,
		"send login, serve login, send logout, receive login, serve logout, receive logout",
	},
	{
		"guest member", "login login logout", "kept", "login", 2,
		"send login, serve login, send login', receive login, serve login', send logout, serve logout, receive logout, receive login'",
	},
	{
		"guest member", "login logout logout", "kept", "login", 9,
		"send login, send logout, serve logout, serve login, receive logout, send logout', receive login, serve logout', receive logout'",
	},
}

// orderLongExceptions need another request between a load and its commit.
var orderLongExceptions = []orderException{
	// Of two logins that make two sessions, the logout ends the one whose cookie
	// comes last.
	{starts: "guest member", requests: "login login logout", harm: "lost", by: "login"},

	// A removal that comes too late, as above.
	{starts: "guest member", requests: "login login logout", harm: "lost", by: "logout"},
	{starts: "guest member", requests: "login logout logout", harm: "lost", by: "logout"},
}
