package mutant

// The bugs of libraries in how a response begins.

const writerFile = "middleware/writer.go"

var ofResponses = []Mutant{
	{
		Name:      "commit after the first byte",
		Bug:       "Write sends the body, and the session is committed when the handler has returned",
		Published: "gorilla/sessions (Save after Write: no error, no cookie); gobuffalo/buffalo #631, #2112; Laravel (the cookie goes out before the save)",
		Suffered:  "A visitor gets no cookie, or a page that says saved before anything is",
		Edits: []Edit{{writerFile, `func (x *writer) Write(p []byte) (int, error) {
	if err := x.decide(http.StatusOK); err != nil {
		return 0, err
	}
`, `func (x *writer) Write(p []byte) (int, error) {
`}},
		Killers: []Killer{test("middleware", "TestResponsePaths")},
	},
	{
		Name:      "flush before the commit",
		Bug:       "Flush and Hijack begin the response without a commit",
		Published: "scs #11, #69, #82, #141, #186, #188, #196; golangcollege/sessions",
		Suffered:  "A stream has no cookie, and its session is stored for nobody",
		Edits: []Edit{{writerFile, `func (x *writer) FlushError() error {
	if err := x.decide(http.StatusOK); err != nil {
		return err
	}
`, `func (x *writer) FlushError() error {
`}, {writerFile, `	if err := x.decide(http.StatusSwitchingProtocols); err != nil {
		return nil, nil, err
	}
`, ``}},
		Killers: []Killer{test("middleware", "TestResponsePaths")},
	},
	{
		Name:      "early hints are the response",
		Bug:       "a status of 103 commits, and what comes after it is late",
		Published: "scs: WriteHeader(103) freezes the session",
		Suffered:  "What is changed after early hints is lost",
		Edits: []Edit{{writerFile, `	if status < http.StatusOK && status != http.StatusSwitchingProtocols { // more will follow
`, `	if false {
`}},
		Killers: []Killer{test("middleware", "TestInformationalResponses")},
	},
	{
		Name:      "page after a failed commit",
		Bug:       "the handler's page is sent although the commit has failed",
		Published: "scs (a 503, and then the page); ASP.NET Core (it is logged only)",
		Suffered:  "The page says that it is saved, and it is not",
		Edits: []Edit{{writerFile, `func (x *writer) Write(p []byte) (int, error) {
	if err := x.decide(http.StatusOK); err != nil {
		return 0, err
	}
`, `func (x *writer) Write(p []byte) (int, error) {
	_ = x.decide(http.StatusOK)
`}},
		Killers: []Killer{test("middleware", "TestFailedCommit")},
	},
}
