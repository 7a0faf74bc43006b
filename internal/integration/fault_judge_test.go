package integration_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	frame "github.com/typedsession/session/internal/record" // record is a helper here
	"github.com/typedsession/session/store"
)

// said returns what gives an answer.
func said(o fate, text string) func(string) faultAnswer {
	return func(string) faultAnswer { return faultAnswer{outcome: o, text: text} }
}

// faultFrame is what the store has of a session.
func faultFrame(t *testing.T, count int, text string) *store.Record {
	t.Helper()
	edits := frame.Edits{Set: []frame.Edit{
		{Name: counter.Name(), Raw: []byte(strconv.Itoa(count))}, {Name: note.Name(), Raw: []byte(strconv.Quote(text))},
	}}
	return &store.Record{Data: frame.Encode(&frame.Meta{Seq: 1}, 0, frame.Values{}, &edits)}
}

// One line of a history that cannot be is enough.
func TestLifeIsJudged(t *testing.T) {
	t.Parallel()
	type step = func(l *life) error
	add := func(o fate, text string) step {
		return func(l *life) error { _, err := l.add(text != "", said(o, text)); return err }
	}
	read := func(text string) step {
		return func(l *life) error { _, err := l.read(said(fateDone, text)); return err }
	}
	write := func(o fate) step {
		return func(l *life) error {
			_, err := l.write(func(c, _ string) faultAnswer { return said(o, "")(c) })
			return err
		}
	}
	turn := func(o fate, owner, credential string) step {
		return func(l *life) error {
			_, _, err := l.turn(owner, func(string) faultAnswer { return faultAnswer{outcome: o, credential: credential} })
			return err
		}
	}
	end := func(o fate) step {
		return func(l *life) error {
			_, err := l.end(func(string) faultAnswer { return faultAnswer{outcome: o, removed: o == fateDone} })
			return err
		}
	}
	stored := func(count int, text string) step {
		return func(l *life) error { return l.judge(faultFrame(t, count, text), nil) }
	}
	missing := func(l *life) error { return l.judge(nil, store.ErrNotFound) }

	for name, c := range map[string]struct {
		steps []step
		want  string // of the last step; empty: it may be
	}{
		"counted":                   {[]step{add(fateDone, "1"), add(fateDone, ""), add(fateDone, "3"), read("|3|0"), stored(3, "0")}, ""},
		"not known, and stored":     {[]step{add(fateUnknown, "1"), read("|0|0"), read("|1|0"), add(fateDone, "2"), stored(2, "0")}, ""},
		"not known, and not stored": {[]step{add(fateUnknown, "1"), add(fateDone, "1"), stored(1, "0")}, ""},
		"lost":                      {[]step{add(fateDone, ""), stored(0, "0")}, "is lost"},
		"lost to a reader":          {[]step{add(fateDone, ""), read("|0|0")}, "is lost"},
		"twice":                     {[]step{add(fateDone, ""), stored(2, "0")}, "applied twice"},
		"refused, and stored":       {[]step{add(fateNothing, ""), read("|1|0")}, "in secret"},
		"reported twice":            {[]step{add(fateDone, "1"), add(fateDone, "1")}, "reported twice"},
		"reported too late":         {[]step{add(fateDone, ""), add(fateDone, "1")}, "should lie between 2 and 2"},
		"reported too early":        {[]step{add(fateDone, "2")}, "should lie between 1 and 1"},
		"reported, and not stored":  {[]step{add(fateUnknown, ""), add(fateDone, "2"), stored(1, "0")}, "2 was reported"},
		"written":                   {[]step{write(fateDone), write(fateUnknown), stored(0, "1")}, ""},
		"written later":             {[]step{write(fateDone), write(fateUnknown), stored(0, "2")}, ""},
		"a write is lost":           {[]step{write(fateDone), stored(0, "0")}, "note 0"},
		"a refused write is stored": {[]step{write(fateNothing), stored(0, "1")}, "note 1"},
		"nobody wrote that":         {[]step{write(fateDone), read("|0|2")}, "note 2"},
		"logged in":                 {[]step{turn(fateDone, "ada", "key.new"), read("ada|0|0")}, ""},
		"a refused login":           {[]step{turn(fateNothing, "ada", ""), read("ada|0|0")}, "owner"},
		"a login without a cookie":  {[]step{turn(fateDone, "ada", "")}, "without a cookie"},
		"another session":           {[]step{turn(fateDone, "", "other.new")}, "another one"},
		"a lost session":            {[]step{read(faultGone)}, errLost.Error()},
		"a session lost at the end": {[]step{missing}, errLost.Error()},
		"lost, with a new cookie":   {[]step{turn(fateDone, "", "key.new"), read(faultGone)}, errLost.Error()},
		"lost, or out":              {[]step{turn(fateUnknown, "", ""), read(faultGone)}, ""},
		"superseded by nobody":      {[]step{add(fateSuperseded, "")}, "superseded"},
		"logged out":                {[]step{end(fateDone), read(faultGone), missing}, ""},
		"back":                      {[]step{end(fateDone), read("|0|0")}, errBack.Error()},
		"back, and written":         {[]step{end(fateDone), add(fateDone, "")}, errBack.Error()},
		"back in the end":           {[]step{end(fateDone), stored(0, "0")}, errBack.Error()},
		"perhaps logged out":        {[]step{end(fateUndeleted), read("|0|0"), read(faultGone), missing}, ""},
		"perhaps, and not":          {[]step{end(fateUndeleted), read("|0|0"), stored(0, "0")}, ""},
		"perhaps, and back":         {[]step{end(fateUnknown), read(faultGone), read("|0|0")}, errBack.Error()},
		"a refused logout":          {[]step{end(fateNothing), read(faultGone)}, errLost.Error()},
		"a destroyed session":       {[]step{end(fateNothing), add(fateDestroyed, "")}, errLost.Error()},
		"an odd answer":             {[]step{add(fateOdd, "")}, "should not be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLife(store.Key{1}, "key.old")
			for i, s := range c.steps {
				if err := s(l); i < len(c.steps)-1 || c.want == "" {
					require.NoError(t, err, "step %d", i)
				} else {
					require.ErrorContains(t, err, c.want)
				}
			}
		})
	}
}
