package main

// scenario is a request, and the session that it meets.
type scenario struct {
	name      string
	about     string // for the table
	data      *dataset
	handler   func(a app) handlerFunc
	anonymous bool // the request has no session cookie
	answers   bool // with the number of the data, otherwise with ok
	changes   bool // the number, by one
	creates   bool // a session
}

var scenarios = []scenario{
	{
		name: "S1", about: "no session, handler does not use it",
		data: &oneInt, anonymous: true,
		handler: func(app) handlerFunc { return untouched },
	},
	{
		name: "S2", about: "session of one int, handler does not use it",
		data:    &oneInt,
		handler: func(app) handlerFunc { return untouched },
	},
	{
		name: "S2L", about: "session of 50 keys, handler does not use it",
		data:    &fiftyKeys,
		handler: func(app) handlerFunc { return untouched },
	},
	{
		name: "S3", about: "read the int",
		data: &oneInt, answers: true,
		handler: func(a app) handlerFunc { return a.read("n") },
	},
	{
		name: "S4", about: "add one to the int",
		data: &oneInt, answers: true, changes: true,
		handler: func(a app) handlerFunc { return a.add("n") },
	},
	{
		name: "S5", about: "read one int of 50 keys",
		data: &fiftyKeys, answers: true,
		handler: func(a app) handlerFunc { return a.read("k40") },
	},
	{
		name: "S6", about: "add one to one int of 50 keys",
		data: &fiftyKeys, answers: true, changes: true,
		handler: func(a app) handlerFunc { return a.add("k40") },
	},
	{
		name: "S7", about: "change one field of a struct of 12",
		data: &oneStruct, answers: true, changes: true,
		handler: app.login,
	},
	{
		name: "S8", about: "no session, handler creates one",
		data: &oneInt, anonymous: true, creates: true,
		handler: app.create,
	},
}
