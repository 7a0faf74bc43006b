package mutant

// The bugs of libraries in what becomes of values.

const buildFile = "build.go"

var ofValues = []Mutant{
	{
		Name:      "same value is no conflict",
		Bug:       "a value that was read and replaced does not conflict when another request has stored the same one",
		Published: "The prototype of this library, by a linearizability checker",
		Suffered:  "Three requests read 3 and write 4, and all succeed; a code for one use is used twice",
		Edits: []Edit{{
			buildFile, `string(was) != string(is.Raw) {`,
			`string(was) != string(is.Raw) && (!isOK || !e.present || string(e.raw) != string(is.Raw)) {`,
		}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "replay on the first value",
		Bug:       "the function of an Update runs again on the value that it has changed already",
		Published: "Libraries that hand out live values: gorilla/sessions #287, #285, #295; zerodha/simplesessions",
		Suffered:  "One click counts twice, and what others did is gone",
		Edits: []Edit{{"typed.go", `		done, err := s.finishUpdate(ctx, d, f, u, out)
`, `		again := func(fresh *T) error {
			err := f(v)
			*fresh = *v
			return err
		}
		done, err := s.finishUpdate(ctx, d, again, u, out)
`}},
		Killers: []Killer{histories(), schedules(), scenario("TestUpdateRunsAgain")},
	},
	{
		Name:      "struct update as a blind set",
		Bug:       "the Update of a struct stores the fields that it came to, whatever others have stored",
		Published: "The prototype of this library, which stored an Update of a struct as Sets of its fields",
		Suffered:  "Two page views at once count as one",
		Edits: []Edit{{"update.go", `	log = append(log, entry{kind: opStruct, name: d.name, d: d, fn: fn})
	for _, c := range out.changes {
		log = append(log, entry{kind: opPart, `, `	for _, c := range out.changes {
		log = append(log, entry{kind: opSet, `}},
		Killers: []Killer{histories(), scenario("TestStructUpdates")},
	},
	{
		Name:      "deep merge",
		Bug:       "two objects under one key are merged, member by member",
		Published: "tj/connect-redis 6.1.0, withdrawn after a day: #333, #346, #347, #348",
		Suffered:  "Dates became empty objects, arrays grew, and what was removed came back",
		Edits: []Edit{
			{buildFile, `	"errors"
	"reflect"
`, `	"encoding/json"
	"errors"
	"maps"
	"reflect"
`},
			{buildFile, `		st.add(e)
		if e.d != nil && len`, `		if is, ok := env.Values.Find(e.name); ok && e.kind == opSet {
			var theirs, mine map[string]json.RawMessage
			if json.Unmarshal(is.Raw, &theirs) == nil && json.Unmarshal(e.raw, &mine) == nil && mine != nil && theirs != nil {
				maps.Copy(theirs, mine)
				e.raw, _ = json.Marshal(theirs)
			}
		}
		st.add(e)
		if e.d != nil && len`},
		},
		Killers: []Killer{scenario("TestValuesAreReplacedWhole")},
	},
	{
		Name:      "take in two steps",
		Bug:       "Take and GetOrSet read at once, and write when the request is committed",
		Published: "scs, Django, tower-sessions: to pop a value is to change the request's copy of the session",
		Suffered:  "A code for one use is used twice; a cart is created twice, and one is lost",
		Edits: []Edit{{"settle.go", `	if s.state.changesOwner() {
		return`, `	if true {
		return`}},
		Killers: []Killer{histories(), schedules()},
	},
	{
		Name:      "unknown fields dropped",
		Bug:       "to set a struct removes what it does not know",
		Published: "Every struct that is decoded and stored as a whole",
		Suffered:  "During a rolling deploy the old program erases the fields of the new one",
		Edits: []Edit{{"access.go", `	if n := len(entries); n > 0 && isSet && d.plan != nil`, `	if d.plan != nil && isSet {
		entries = append([]entry{{kind: opClear}}, entries...)
	}
	if n := len(entries); n > 0 && isSet && d.plan != nil`}},
		Killers: []Killer{scenario("TestStructOfAnOlderProgram")},
	},
}
